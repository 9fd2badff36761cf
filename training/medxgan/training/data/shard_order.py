"""In what order a training reads the rows of shards: shuffled, and known from the place alone.

The training shards are dealt out to *lanes*, and every batch has as many rows of each. A lane goes through its shards
in an order of its own, some of them open at a time, and takes the rows of the open ones in random order. Which row
comes n-th follows from the seed and n, without reading those before: a training goes on exactly where it was. As the
lanes are the same on however many processes they are read, so is the training.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count

import numpy as np
from numpy.typing import NDArray

from medxgan.training.data.errors import DataError
from medxgan.training.data.shards import Shard


@dataclass(frozen=True)
class Window:
    """Shards that are open together.

    Attributes:
        shards: in the order that they are read in.
        random: draws the order of their rows.
        skipped: rows of that order that come before the place to begin at.
    """

    shards: tuple[Shard, ...]
    random: np.random.Generator
    skipped: int

    def order(self, weights: NDArray[np.float64] | None) -> NDArray[np.int64]:
        """Numbers of rows, those skipped left out: each once or, with weights [N], as many drawn by them."""
        rows = sum(shard.rows for shard in self.shards)
        if weights is None:
            return self.random.permutation(rows)[self.skipped :]
        return self.random.choice(rows, rows, p=weights / weights.sum())[self.skipped :]


@dataclass(frozen=True)
class Lane:
    """One lane's way through its shards, again and again.

    Attributes:
        shards: those that are dealt out to it.
        number: of the lane.
        open_shards: how many are open at a time.
        seed: of the order.
    """

    shards: tuple[Shard, ...]
    number: int
    open_shards: int
    seed: int

    def windows(self, place: int) -> Iterator[Window]:
        """The windows from the one on that has the row that comes `place`-th."""
        epoch, left = divmod(place, sum(shard.rows for shard in self.shards))
        for passed in count(epoch):
            order = np.random.default_rng([self.seed, self.number, passed]).permutation(len(self.shards))
            for index, first in enumerate(range(0, len(order), self.open_shards)):
                shards = tuple(self.shards[shard] for shard in order[first : first + self.open_shards])
                rows = sum(shard.rows for shard in shards)
                if left >= rows:
                    left -= rows
                    continue
                yield Window(shards, np.random.default_rng([self.seed, self.number, passed, index]), left)
                left = 0


def lanes_of(shards: Sequence[Shard], lanes: int, open_shards: int, seed: int) -> list[Lane]:
    """Deal the shards out: the first to lane 0, the second to lane 1, and so on.

    Raises:
        DataError: a lane would have none.
    """
    if len(shards) < lanes:
        raise DataError(f"data.lanes: expected at most the number of training shards, {len(shards)}, found {lanes}")
    return [Lane(tuple(shards[number::lanes]), number, open_shards, seed) for number in range(lanes)]
