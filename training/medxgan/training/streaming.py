"""Training images that come from shards while they are needed, through PyTorch's DataLoader."""

import atexit
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from medxgan.training import processes
from medxgan.training.data.errors import DataError
from medxgan.training.data.shard_order import Lane, lanes_of
from medxgan.training.data.shards import Manifest, read_shards
from medxgan.training.data.source import ShardsData
from medxgan.training.dataset import lesion_masks, preprocess_images
from medxgan.training.preprocessing import Preprocess
from medxgan.training.sampling import balancing_weights


@dataclass(frozen=True)
class Pictures:
    """Rows of a batch.

    Attributes:
        x: [B, 1, S, S] in [-1, 1].
        label: [B], 0 or 1.
        mask: [B, 1, S, S] in [0, 1], the share of each pixel that the lesions cover, 0 where none are known; None where
            nobody asked for masks.
        stratum: [B] number of the stratum.
    """

    x: Tensor
    label: Tensor
    mask: Tensor | None
    stratum: Tensor

    def rows(self, numbers: Tensor) -> "Pictures":
        """The rows of these numbers."""
        mask = None if self.mask is None else self.mask[numbers]
        return Pictures(self.x[numbers], self.label[numbers], mask, self.stratum[numbers])

    def to(self, device: torch.device) -> "Pictures":
        """The same on a device."""
        mask = None if self.mask is None else self.mask.to(device)
        return Pictures(self.x.to(device), self.label.to(device), mask, self.stratum.to(device))

    @classmethod
    def joined(cls, parts: "list[Pictures]") -> "Pictures":
        """The rows of all parts, in their order."""
        masks = [part.mask for part in parts if part.mask is not None]
        return cls(
            torch.cat([part.x for part in parts]),
            torch.cat([part.label for part in parts]),
            torch.cat(masks) if masks else None,
            torch.cat([part.stratum for part in parts]),
        )


class ShardStream:
    """The training images of shards, a batch after the other, without end.

    Args:
        data: the section of the configuration.
        base: folder that its path starts from.
        preprocess: from grey levels to x.
        masks: whether the lesions' masks are wanted.

    Attributes:
        rows: number of training images.
        strata: names of the strata.

    Raises:
        DataError: there are no such shards, or too few of them.
        ProcessesError: the lanes can't be shared out over the processes that are running.
    """

    def __init__(self, data: ShardsData, base: Path, preprocess: Preprocess, *, masks: bool = False) -> None:
        self._data, self._folder, self._preprocess, self._masks = data, base / data.path, preprocess, masks
        manifest = Manifest.read(self._folder)
        self.rows = sum(shard.rows for shard in manifest.train)
        self.strata = manifest.strata or ("",)
        self._lanes = lanes_of(manifest.train, data.lanes, data.open_shards, data.seed)
        if data.lanes % processes.count():
            raise processes.ProcessesError(
                f"data.lanes: expected a multiple of the number of processes, {processes.count()}, found {data.lanes}"
            )
        own = data.lanes // processes.count()
        if data.workers and own % data.workers:
            raise DataError(f"data.workers: expected a divisor of the lanes of a process, {own}, found {data.workers}")

    def batches(self, batch_size: int, first: int = 0, *, field: str = "batch_size") -> Iterator[Pictures]:
        """This process's rows of every batch.

        Args:
            batch_size: images in it.
            first: number of the batch to begin with.
            field: the one that states the size, for messages.

        Raises:
            DataError: the batch has not as many rows of each lane, or a shard can't be read.
        """
        if batch_size % self._data.lanes:
            raise DataError(f"{field}: expected a multiple of data.lanes, {self._data.lanes}, found {batch_size}")
        each = batch_size // self._data.lanes
        own = len(self._lanes) // processes.count()
        lanes = self._lanes[processes.rank() * own :][:own]
        workers = self._data.workers
        loader = DataLoader(
            _Rows(self._folder, lanes, each, first, self._preprocess, self.strata, self._data.balance, self._masks),
            batch_size=None,
            num_workers=workers,
            # What a fork would copy of the threads of gloo, CUDA and OpenMP is in no state to go on.
            multiprocessing_context="spawn" if workers else None,
            worker_init_fn=end_without_finalizing,
            # Its own: the training's random numbers stay what they are without a loader.
            generator=torch.Generator(),
        )
        # The loader asks its workers in turn, so that so many in a row make up the lanes of one batch.
        turns = iter(loader)
        while True:
            yield Pictures.joined([next(turns) for _ in range(max(1, workers))])


def end_without_finalizing(_worker: int) -> None:
    """Lets a worker end as a forked one does, without finalizing the interpreter.

    The thread that passes on what it read may be in the midst of a tensor then. Python ends such a thread where it next
    asks for the interpreter, below frames of C++ that mustn't be unwound, and the worker dies of SIGABRT.
    """
    atexit.register(os._exit, 0)


class _Rows(IterableDataset[Pictures]):
    """What one process reads; of several workers each reads its share of the lanes."""

    def __init__(
        self,
        folder: Path,
        lanes: list[Lane],
        each: int,
        first: int,
        preprocess: Preprocess,
        strata: tuple[str, ...],
        balance: bool,
        masks: bool,
    ) -> None:
        self._folder, self._lanes, self._each, self._first = folder, lanes, each, first
        self._preprocess, self._strata, self._balance, self._masks = preprocess, strata, balance, masks

    def __iter__(self) -> Iterator[Pictures]:
        worker = get_worker_info()
        lanes = self._lanes
        if worker is not None:
            share = len(lanes) // worker.num_workers
            lanes = lanes[worker.id * share :][:share]
            torch.set_num_threads(1)
        rows = [self._rows_of(lane) for lane in lanes]
        while True:
            yield Pictures.joined([next(each) for each in rows for _ in range(self._each)])

    def _rows_of(self, lane: Lane) -> Iterator[Pictures]:
        for window in lane.windows(self._first * self._each):
            images = read_shards(self._folder, window.shards)
            weights = None
            if self._balance:
                weights = balancing_weights(torch.from_numpy(images.labels), images.strata).double().numpy()
            for row in window.order(weights).tolist():
                one = images.rows([row])
                known = preprocess_images(self._preprocess, one)
                stratum = self._strata.index(one.strata[0]) if one.strata else 0
                mask = lesion_masks(one, known.x.shape[-1]) if self._masks else None
                yield Pictures(known.x, known.label, mask, torch.tensor([stratum]))
            del images  # before the next ones are read
