"""The labelled images to evaluate on: which part of which data, their lesions in x's pixels, and whose turn it is."""

import hashlib
import tomllib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from medxgan.evaluation.errors import ImagesError, SubjectError
from medxgan.evaluation.statistics import random_for
from medxgan.server.images.film import Film
from medxgan.training.configuration import ConfigurationError, load_configuration
from medxgan.training.data.samples import DataSplit, LabelledImages
from medxgan.training.data.source import DataConfig
from medxgan.training.preprocessing import Preprocess
from medxgan.v1 import bundle_pb2

Split = Literal["test", "calibration"]
Part = Literal[Split, "training"]

_DATA: TypeAdapter[DataConfig] = TypeAdapter(DataConfig)


@dataclass(frozen=True, eq=False)
class EvaluatedImage:
    """One image and what is known of it.

    Attributes:
        id: its name, unique in the split.
        patient: whose it is; an image of an unknown patient counts as a patient of its own.
        patient_known: whether the data say whose it is.
        source: where it comes from; empty where unknown.
        positive: its label.
        film: the grey levels as stored.
        mask: [S, S] True on the pathology, in the pixels of x; None where the set has no masks or this one is empty.
    """

    id: str
    patient: str
    patient_known: bool
    source: str
    positive: bool
    film: Film
    mask: NDArray[np.bool_] | None


def data_of_file(file: Path) -> DataConfig:
    """The `data` section of a training TOML; a file with this section alone will do.

    Raises:
        SubjectError: there is no such file or section, or something in it is wrong.
    """
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
        if "extends" in content:
            return load_configuration(file).data
        if "data" not in content:
            raise SubjectError(f"{file}: expected a section [data]")
        return _DATA.validate_python(content["data"])
    except OSError as error:
        raise SubjectError(f"{file}: can't be read ({error.strerror})") from error
    except ConfigurationError as error:  # of a file that this one extends
        raise SubjectError(str(error)) from error
    except (ValidationError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SubjectError(f"{file}: {_problems(error)}") from error


def data_of_bundle(description: bundle_pb2.Bundle) -> DataConfig:
    """The `data` section that a bundle states in its provenance.

    Raises:
        SubjectError: it states none, or one that this version can't read.
    """
    where = f"{description.name}/{description.version}: provenance.configuration"
    stored = description.provenance.configuration.get("data")
    if stored is None:
        raise SubjectError(f"{where}: does not say which data to evaluate on; name a training file by --config")
    try:
        return _DATA.validate_json(stored)
    except ValidationError as error:
        raise SubjectError(f"{where}: data: {_problems(error)}; name a training file by --config") from error


def labelled_images(split: DataSplit, part: Part, specification: bundle_pb2.ImageSpecification) -> list[EvaluatedImage]:
    """The images of one part of the data.

    Args:
        split: the data.
        part: which part of them.
        specification: of the bundle's x, for the masks.

    Raises:
        ImagesError: there is no such part, or two images have one name.
    """
    images = _part(split, part)
    repeated = {name for name in images.ids if images.ids.count(name) > 1} if len(set(images.ids)) < len(images) else ()
    if repeated:
        raise ImagesError(f"{part} split: expected one image of each name, found several {min(repeated)!r}")
    masks = _masks(images, specification)
    return [
        EvaluatedImage(
            id=images.ids[row],
            patient=images.patients[row] or f"image {images.ids[row]}",
            patient_known=bool(images.patients[row]),
            source=images.sources[row],
            positive=bool(images.labels[row]),
            film=Film(
                np.asarray(images.images[row], np.float32),
                inverted=bool(images.inverted[row]),
                pixel_aspect=images.pixel_aspect(row),
                padding=None if images.paddings is None else images.paddings[row],
            ),
            mask=masks[row],
        )
        for row in range(len(images))
    ]


def in_pixels_of_x(
    mask: NDArray[np.bool_], specification: bundle_pb2.ImageSpecification, pixel_aspect: float = 1.0
) -> NDArray[np.bool_]:
    """A mask [H, W] of a stored image as [S, S]: where a pixel of x has more than half as much of it as any has.

    Args:
        mask: of the image as stored.
        specification: of x.
        pixel_aspect: height of the image's pixels over their width.
    """
    aspect = bundle_pb2.Aspect.Name(specification.aspect).removeprefix("ASPECT_").lower()
    geometry = Preprocess(specification.height, 0, 100, aspect)  # type: ignore[arg-type]
    stored, shape_of_pixels = torch.from_numpy(mask).float()[None, None], torch.tensor([pixel_aspect])
    # What is resized comes without its mean; beyond the image, where x may reach, there is no mask.
    share = geometry.resize(stored, torch.zeros(1), shape_of_pixels)[0, 0].numpy() + float(mask.mean())
    top, left, bottom, right = geometry.box(stored, shape_of_pixels).tolist()
    places = (np.arange(specification.height) + 0.5) / specification.height
    rows, columns = top + places * (bottom - top), left + places * (right - left)
    inside = ((rows > 0) & (rows < mask.shape[0]))[:, None] & (columns > 0) & (columns < mask.shape[1])
    share = np.where(inside, share, 0)
    found: NDArray[np.bool_] = 2 * share > share.max()
    return found


def fingerprint(images: Sequence[EvaluatedImage]) -> str:
    """SHA-256 over everything in the images, lower-case hexadecimal."""
    digest = hashlib.sha256()
    for image in images:
        digest.update(repr((image.id, image.patient, image.source, image.positive, image.film.inverted)).encode())
        digest.update(image.film.levels.tobytes())
        digest.update(b"" if image.mask is None else image.mask.tobytes())
        if image.film.pixel_aspect != 1:
            digest.update(repr(image.film.pixel_aspect).encode())
        if image.film.padding is not None:
            digest.update(image.film.padding.tobytes())
    return digest.hexdigest()


def fingerprint_of_data(data: DataSplit) -> str:
    """SHA-256 over every image that a bundle's figures and thresholds come from, lower-case hexadecimal."""
    digest = hashlib.sha256()
    for part in (data.test, data.train if data.calibration is None else data.calibration):
        for row, levels in enumerate(part.images):
            about = (
                part.ids[row],
                part.patients[row],
                part.sources[row],
                int(part.labels[row]),
                part.pixel_aspect(row),
            )
            digest.update(repr((*about, bool(part.inverted[row]), levels.shape, levels.dtype.str)).encode())
            digest.update(np.ascontiguousarray(levels).tobytes())
            digest.update(b"" if part.masks is None else part.masks[row].tobytes())
    return digest.hexdigest()


def patient_balanced(images: Sequence[EvaluatedImage], seed: int) -> list[EvaluatedImage]:
    """The images in random order, so that the first N are of as many patients as can be.

    Each patient's images and the patients are shuffled; then everyone's first image comes, everyone's second, and so
    on. A longer selection holds a shorter one.
    """
    of_patient: defaultdict[str, list[EvaluatedImage]] = defaultdict(list)
    for image in sorted(images, key=lambda each: each.id):
        of_patient[image.patient].append(image)
    random = random_for(seed, "selection")
    queues = []
    for patient in sorted(of_patient):
        rows = of_patient[patient]
        queues.append([rows[index] for index in random.permutation(len(rows))])
    turns = [queues[index] for index in random.permutation(len(queues))]
    longest = max(map(len, turns), default=0)
    return [queue[turn] for turn in range(longest) for queue in turns if turn < len(queue)]


def _part(split: DataSplit, wanted: Part) -> LabelledImages:
    parts = {"test": split.test, "calibration": split.calibration, "training": split.train}
    part = parts[wanted]
    if part is None:
        raise ImagesError("calibration split: the data has none; state data.calibration_share")
    if not len(part):
        raise ImagesError(f"{wanted} split: expected images, found none; state data.test_share")
    return part


def _masks(images: LabelledImages, specification: bundle_pb2.ImageSpecification) -> Sequence[NDArray[np.bool_] | None]:
    if images.masks is None:
        return [None] * len(images)
    found = (in_pixels_of_x(mask, specification, images.pixel_aspect(row)) for row, mask in enumerate(images.masks))
    return [mask if mask.any() else None for mask in found]


def _problems(error: Exception) -> str:
    if isinstance(error, ValidationError):
        return "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
    return str(error)
