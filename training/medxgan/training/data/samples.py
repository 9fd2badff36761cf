"""What every reader returns: grey images with a label, a patient and a source each."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medxgan.training.data.errors import DataError

LEVEL_TYPES = (np.dtype(np.uint8), np.dtype(np.uint16), np.dtype(np.float32))


@dataclass(frozen=True, eq=False)
class LabelledImages:
    """N grey images and what is known of each; row i of every field belongs to image i.

    Attributes:
        images: N arrays [H, W] of grey levels, uint8, uint16 or float32, as stored; sizes may differ.
        labels: uint8 [N], 1 where the image is positive, else 0.
        patients: the patient of each image; an empty string where unknown, then the image counts as its own patient.
        sources: where each image comes from (hospital, collection); an empty string where unknown.
        ids: a name for each image, for messages and reports.
        inverted: bool [N], True where a high level means dark (DICOM's MONOCHROME1).
        masks: bool [N, H, W], True on the pathology, or None where the set has no masks.
        strata: what else each image is to be compared within (the projection, say), or None where nothing is known.
        pixel_aspects: float64 [N] height of an image's pixels over their width, or None where all are square.
        paddings: bool [H, W] of each image, True where a pixel is none of the picture, which is dark in `images`; None
            for an image that has none, and where none has.

    Raises:
        DataError: a field's length, shape, type or range does not fit.
    """

    images: Sequence[NDArray[Any]]
    labels: NDArray[np.uint8]
    patients: tuple[str, ...]
    sources: tuple[str, ...]
    ids: tuple[str, ...]
    inverted: NDArray[np.bool_]
    masks: NDArray[np.bool_] | None = None
    strata: tuple[str, ...] | None = None
    pixel_aspects: NDArray[np.float64] | None = None
    paddings: tuple[NDArray[np.bool_] | None, ...] | None = None

    def __post_init__(self) -> None:
        count = len(self.images)
        for field in fields(self):
            column = getattr(self, field.name)
            if column is not None and len(column) != count:
                raise DataError(f"{field.name}: expected {count} rows, one for each image, got {len(column)}")
        if self.labels.dtype != np.uint8 or self.labels.ndim != 1 or np.any(self.labels > 1):
            raise DataError("labels: expected uint8 [N] of 0 and 1")
        if self.inverted.dtype != np.bool_ or self.inverted.ndim != 1:
            raise DataError("inverted: expected bool [N]")
        if self.masks is not None and (self.masks.dtype != np.bool_ or self.masks.ndim != 3):
            raise DataError("masks: expected bool [N, H, W]")
        aspects = self.pixel_aspects
        if aspects is not None and not (np.isfinite(aspects).all() and (aspects > 0).all()):
            raise DataError("pixel_aspects: expected numbers above 0")
        for row, image in enumerate(self.images):
            self._check_image(row, image)

    def _check_image(self, row: int, image: NDArray[Any]) -> None:
        where = f"images: {self.ids[row]!r}"
        if image.ndim != 2 or image.size == 0:
            raise DataError(f"{where}: expected a grey image [H, W], got shape {list(image.shape)}")
        if image.dtype not in LEVEL_TYPES:
            raise DataError(f"{where}: expected uint8, uint16 or float32 levels, got {image.dtype}")
        if image.dtype == np.float32 and not np.isfinite(image).all():
            raise DataError(f"{where}: a level is not a finite number")
        if self.masks is not None and image.shape != self.masks.shape[1:]:
            raise DataError(f"{where}: shape {list(image.shape)}, but its mask has {list(self.masks.shape[1:])}")
        padding = None if self.paddings is None else self.paddings[row]
        if padding is not None and image.shape != padding.shape:
            raise DataError(f"{where}: shape {list(image.shape)}, but its padding has {list(padding.shape)}")

    def __len__(self) -> int:
        return len(self.images)

    def pixel_aspect(self, row: int) -> float:
        """Height of an image's pixels over their width."""
        return 1.0 if self.pixel_aspects is None else float(self.pixel_aspects[row])

    def select(self, chosen: NDArray[np.bool_]) -> "LabelledImages":
        """The rows where `chosen`, bool [N], is True, in their order.

        Raises:
            DataError: `chosen` is not bool [N].
        """
        if chosen.dtype != np.bool_ or chosen.shape != (len(self),):
            raise DataError(f"chosen: expected bool [{len(self)}], got {chosen.dtype} {list(chosen.shape)}")
        return self.rows(np.flatnonzero(chosen).tolist())

    def rows(self, numbers: Sequence[int]) -> "LabelledImages":
        """The rows of these numbers, in this order."""
        rows = list(numbers)
        return replace(
            self,
            images=[self.images[row] for row in rows],
            labels=self.labels[rows],
            patients=tuple(self.patients[row] for row in rows),
            sources=tuple(self.sources[row] for row in rows),
            ids=tuple(self.ids[row] for row in rows),
            inverted=self.inverted[rows],
            masks=None if self.masks is None else self.masks[rows],
            strata=None if self.strata is None else tuple(self.strata[row] for row in rows),
            pixel_aspects=None if self.pixel_aspects is None else self.pixel_aspects[rows],
            paddings=None if self.paddings is None else tuple(self.paddings[row] for row in rows),
        )

    def split(self, test: NDArray[np.bool_]) -> "DataSplit":
        """The rows where `test`, bool [N], is False for training, the others for testing."""
        return DataSplit(train=self.select(~test), test=self.select(test))


@dataclass(frozen=True, eq=False)
class DataSplit:
    """Images to learn from and images to be measured on.

    Attributes:
        train: seen in training.
        test: never seen in training, nor by anyone who makes a choice.
        calibration: never trained on; choices such as the verdict's thresholds are made there. None if there is no
            such part, then they are made on `train`.

    Raises:
        DataError: a known patient is in two parts.
    """

    train: LabelledImages
    test: LabelledImages
    calibration: LabelledImages | None = None

    def __post_init__(self) -> None:
        parts = {"train": self.train, "test": self.test} | (
            {"calibration": self.calibration} if self.calibration is not None else {}
        )
        for one, other in combinations(parts, 2):
            shared = (set(parts[one].patients) & set(parts[other].patients)) - {""}
            if shared:
                raise DataError(f"expected each patient in one part, got {len(shared)} in both {one} and {other}")

    def check_training(self, *, both_classes: bool = False) -> None:
        """See that there is something to train on.

        Args:
            both_classes: whether positives and negatives are needed.

        Raises:
            DataError: there is not.
        """
        if not len(self.train):
            raise DataError("train: expected images to train on, got none: state a data.test_share below 1")
        positives = int(self.train.labels.sum())
        if both_classes and positives in {0, len(self.train)}:
            found = "positive" if positives else "negative"
            raise DataError(f"train: expected images of both classes to train on, got {found} ones alone")
