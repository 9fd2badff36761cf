"""Labelled images as the generator's objective takes them: held in memory, or streamed from shards."""

from collections.abc import Iterator
from pathlib import Path

import torch
from lightning_fabric import Fabric
from torch import Tensor

from medxgan.training import processes
from medxgan.training.configuration import TrainingConfig
from medxgan.training.data.samples import DataSplit
from medxgan.training.data.source import ShardsData
from medxgan.training.dataset import lesion_masks, preprocess_images
from medxgan.training.focus import classifier_focus, masked_focus
from medxgan.training.networks import ExplainedClassifier
from medxgan.training.objective import Batch
from medxgan.training.runs import build_preprocess
from medxgan.training.sampling import balancing_weights, draw_batch
from medxgan.training.streaming import ShardStream


class Examples:
    """The training images, as the frozen classifier sees them.

    Args:
        configuration: the whole of it.
        data_root: folder that relative paths of the `data` section start from.
        classifier: on its device.
        fabric: the device.
        split: the images, where they are in memory already.

    Attributes:
        split: what the `data` section names; of shards, `train` is a sample.
        known: its training images: all of those in memory, of shards the sample.
        strata: names of the strata.
    """

    def __init__(
        self,
        configuration: TrainingConfig,
        data_root: Path,
        classifier: ExplainedClassifier,
        fabric: Fabric,
        split: DataSplit | None = None,
    ) -> None:
        self._settings, self._threshold = configuration.generator, configuration.classes.decision_threshold
        self._classifier, self._fabric = classifier, fabric
        preprocess = build_preprocess(configuration)
        self.split = configuration.data.load(data_root) if split is None else split
        self.split.check_training()
        images = self.split.train
        self._stream: ShardStream | None = None
        self.strata = sorted(set(images.strata or ("",)))
        if split is None and isinstance(configuration.data, ShardsData):
            self._stream = ShardStream(configuration.data, data_root, preprocess, masks=self._settings.focus == "masks")
            self.strata = list(self._stream.strata)
        x = preprocess_images(preprocess, images).x
        self._stratum = torch.tensor([self.strata.index(name) for name in images.strata or (self.strata[0],) * len(x)])
        masks = lesion_masks(images, x.shape[-1]) if self._settings.focus == "masks" else None
        self.known = self._seen(x, masks, self._stratum)
        self._stratum = fabric.to_device(self._stratum)
        self._share = balancing_weights(torch.from_numpy(images.labels), images.strata) if images.strata else None

    def batches(self, first: int) -> Iterator[Batch]:
        """This process's rows of every batch, without end.

        Args:
            first: number of the batch to begin with, of those from shards; others follow from the random state.
        """
        size = self._settings.batch_size
        if self._stream is not None:
            for pictures in self._stream.batches(size, first, field="generator.batch_size"):
                yield self._seen(pictures.x, pictures.mask, pictures.stratum)
        known = self.known
        while True:
            rows = processes.own_rows(draw_batch(self._share, len(known.x), size))
            yield Batch(known.x[rows], known.label[rows], known.focus[rows], self._stratum[rows])

    def _seen(self, x: Tensor, masks: Tensor | None, stratum: Tensor) -> Batch:
        """Pictures with C's decision on them and, in positives, where it looks or where the lesions are."""
        x, stratum = self._fabric.to_device(x), self._fabric.to_device(stratum)
        if masks is not None:
            decision, focus, _ = masked_focus(self._classifier, x, self._fabric.to_device(masks), self._threshold)
        else:
            decision, focus = classifier_focus(self._classifier, x, self._threshold)
        return Batch(x, decision, focus, stratum)
