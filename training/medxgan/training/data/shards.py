"""Shards: a set as Parquet files that a training reads one after the other, so that it need not fit into memory.

FOLDER/shards.json            which files there are, and how many rows each has
FOLDER/train/00000.parquet    one row an image; the same under calibration/ and test/

Whoever makes them parts the patients; who reads them takes the parts as they are. The files hold what the set held:
grey levels as stored, and the patients' names.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from medxgan.training.data.errors import DataError
from medxgan.training.data.samples import DataSplit, LabelledImages

Part = Literal["train", "calibration", "test"]

MANIFEST = "shards.json"

SCHEMA = pa.schema(
    [
        ("levels", pa.binary()),
        ("type", pa.string()),
        ("height", pa.int32()),
        ("width", pa.int32()),
        ("label", pa.uint8()),
        ("patient", pa.string()),
        ("source", pa.string()),
        ("id", pa.string()),
        ("inverted", pa.bool_()),
        ("mask", pa.binary()),
        ("stratum", pa.string()),
        ("pixel_aspect", pa.float64()),
        ("padding", pa.binary()),
    ]
)
"""A mask is packed, eight pixels a byte; null where the set has none, as the stratum and what follows it are.

Shards of before the last two columns are read as if these were null.
"""


class Shard(BaseModel):
    """One file.

    Attributes:
        file: relative to the folder.
        rows: images in it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: str
    rows: int = Field(ge=1)


class Manifest(BaseModel):
    """`shards.json`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    train: tuple[Shard, ...]
    calibration: tuple[Shard, ...] = ()
    test: tuple[Shard, ...] = ()
    strata: tuple[str, ...] = Field((), description="Names of the strata of the training, sorted; empty: none known.")

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read the manifest of a folder.

        Raises:
            DataError: there is none, or it is malformed.
        """
        file = folder / MANIFEST
        try:
            return cls.model_validate_json(file.read_text(encoding="utf-8"))
        except (OSError, ValidationError) as error:
            raise DataError(f"{file}: expected the list of shards that `medxgan data shard` writes: {error}") from error


class ShardWriter:
    """Writes the shards of one set, which may come in portions that fit into memory one at a time.

    Args:
        folder: made; must be empty.
        rows: images a shard, at most.
        seed: of the order that the rows of a portion are dealt out in, so that each shard is a sample of its portion.

    Raises:
        DataError: the folder holds something already.
    """

    def __init__(self, folder: Path, rows: int, seed: int) -> None:
        if folder.exists() and any(folder.iterdir()):
            raise DataError(f"{folder}: expected an empty folder, or none, for the shards")
        self._folder, self._rows = folder, rows
        self._random = np.random.default_rng(seed)
        self._shards: dict[Part, list[Shard]] = {"train": [], "calibration": [], "test": []}
        self._part_of: dict[str, Part] = {}
        self._strata: set[str] = set()

    def add(self, split: DataSplit) -> None:
        """Write a portion, its parts as they are.

        Raises:
            DataError: a patient is in another part of an earlier portion.
        """
        parts: list[tuple[Part, LabelledImages | None]] = [
            ("train", split.train),
            ("calibration", split.calibration),
            ("test", split.test),
        ]
        for part, images in parts:
            for patient in set(images.patients) - {""} if images is not None else ():
                if self._part_of.setdefault(patient, part) != part:
                    raise DataError(
                        f"a patient of {part} is in {self._part_of[patient]} of an earlier portion: give "
                        "the portions of one patient as one"
                    )
        for part, images in parts:
            if images is not None and len(images):
                self._write(part, images)
        self._strata |= set(split.train.strata or ())

    def finish(self) -> Manifest:
        """Write the manifest, without which the folder is no set.

        Raises:
            DataError: there is nothing to train on.
        """
        if not self._shards["train"]:
            raise DataError(f"{self._folder}: no images to train on")
        manifest = Manifest(
            train=tuple(self._shards["train"]),
            calibration=tuple(self._shards["calibration"]),
            test=tuple(self._shards["test"]),
            strata=tuple(sorted(self._strata)),
        )
        (self._folder / MANIFEST).write_text(manifest.model_dump_json(indent=2) + "\n", encoding="utf-8")
        return manifest

    def _write(self, part: Part, images: LabelledImages) -> None:
        (self._folder / part).mkdir(parents=True, exist_ok=True)
        order = self._random.permutation(len(images))
        for rows in np.array_split(order, -(-len(images) // self._rows)):
            file = f"{part}/{len(self._shards[part]):05}.parquet"
            table = pa.Table.from_pylist([_row_of(images, int(row)) for row in rows], schema=SCHEMA)
            pq.write_table(table, self._folder / file, compression="zstd")
            self._shards[part].append(Shard(file=file, rows=len(rows)))


def read_shards(folder: Path, shards: Iterable[Shard]) -> LabelledImages:
    """The images of some shards, in their order.

    Raises:
        DataError: a file is missing, malformed, or has another number of rows than the manifest says.
    """
    rows: list[dict[str, Any]] = []
    for shard in shards:
        try:
            # One thread and no memory mapping: what is read is as large as it is, and is given back.
            table = pq.read_table(folder / shard.file, schema=SCHEMA, use_threads=False, memory_map=False)
        except (OSError, pa.ArrowException) as error:
            raise DataError(f"{folder / shard.file}: not a readable shard: {error}") from error
        if table.num_rows != shard.rows:
            raise DataError(f"{folder / shard.file}: expected {shard.rows} rows, got {table.num_rows}")
        rows += table.to_pylist()
    try:
        return _images_of(rows)
    except (TypeError, ValueError) as error:
        raise DataError(f"{folder}: a row of its shards is malformed: {error}") from error


def read_parts(folder: Path, sample: int) -> DataSplit:
    """The calibration and the test part, and of the training part as many rows, from the first shards on.

    Raises:
        DataError: the folder holds no shards, or one of them can't be read.
    """
    manifest = Manifest.read(folder)
    read: list[Shard] = []
    for shard in manifest.train:
        if sum(each.rows for each in read) < sample:
            read.append(shard)
    train = read_shards(folder, read)
    return DataSplit(
        train=train.rows(range(min(sample, len(train)))),
        test=read_shards(folder, manifest.test),
        calibration=read_shards(folder, manifest.calibration) if manifest.calibration else None,
    )


def _row_of(images: LabelledImages, row: int) -> dict[str, Any]:
    levels = images.images[row]
    padding = None if images.paddings is None else images.paddings[row]
    return {
        "levels": np.ascontiguousarray(levels).tobytes(),
        "type": levels.dtype.name,
        "height": levels.shape[0],
        "width": levels.shape[1],
        "label": int(images.labels[row]),
        "patient": images.patients[row],
        "source": images.sources[row],
        "id": images.ids[row],
        "inverted": bool(images.inverted[row]),
        "mask": None if images.masks is None else np.packbits(images.masks[row]).tobytes(),
        "stratum": None if images.strata is None else images.strata[row],
        "pixel_aspect": None if images.pixel_aspects is None else float(images.pixel_aspects[row]),
        "padding": None if padding is None else np.packbits(padding).tobytes(),
    }


def _images_of(rows: Sequence[dict[str, Any]]) -> LabelledImages:
    def column(name: str) -> tuple[Any, ...]:
        return tuple(row[name] for row in rows)

    masks = [_mask_of(row, "mask") for row in rows if row["mask"] is not None]
    paddings = tuple(None if row["padding"] is None else _mask_of(row, "padding") for row in rows)
    strata, aspects = column("stratum"), column("pixel_aspect")
    return LabelledImages(
        images=[np.frombuffer(row["levels"], row["type"]).reshape(row["height"], row["width"]) for row in rows],
        labels=np.array(column("label"), dtype=np.uint8),
        patients=column("patient"),
        sources=column("source"),
        ids=column("id"),
        inverted=np.array(column("inverted"), dtype=np.bool_),
        masks=np.stack(masks) if masks else None,
        strata=None if None in strata or not strata else strata,
        pixel_aspects=None if None in aspects else np.array(aspects, dtype=np.float64),
        paddings=None if all(padding is None for padding in paddings) else paddings,
    )


def _mask_of(row: dict[str, Any], column: str) -> NDArray[np.bool_]:
    pixels = row["height"] * row["width"]
    packed = np.frombuffer(row[column], np.uint8)
    return np.unpackbits(packed, count=pixels).reshape(row["height"], row["width"]).astype(np.bool_)
