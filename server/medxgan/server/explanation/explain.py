"""From a film to its explanation: open it, invert it where something needs that, make the maps, judge."""

import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from medxgan.bundle import LoadedBundle
from medxgan.server.engine.device_thread import DeviceThread
from medxgan.server.engine.port import Engine, FloatArray
from medxgan.server.explanation.explanation import (
    Explanation,
    ImageCheck,
    Inverted,
    MapValues,
    OpenedImage,
    PositiveRealization,
    TrajectoryFrame,
)
from medxgan.server.explanation.maps.difference import uncertainty_map
from medxgan.server.explanation.maps.subject import Subject
from medxgan.server.explanation.networks import Networks
from medxgan.server.explanation.opening import outputs_without_guess, run_open
from medxgan.server.explanation.positive_realization import positive_realization
from medxgan.server.explanation.scores import Score, binary_cross_entropy
from medxgan.server.explanation.settings import ExplanationSettings
from medxgan.server.explanation.table import MAPS
from medxgan.server.explanation.trajectory import trajectory
from medxgan.server.explanation.verdict import judge
from medxgan.server.images.film import Film, Placement
from medxgan.server.inversion.batch import InversionBatch
from medxgan.server.inversion.lane import Ended
from medxgan.server.inversion.settings import InversionSettings
from medxgan.server.inversion.solver import Row
from medxgan.server.inversion.starts import comparable, leading, learning_rates, starting_codes
from medxgan.server.stopwatch import Phase, Stopwatch
from medxgan.v1 import bundle_pb2, explanation_pb2
from medxgan.v1.explanation_pb2 import MapKind, ProgressPhase


@dataclass(frozen=True)
class Progress:
    """Progress after a block of gradient steps: the fields of `Progress` in explanation.proto."""

    steps_taken: int
    steps_total: int
    reconstruction_mse: float
    classification_loss: float
    phase: ProgressPhase


POSITIVE_SEARCH = explanation_pb2.PROGRESS_PHASE_POSITIVE_REALIZATION

OnProgress = Callable[[Progress], None]


class Explainer:
    """Explains films with one bundle. Used from one event loop.

    Cancelling a task that awaits an answer stops its compute: at once where it still waits, else at the next block of
    gradient steps or the next chunk of rows.

    Args:
        bundle: the bundle served.
        engine: runs its graphs.
        thread: makes the calls to the engine.
        batch: advances its inversions.
        networks: its networks, by rows.
        urgent_networks: the same for requests that go first.
    """

    def __init__(
        self,
        bundle: LoadedBundle,
        engine: Engine,
        thread: DeviceThread,
        batch: InversionBatch,
        networks: Networks,
        urgent_networks: Networks,
    ) -> None:
        self._bundle = bundle.description
        self._threshold = bundle.description.classification.decision_threshold
        self._engine = engine
        self._thread = thread
        self._batch = batch
        self._outputs_without_guess = outputs_without_guess(bundle.description)
        self._networks = networks
        self._urgent_networks = urgent_networks

    async def open(
        self, film: Film, stopwatch: Stopwatch, *, inverts: bool = True, urgent: bool = False
    ) -> OpenedImage:
        """Make of a film what the networks see, and what they say of it at once.

        Args:
            film: the film.
            stopwatch: of the request; waiting for a turn counts as queued.
            inverts: whether the image is to be inverted; else no first guess is made.
            urgent: whether it goes before those that are not.
        """
        outputs = None if inverts else self._outputs_without_guess

        def run() -> dict[str, FloatArray]:
            stopwatch.switch(Phase.PREPROCESS)
            return run_open(self._engine, film, outputs)

        stopwatch.switch(Phase.QUEUED)
        with self._batch.expecting() if urgent else nullcontext():
            opened = await self._thread.call(run, urgent=urgent)
        measures = self._bundle.familiarity.measures
        return OpenedImage(
            x=opened["x"],
            placement=Placement.of(film, opened["box"] if film.reduced is None else np.asarray(film.reduced.box)),
            score=Score.of(float(opened["logit"][0]), self._threshold),
            checks=tuple(
                ImageCheck(measure.name, float(measured), measure.maximum)
                for measure, measured in zip(measures, opened["unfamiliarity"][0], strict=True)
            )
            if measures
            else (),
            z=opened.get("z"),
            notes=film.notes,
        )

    async def explain(
        self,
        opened: OpenedImage,
        settings: ExplanationSettings,
        caller: str,
        stopwatch: Stopwatch,
        on_progress: OnProgress | None = None,
        *,
        urgent: bool = False,
    ) -> Explanation:
        """Explain an image.

        Args:
            opened: the image.
            settings: as resolved against the bundle.
            caller: who asks: callers share the batch.
            stopwatch: of the request.
            on_progress: called on the event loop after every block of gradient steps.
            urgent: whether it goes before those that are not.
        """
        networks = self._urgent_networks if urgent else self._networks
        inverted: Inverted | None = None
        positive: PositiveRealization | None = None
        frames: tuple[TrajectoryFrame, ...] = ()
        if settings.inversion is not None:
            advance = partial(self._batch.run, caller=caller, urgent=urgent)
            ended = await self._invert(opened, settings.inversion, settings.seed, advance, stopwatch, on_progress)
            inverted = await self._best(opened, settings.inversion, ended, urgent)
            if settings.positive_end:
                stopwatch.switch(Phase.POSITIVE_REALIZATION)
                positive = await positive_realization(
                    opened,
                    inverted,
                    settings.inversion,
                    settings.seed,
                    self._bundle,
                    partial(advance, on_rows=self._reporting(on_progress, POSITIVE_SEARCH)),
                    self._batch.solver,
                    networks,
                )
        stopwatch.switch(Phase.MAPS)
        if inverted is not None and positive is not None and settings.frames:
            frames = await trajectory(inverted, positive, settings.frames, self._threshold, networks)
        maps, target_logit = await self._maps(opened.x, settings, networks, inverted, positive)
        return Explanation(
            opened=opened,
            settings=settings,
            inverted=inverted,
            positive_realization=positive,
            trajectory=frames,
            maps=maps,
            target_logit=target_logit,
            verdict=judge(opened, inverted, self._bundle),
        )

    async def _invert(
        self,
        opened: OpenedImage,
        settings: InversionSettings,
        seed: int,
        advance: Callable[..., Awaitable[list[Ended]]],
        stopwatch: Stopwatch,
        on_progress: OnProgress | None,
    ) -> list[Ended]:
        """Invert an image from all its starts."""
        rates = learning_rates(self._bundle, settings.learning_rate, guessed=opened.z is not None)
        starts = [
            self._batch.solver.init(
                Row(settings.steps, settings.reconstruction_weight),
                z,
                opened.x,
                opened.score.probability,
                rates,
                settings.solver,
            )
            for z in starting_codes(opened.z, self._bundle.latent, rates, settings.restarts, seed)
        ]
        report = self._reporting(on_progress, explanation_pb2.PROGRESS_PHASE_INVERSION)

        def on_rows(rows: Sequence[Row]) -> None:
            stopwatch.is_waiting = False
            if report is not None:
                report(rows)

        stopwatch.switch(Phase.QUEUED)
        ended = await advance(starts, on_rows=on_rows)
        stopwatch.switch(Phase.INVERSION, at=min(each.began for each in ended))
        stopwatch.switch(Phase.MAPS, at=max(each.ended for each in ended))
        return ended

    async def _best(
        self, opened: OpenedImage, settings: InversionSettings, ended: Sequence[Ended], urgent: bool
    ) -> Inverted:
        """The best of all restarts; the others change nothing but the uncertainty."""
        candidates = [await self._close(opened, restart, each, urgent) for restart, each in enumerate(ended)]
        best = min(
            candidates,
            key=lambda each: comparable(settings.loss(each.reconstruction_mse, each.classification_loss)),
        )
        if len(candidates) == 1:
            return best
        return replace(best, uncertainty=uncertainty_map([each.difference for each in candidates]))

    async def _close(self, opened: OpenedImage, restart: int, ended: Ended, urgent: bool) -> Inverted:
        """Draw and score what one restart found, in a batch of its own: that there are others changes nothing."""
        z = ended.state.z
        run = partial(self._engine.run, bundle_pb2.GRAPH_ROLE_CLOSE, {"x": opened.x, "z": z})
        closed = await self._thread.call(run, urgent=urgent)
        negative_z = z.copy()
        negative_z[:, self._bundle.latent.z1_size :] = 0
        reconstruction = closed["reconstruction"][0, 0]
        logit = float(closed["reconstruction_logit"][0])
        return Inverted(
            z=z,
            negative_z=negative_z,
            reconstruction=reconstruction,
            negative_realization=closed["negative_realization"][0, 0],
            applied_negative=closed["applied_negative"][0, 0],
            uncertainty=None,
            reconstruction_score=Score.of(logit, self._threshold),
            negative_realization_score=Score.of(float(closed["negative_realization_logit"][0]), self._threshold),
            applied_negative_score=Score.of(float(closed["applied_negative_logit"][0]), self._threshold),
            steps_taken=ended.row.steps_taken,
            converged=ended.row.converged,
            reconstruction_mse=float(np.mean(np.square(reconstruction - opened.x[0, 0]))),
            classification_loss=binary_cross_entropy(logit, opened.score.probability),
            restart=restart,
        )

    async def _maps(
        self,
        x: FloatArray,
        settings: ExplanationSettings,
        networks: Networks,
        inverted: Inverted | None,
        positive: PositiveRealization | None,
    ) -> tuple[dict[MapKind, MapValues], float | None]:
        """Every map that is wanted, one after the other, and the logit of the class that some of them explain."""
        began = time.perf_counter()
        read = sorted({output for kind in settings.maps for output in MAPS[kind].outputs})
        outputs: dict[str, FloatArray] = {}
        target_logit: float | None = None
        if read:
            outputs = await networks.attribution(x, settings.target, ["logit", *read])
            target_logit = float(outputs["logit"][0])
        elif any(MAPS[kind].any_class for kind in settings.maps):
            (logit,) = await networks.logits(x, settings.target)
            target_logit = float(logit)
        pass_seconds = time.perf_counter() - began
        subject = Subject(
            x,
            networks,
            settings,
            outputs,
            float("nan") if target_logit is None else target_logit,
            inverted,
            positive,
        )
        maps = {}
        for kind in settings.maps:
            began = time.perf_counter() - (pass_seconds if MAPS[kind].outputs else 0)
            made = await MAPS[kind].make(subject)
            values, completeness = made if isinstance(made, tuple) else (made, None)
            if MAPS[kind].channels == 1:
                values = values.reshape(values.shape[-2:])
            maps[kind] = MapValues(values, completeness, time.perf_counter() - began)
        return maps, target_logit

    def _reporting(
        self, on_progress: OnProgress | None, phase: ProgressPhase
    ) -> Callable[[Sequence[Row]], None] | None:
        """What tells the caller of rows that advanced."""
        if on_progress is None:
            return None

        def report(rows: Sequence[Row]) -> None:
            steps_taken, best = leading(rows, self._batch.solver.terminate)
            on_progress(Progress(steps_taken, best.steps, best.reconstruction_mse, best.classification_loss, phase))

        return report
