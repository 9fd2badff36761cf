"""One served model: a bundle, its replicas, and how much it takes on."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from medxgan.bundle import LoadedBundle
from medxgan.server.engine.port import Engine
from medxgan.server.explanation.explain import Explainer
from medxgan.server.explanation.networks import Networks
from medxgan.server.images.reduction import Reduction
from medxgan.server.models.admission import LEAST, Admission, ModelCapacity
from medxgan.server.models.replica import Replica


class ServedModel:
    """A bundle that answers requests, between `start` and `stop`. Used from one event loop.

    Attributes:
        bundle: the bundle served.
        replicas: what runs it, at least one.
        admission: bounds the requests that it has taken on.
        reduction: what its films may be reduced to before they are opened.

    Args:
        bundle: the bundle served.
        engines: that run its graphs, one for each replica, or one that replicas share several times.
        capacity: how much it takes on.
        reduction: what its films may be reduced to before they are opened; None where they have to come whole.
    """

    def __init__(
        self,
        bundle: LoadedBundle,
        engines: Sequence[Engine],
        capacity: ModelCapacity,
        reduction: Reduction | None = None,
    ) -> None:
        self.reduction = reduction
        self.bundle = bundle
        self.replicas = [Replica(bundle, engine, capacity.maximum_rows) for engine in engines]
        self.admission = Admission(capacity, len(self.replicas))
        self._holders = 0
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def is_running(self) -> bool:
        """Whether it is warm and takes requests."""
        return all(replica.is_running for replica in self.replicas)

    @property
    def engine(self) -> Engine:
        """Of the first replica; the others run alike."""
        return self.replicas[0].engine

    @property
    def networks(self) -> Networks:
        """Of the first replica; those of the others answer alike."""
        return self.replicas[0].networks

    @property
    def explainer(self) -> Explainer:
        """Of the first replica; those of the others answer alike."""
        return self.replicas[0].explainer

    @contextmanager
    def place(self, cost: float = LEAST) -> Iterator[Replica]:
        """The replica that has least to do, for the time of one request.

        Args:
            cost: of the request, see `request_cost`.
        """
        replica = min(self.replicas, key=lambda each: each.load)
        replica.load += cost
        try:
            yield replica
        finally:
            replica.load -= cost

    @contextmanager
    def held(self) -> Iterator[None]:
        """For the time of one request it goes on running, also where it is taken out of service meanwhile."""
        self._holders += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._holders -= 1
            if self._holders == 0:
                self._idle.set()

    async def idle(self) -> None:
        """Wait until no request holds it."""
        await self._idle.wait()

    async def start(self) -> None:
        """Begin to take requests, which wait until the engines are warm, and warm these up."""
        engines = [replica.engine for replica in self.replicas]
        await asyncio.gather(
            *(
                replica.start(warms_up=engines.index(replica.engine) == place)
                for place, replica in enumerate(self.replicas)
            )
        )

    async def stop(self) -> None:
        """Take no more requests and end after the blocks that run. May be called again."""
        for replica in self.replicas:
            await replica.stop()
