"""One copy of a model: an engine, the thread that calls it, and what shares it among requests."""

from collections.abc import Callable

from medxgan.bundle import LoadedBundle
from medxgan.server.engine.device_thread import DeviceThread
from medxgan.server.engine.port import Engine
from medxgan.server.explanation.explain import Explainer
from medxgan.server.explanation.networks import Networks
from medxgan.server.inversion.batch import InversionBatch
from medxgan.server.inversion.solver import Solver

LONGEST_BLOCK = 5
"""Most gradient steps of a block. Between two blocks rows join and leave: so long does an urgent request wait, and so
long goes on what nobody waits for any more. For a full batch of `chest` it is some 0.4 s on two cores."""


class Replica:
    """Answers questions about films, between `start` and `stop`. Used from one event loop.

    Attributes:
        engine: runs the bundle's graphs; other replicas call it too where it may be shared.
        networks: the bundle's networks, by rows.
        explainer: answers questions about films.
        load: what the requests cost that it has under way, in explanations with the default steps.
        is_running: whether it is warm and takes requests.

    Args:
        bundle: the bundle served.
        engine: runs its graphs.
        maximum_rows: most inversions that advance together, and most rows of one call of a network, >= 1.
    """

    def __init__(self, bundle: LoadedBundle, engine: Engine, maximum_rows: int) -> None:
        self.engine = engine
        self.load = 0.0
        self.is_running = False
        self._thread = DeviceThread()
        solver = Solver(bundle.description.inversion, LONGEST_BLOCK)
        # A row keeps its place for as long as the default takes: usual requests are never interrupted.
        quantum = max(1, solver.specification.default_steps)
        self._batch = InversionBatch(solver, engine, self._thread, maximum_rows, quantum)
        self.networks = Networks(bundle, engine, self._thread, maximum_rows)
        urgent = Networks(bundle, engine, self._thread, maximum_rows, urgent=True)
        self.explainer = Explainer(bundle, engine, self._thread, self._batch, self.networks, urgent)

    def watch(self, on_block: Callable[[int], None]) -> None:
        """Call a function after every block of gradient steps, with the number of inversions that advanced together."""
        self._batch.on_block = on_block

    async def start(self, *, warms_up: bool = True) -> None:
        """Begin to take requests.

        Args:
            warms_up: whether they wait until the engine is warm: it is warmed up here, and not by another replica.
        """
        self._thread.start()
        self._batch.start()
        if warms_up:
            await self._thread.call(self.engine.warm_up)
        self.is_running = True

    async def stop(self) -> None:
        """Take no more requests and end after the block that runs. May be called again."""
        self.is_running = False
        await self._batch.stop()
        await self._thread.stop()
