"""Where a run's images come from: the `data` section of its configuration, and how it is loaded."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from medxgan.training.data.errors import DataError
from medxgan.training.data.folders import read_folder
from medxgan.training.data.medmnist import read_medmnist
from medxgan.training.data.npz import read_npz, read_npz_split
from medxgan.training.data.phantom import phantoms
from medxgan.training.data.samples import DataSplit, LabelledImages
from medxgan.training.data.shards import read_parts
from medxgan.training.data.splitting import split_by_patient

Values = tuple[str | int | float, ...]


class _Source(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    test_share: float = Field(
        default=0.2,
        ge=0.0,
        le=1.0,
        description="Share of the images of each label to test on, parted by patient; 1 to measure on all of them.",
    )
    calibration_share: float = Field(
        default=0.0,
        ge=0.0,
        lt=1.0,
        description="Share of the training images, parted by patient, that nothing is trained on: thresholds are set "
        "there. 0 sets them on the training images themselves, which are reconstructed better than new ones.",
    )
    split_seed: int = Field(default=0, ge=0, description="Seed of the split by patient.")


class NpzData(_Source):
    """A `.npz` set: `images` and one array a column."""

    kind: Literal["npz"]
    path: Path = Field(description="The file.")
    keep: dict[str, Values] = Field(
        default_factory=dict, description="A row stays where each of these columns has one of these values."
    )
    positive: dict[str, Values] | None = Field(
        default=None,
        description="A row is positive where each of these columns has one of these values; if absent, `labels` says.",
    )
    stated_split: bool = Field(
        default=True, description="Part the rows as the column `split` says, and not by test_share and split_seed."
    )
    balance: str | None = Field(
        default=None,
        description="A column (the projection, say) within each of whose values the training draws as many positives "
        "as negatives, and as many rows of each value, so that the column says nothing of the label.",
    )

    def load(self, base: Path) -> DataSplit:
        """Reads the set; a relative path starts at `base`."""
        if self.stated_split:
            return _set_aside(read_npz_split(base / self.path, self.keep, self.positive, self.balance), self)
        return _split(read_npz(base / self.path, self.keep, self.positive, self.balance), self)


class FolderData(_Source):
    """A folder of images with one folder a class: ROOT/CLASS/*.png, .jpg or .tif."""

    kind: Literal["folder"]
    path: Path = Field(description="ROOT.")
    positive: tuple[str, ...] = Field(min_length=1, description="Names of the folders whose images are positive.")
    negative: tuple[str, ...] = Field(min_length=1, description="Names of the folders whose images are negative.")
    patients: Path | None = Field(
        default=None,
        description="CSV with the columns file (CLASS/NAME) and patient; if absent, each image is its own patient.",
    )

    def load(self, base: Path) -> DataSplit:
        """Reads the folder; a relative path starts at `base`."""
        patients = None if self.patients is None else base / self.patients
        return _split(read_folder(base / self.path, self.positive, self.negative, patients), self)


class DicomData(_Source):
    """A folder of DICOM files and a CSV with their labels; PatientID says which belong together."""

    kind: Literal["dicom"]
    path: Path = Field(description="The folder.")
    labels: Path = Field(description="CSV with the columns file (relative to the folder) and label (0 or 1).")

    def load(self, base: Path) -> DataSplit:
        """Reads the folder; a relative path starts at `base`."""
        try:
            from medxgan.training.data.dicom_folder import read_dicom_folder
        except ModuleNotFoundError as error:
            raise DataError(f"data of kind 'dicom' needs {error.name}: install medxgan[dicom]") from error
        return _split(read_dicom_folder(base / self.path, base / self.labels), self)


class PhantomData(_Source):
    """Drawn brain-like slices with lesions; nothing to download."""

    kind: Literal["phantom"]
    count: int = Field(ge=2, description="Number of slices.")
    size: int = Field(default=64, ge=32, le=512, description="Height and width in pixels.")
    seed: int = Field(default=0, ge=0, description="Seed of the drawing; the same seed draws the same slices.")
    positive_share: float = Field(default=0.5, ge=0.0, le=1.0, description="Share of the slices with lesions.")

    def load(self, base: Path) -> DataSplit:  # noqa: ARG002 - nothing is read
        """Draws the slices."""
        return _split(phantoms(self.count, self.size, self.seed, self.positive_share), self)


class MedMnistData(BaseModel):
    """A `.npz` set of the layout of MedMNIST: `train_images`, `val_images`, `test_images`, and the same of `labels`.

    Its own parts are kept: it is trained on `train`, choices are made on `val`, and figures are those of `test`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["medmnist"]
    path: Path = Field(description="The file.")
    positive: tuple[int, ...] = Field(
        (1,), min_length=1, description="Labels that are positive, of several columns the numbers of those."
    )

    def load(self, base: Path) -> DataSplit:
        """Reads the set; a relative path starts at `base`."""
        return read_medmnist(base / self.path, self.positive)


class ShardsData(BaseModel):
    """Shards that `medxgan data shard` made of a set of another kind; its parts are kept."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["shards"]
    path: Path = Field(description="The folder.")
    lanes: int = Field(
        default=4,
        ge=1,
        description="Ways that the training shards are dealt out to; every batch has as many rows of each, and every "
        "process reads as many of them.",
    )
    open_shards: int = Field(
        default=4, ge=1, description="Shards of a lane that are held at a time, and whose rows are shuffled together."
    )
    workers: int = Field(default=1, ge=0, description="Processes that read for each that trains; 0: it reads itself.")
    sample: int = Field(
        default=1024,
        ge=1,
        description="Training images that are held: progress is watched, and familiarity fitted, on them.",
    )
    seed: int = Field(default=0, ge=0, description="Seed of the order.")
    balance: bool = Field(
        default=False,
        description="Draw as many positives as negatives of each stratum within the shards that are held.",
    )

    def load(self, base: Path) -> DataSplit:
        """Reads the calibration and the test part and, as `train`, a sample of the training images."""
        return read_parts(base / self.path, self.sample)


DataConfig = Annotated[
    NpzData | FolderData | DicomData | PhantomData | MedMnistData | ShardsData, Field(discriminator="kind")
]


def load(config: DataConfig, base: Path) -> DataSplit:
    """Loads the images that a configuration names, parted into train and test.

    Args:
        config: one of the kinds.
        base: folder that relative paths of the configuration start from, as a rule the configuration file's own.

    Raises:
        DataError: the images cannot be read or parted.
    """
    return config.load(base)


def _split(samples: LabelledImages, source: _Source) -> DataSplit:
    test = split_by_patient(samples.patients, samples.labels, source.test_share, source.split_seed)
    return _set_aside(samples.split(test), source)


def _set_aside(split: DataSplit, source: _Source) -> DataSplit:
    """Parts the patients to calibrate on from those to train on."""
    if not source.calibration_share:
        return split
    train = split.train
    aside = split_by_patient(train.patients, train.labels, source.calibration_share, source.split_seed)
    return DataSplit(train=train.select(~aside), test=split.test, calibration=train.select(aside))
