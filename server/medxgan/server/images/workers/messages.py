"""What a worker and its server say to each other: a line of JSON each way for each file.

The server never unpickles what a worker says, so that a file that has taken a worker over gains no hold on the server.
The file, and the levels made of it, lie in shared memory.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import cast

import numpy as np

from medxgan.server.errors import ImageError, ImageTooLargeError, MedxganError, UnsupportedError
from medxgan.server.images.contrast import Percentiles
from medxgan.server.images.film import Film, PixelSpacing, Reduced
from medxgan.server.images.reduction import Reduction
from medxgan.v1.explanation_pb2 import Orientation

FORK = b"f"
"""What the server sends for each worker that it wants, with a socket to it and the memory that they share."""
LONGEST_JOB = 4096
"""Most bytes of a job's line."""
LONGEST_ANSWER = 65_536
"""Most bytes of a worker's line."""
OUT_OF_MEMORY = "out of memory"

_ALIGNMENT = 64
_ERRORS: dict[str, type[ImageError]] = {"ImageError": ImageError, "ImageTooLargeError": ImageTooLargeError}


@dataclass(frozen=True)
class Job:
    """A file to decode.

    Attributes:
        form: "encoded" or "dicom".
        size: bytes of the file.
        frame: the frame asked for, from 1; 0 where none was.
        spacing: of its pixels, where it came beside the file.
        reduction: what to reduce the film to; None where all of it is wanted.
    """

    form: str
    size: int
    frame: int
    spacing: PixelSpacing | None = None
    reduction: Reduction | None = None

    def line(self) -> bytes:
        """The job as it is sent."""
        return json.dumps(asdict(self)).encode() + b"\n"

    @classmethod
    def of(cls, line: bytes) -> "Job":
        """The job that was sent."""
        said = json.loads(line)
        if said["spacing"] is not None:
            said["spacing"] = PixelSpacing(**said["spacing"])
        if (reduction := said["reduction"]) is not None:
            said["reduction"] = Reduction(**reduction | {"percentiles": Percentiles(**reduction["percentiles"])})
        return cls(**said)


def film_line(film: Film) -> bytes:
    """All of a film but its levels."""
    described = {
        "shape": film.levels.shape,
        "reduced": None if film.reduced is None else asdict(film.reduced),
        "inverted": bool(film.inverted),
        "orientation": Orientation.Name(film.orientation),
        "spacing": [film.spacing.row_mm, film.spacing.column_mm] if film.spacing else None,
        "pixel_aspect": film.pixel_aspect,
        "frame": film.frame,
        "notes": film.notes,
    }
    return json.dumps({"film": described}).encode() + b"\n"


def error_line(error: MedxganError) -> bytes:
    """An error that a caller hears of."""
    if isinstance(error, ImageError):
        said = {"kind": type(error).__name__, "field": error.field, "text": error.expected}
    else:
        said = {"kind": UnsupportedError.__name__, "field": "", "text": str(error)}
    return json.dumps({"error": said}).encode() + b"\n"


def failure_line(kind: str) -> bytes:
    """A failure of the worker: the name of an exception, or OUT_OF_MEMORY."""
    return json.dumps({"failure": kind}).encode() + b"\n"


def ready_line(process: int) -> bytes:
    """That a worker is ready, and which process it is."""
    return json.dumps({"ready": process}).encode() + b"\n"


def ready_process(line: bytes) -> int:
    """The process that says that it is ready."""
    return int(json.loads(line)["ready"])


def levels_offset(file_bytes: int) -> int:
    """Where the levels begin in the shared memory, behind the file."""
    return -(-file_bytes // _ALIGNMENT) * _ALIGNMENT


class WorkerFailureError(Exception):
    """A worker that could not do its job: the name of an exception, or OUT_OF_MEMORY."""


def described_film(line: bytes, maximum_pixels: int) -> Film:
    """The film that a worker describes; its levels are zeros yet.

    Raises:
        MedxganError: the error that the worker describes.
        WorkerFailureError: it could not do its job, or says what can't be.
    """
    try:
        said = json.loads(line)
        if "failure" in said:
            raise WorkerFailureError(str(said["failure"]))
        if "error" in said:
            raise _described_error(**said["error"])
        described = said["film"]
        shape = _checked(described["shape"], maximum_pixels)
        reduced = described["reduced"]
        spacing = described["spacing"]
        return Film(
            levels=np.broadcast_to(np.float32(0), shape),
            inverted=bool(described["inverted"]),
            orientation=cast("Orientation", Orientation.Value(str(described["orientation"]))),
            spacing=PixelSpacing(float(spacing[0]), float(spacing[1])) if spacing else None,
            pixel_aspect=float(described["pixel_aspect"]),
            frame=int(described["frame"]),
            notes=tuple(map(str, described["notes"])),
            reduced=None if reduced is None else _described_reduction(reduced, maximum_pixels),
        )
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise WorkerFailureError(type(error).__name__) from None


def _checked(shape: Sequence[int], maximum_pixels: int) -> tuple[int, int]:
    height, width = map(int, shape)
    if not (height > 0 and width > 0 and height * width <= maximum_pixels):
        raise WorkerFailureError("size")
    return height, width


def _described_reduction(said: Mapping[str, object], maximum_pixels: int) -> Reduced:
    top, left, bottom, right = map(float, cast("Sequence[float]", said["box"]))
    height, width = _checked(cast("Sequence[int]", [said["height"], said["width"]]), maximum_pixels)
    return Reduced(height, width, (top, left, bottom, right))


def _described_error(kind: str, field: str, text: str) -> MedxganError:
    if kind == UnsupportedError.__name__:
        return UnsupportedError(text)
    return _ERRORS[kind](field, text)
