"""One served model: a bundle, its engine, and what shares it among requests."""

from medxgan.bundle import LoadedBundle
from medxgan.server.engine.device_thread import DeviceThread
from medxgan.server.engine.port import Engine
from medxgan.server.explanation.explain import Explainer
from medxgan.server.explanation.networks import Networks
from medxgan.server.images.reduction import Reduction
from medxgan.server.inversion.batch import InversionBatch
from medxgan.server.inversion.solver import Solver
from medxgan.server.models.admission import Admission, ModelCapacity


class ServedModel:
    """A bundle that answers requests, between `start` and `stop`. Used from one event loop.

    Attributes:
        bundle: the bundle served.
        engine: runs its graphs; only this model calls it.
        admission: bounds the requests that it has taken on.
        explainer: answers questions about films.
        networks: the bundle's networks, by rows.
        reduction: what its films may be reduced to before they are opened.

    Args:
        bundle: the bundle served.
        engine: runs its graphs.
        capacity: how much it takes on.
        reduction: what its films may be reduced to before they are opened; None where they have to come whole.
    """

    def __init__(
        self, bundle: LoadedBundle, engine: Engine, capacity: ModelCapacity, reduction: Reduction | None = None
    ) -> None:
        self.reduction = reduction
        self.bundle = bundle
        self.engine = engine
        self.admission = Admission(capacity)
        self._thread = DeviceThread()
        inversion, maximum_rows = bundle.description.inversion, capacity.maximum_rows
        # A row keeps its place for as long as the bundle's own default takes: usual requests are not interrupted.
        self._batch = InversionBatch(
            Solver(inversion), engine, self._thread, maximum_rows, quantum=max(1, inversion.default_steps)
        )
        self.networks = Networks(bundle, engine, self._thread, maximum_rows)
        self.explainer = Explainer(bundle, engine, self._thread, self._batch, self.networks)

    async def start(self) -> None:
        """Warm the engine up and begin to take requests."""
        self._thread.start()
        self._batch.start()
        await self._thread.call(self.engine.warm_up)

    async def stop(self) -> None:
        """Take no more requests and end after the block that runs. May be called again."""
        await self._batch.stop()
        await self._thread.stop()
