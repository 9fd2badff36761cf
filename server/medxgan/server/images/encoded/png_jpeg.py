"""PNG and JPEG files. Pillow reads them; where it would lose depth, imagecodecs does."""

import itertools
from io import BytesIO

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL.Image import Exif, Image
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile

from medxgan.server.errors import ImageError
from medxgan.server.images.codestream import exif_of, read_codestream, too_many_scans, with_other_end
from medxgan.server.images.encoded.picture import FIELD, ORIENTATION_TAG, TRANSPARENCY_NOTE, Picture
from medxgan.server.images.encoded.png_data import COLOUR_TYPE, DEPTH, SAMPLES, check_data
from medxgan.server.images.film import strips
from medxgan.server.images.frames import frame_index
from medxgan.server.images.limits import ImageLimits

_BYTES_PER_PIXEL = {"1": 1, "L": 1, "P": 1, "LA": 2, "I;16": 2, "RGB": 3, "YCbCr": 3}
_MOST_BYTES_PER_PIXEL = 4
_USUAL_GAMMA = 0.45455


def read_png(content: bytes, frame: int, limits: ImageLimits) -> Picture:
    """Read a PNG file: grey of 1 to 16 bits, colour of 8 and 16 bits, with or without a palette or transparency.

    Raises:
        ImageError: if it is animated.
        ImageTooLargeError: if it is over a limit.
    """
    frame_index(1, frame)
    with PngImageFile(BytesIO(content)) as file:
        samples_of_pixel = SAMPLES.get(content[COLOUR_TYPE], 1)
        deep = content[DEPTH] == 16 and samples_of_pixel > 1
        bytes_per_pixel = 2 * samples_of_pixel if deep else _bytes_per_pixel(file)
        limits.check(FIELD, file.height, file.width, bytes_per_pixel)
        if file.is_animated:
            raise ImageError(FIELD, "expected a PNG file with one picture, got several")
        check_data(content)
        file.load()
        samples, notes = _deep_samples(content) if deep else _samples(file)
        if file.info.get("transparency") is not None and TRANSPARENCY_NOTE not in notes:
            notes.append(TRANSPARENCY_NOTE)
        if abs(file.info.get("gamma", _USUAL_GAMMA) - _USUAL_GAMMA) > 0.01:
            notes.append("the gamma that the file states was not applied: grey levels are as stored")
        density = file.info.get("dpi") or file.info.get("aspect")
        return Picture(samples, orientation=_orientation(file), pixels_per_unit=density, notes=tuple(notes))


def read_jpeg(content: bytes, frame: int, limits: ImageLimits) -> Picture:
    """Read a JPEG file of 8 bits, or of up to 16 where it is grey or lossless.

    Raises:
        ImageTooLargeError: if it is over a limit.
    """
    frame_index(1, frame)
    if too_many_scans(content):
        raise ImageError(FIELD, "expected a JPEG file of fewer scans")
    stated = read_codestream(content)
    if stated is not None and stated.precision != 8:
        limits.check(FIELD, stated.height, stated.width, 2 * stated.samples)
        samples = imagecodecs.jpeg8_decode(content)
        _refuse_cut(samples, imagecodecs.jpeg8_decode(with_other_end(content)))
        if samples.shape not in ((stated.height, stated.width), (stated.height, stated.width, 3)):
            raise ImageError(FIELD, "expected a JPEG file of one or three samples per pixel")
        exif = Exif()
        exif.load(exif_of(content))
        return Picture(samples, orientation=int(exif.get(ORIENTATION_TAG, 1)))
    with JpegImageFile(BytesIO(content)) as file:
        limits.check(FIELD, file.height, file.width, _bytes_per_pixel(file))
        file.load()
        samples, notes = _samples(file)
        with JpegImageFile(BytesIO(with_other_end(content))) as other:
            _refuse_cut(samples, _samples(other)[0])
        return Picture(samples, orientation=_orientation(file), pixels_per_unit=_density(file), notes=tuple(notes))


def _refuse_cut(samples: NDArray[np.generic], with_another_end: NDArray[np.generic]) -> None:
    if not np.array_equal(samples, with_another_end):
        raise ImageError(FIELD, "expected a whole JPEG file, got one that holds less than it states")


def _bytes_per_pixel(file: ImageFile) -> int:
    return _BYTES_PER_PIXEL.get(file.mode, _MOST_BYTES_PER_PIXEL)


def _density(file: ImageFile) -> tuple[float, float] | None:
    stated = file.info.get("dpi") or file.info.get("jfif_density")
    return (float(stated[0]), float(stated[1])) if stated else None


def _orientation(file: ImageFile) -> int:
    return int(file.getexif().get(ORIENTATION_TAG, 1))


def _deep_samples(content: bytes) -> tuple[NDArray[np.generic], list[str]]:
    """Samples of 16 bits, of which Pillow keeps 8 where there is more than one."""
    decoded = imagecodecs.png_decode(content)
    if decoded.ndim == 2:
        return decoded, []
    colours = 3 if decoded.shape[2] >= 3 else 1
    notes = [TRANSPARENCY_NOTE] if decoded.shape[2] in (2, 4) else []
    return (decoded[..., 0] if colours == 1 else decoded[..., :3]), notes


def _array(file: Image, mode: str) -> NDArray[np.generic]:
    """The pixels of a file in a mode, by strips: Pillow would hold them three times."""
    parts = (
        np.asarray(file.crop((0, rows.start, file.width, min(rows.stop, file.height))).convert(mode))
        for rows in strips(file.height, file.width)
    )
    first = next(parts)
    pixels = np.empty((file.height, *first.shape[1:]), first.dtype)
    at = 0
    for part in itertools.chain([first], parts):
        pixels[at : at + len(part)] = part
        at += len(part)
    return pixels


def _samples(file: Image) -> tuple[NDArray[np.generic], list[str]]:
    """Grey [H, W] or red, green and blue [H, W, 3] of 8 bits."""
    notes = [TRANSPARENCY_NOTE] if file.mode in ("LA", "La", "RGBA", "RGBa", "PA") else []
    match file.mode:
        case "L" | "I;16" | "I":
            return _array(file, file.mode), notes
        case "1":
            return _array(file, "L"), notes
        case "LA" | "La":
            return _array(file, "LA")[..., 0], notes
    colours = _array(file, "RGB")
    if file.mode in ("P", "PA") and (colours == colours[..., :1]).all():
        return colours[..., 0], notes
    return colours, notes
