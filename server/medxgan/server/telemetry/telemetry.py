"""What is noted of every request: figures, and who asked for what where there is an audit trail."""

import asyncio
from collections.abc import Mapping

from google.protobuf.json_format import MessageToDict
from prometheus_client import generate_latest

from medxgan.server.explanation.explanation import Explanation
from medxgan.server.images.sent import SentImage
from medxgan.server.models.control import Cause
from medxgan.server.models.served_model import ServedModel
from medxgan.server.stopwatch import Stopwatch
from medxgan.server.telemetry.audit import AuditTrail
from medxgan.server.telemetry.metrics import Metrics
from medxgan.server.telemetry.statistics import Statistics
from medxgan.server.telemetry.tracing import current_trace
from medxgan.server.telemetry.triton_figures import triton_figures
from medxgan.server.wire.descriptions import settings_in_force
from medxgan.v1.explanation_pb2 import MapKind, VerdictStatus

_LARGE_BYTES = 2**20
"""Images above this size are hashed off the event loop."""


class Telemetry:
    """Notes requests. Used from one event loop.

    Attributes:
        metrics: the figures.
        statistics: what every model has done.

    Args:
        trail: where it is noted who asked for what; None where it is not.
    """

    def __init__(self, trail: AuditTrail | None = None) -> None:
        self.metrics = Metrics()
        self.statistics = Statistics()
        self._trail = trail

    def figures(self) -> bytes:
        """All figures, in the text form of Prometheus. May be called from any thread."""
        return generate_latest(self.metrics.registry) + triton_figures(self.statistics).encode()

    async def digest(self, image: SentImage) -> str:
        """SHA-256 of an image as it was sent, in hexadecimal, before its bytes are taken; empty without a trail."""
        if self._trail is None:
            return ""
        return await asyncio.to_thread(image.sha256) if image.size > _LARGE_BYTES else image.sha256()

    async def explained(
        self, caller: str, digest: str, model: ServedModel, explanation: Explanation, stopwatch: Stopwatch
    ) -> None:
        """An explanation is made, and about to be answered.

        Args:
            caller: who asked.
            digest: of the image.
            model: that explained it.
            explanation: what is answered.
            stopwatch: of the request.

        Raises:
            AuditError: it can't be noted, so it must not be answered.
        """
        inverted = explanation.inverted
        verdict = VerdictStatus.Name(explanation.verdict.status).removeprefix("VERDICT_STATUS_")
        steps = None if inverted is None else inverted.steps_taken
        self.metrics.explained(model.bundle.name, stopwatch.milliseconds(), steps, verdict)
        current_trace().answered(model.bundle.name, verdict, steps)
        await self._note(
            caller,
            digest,
            model,
            method="Explain",
            maps=[MapKind.Name(kind) for kind in explanation.settings.maps],
            settings=MessageToDict(settings_in_force(explanation.settings)),
            verdict=verdict,
        )

    async def classified(self, caller: str, digest: str, model: ServedModel) -> None:
        """An image was classified, and this is about to be answered; as `explained`."""
        current_trace().answered(model.bundle.name)
        await self._note(caller, digest, model, method="Classify")

    async def changed(self, cause: Cause, method: str, model: ServedModel) -> None:
        """Which models are served is about to change.

        Args:
            cause: why.
            method: "Load" or "Unload".
            model: that comes or goes.

        Raises:
            AuditError: it can't be noted, so it must not happen.
        """
        await self._append(cause.caller, model, method=method, cause=cause.kind)

    async def _note(self, caller: str, digest: str, model: ServedModel, **what: object) -> None:
        await self._append(caller, model, input_sha256=digest, **what)

    async def _append(self, caller: str, model: ServedModel, **what: object) -> None:
        if self._trail is None:
            return
        record: Mapping[str, object] = {
            "caller": caller,
            "model": model.bundle.name,
            "bundle_sha256": model.bundle.sha256,
            **what,
        }
        await asyncio.to_thread(self._trail.append, record)
