"""TIFF and BigTIFF files, read by tifffile, which keeps every depth, sign and byte order."""

from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from tifffile import PHOTOMETRIC, TiffFile, TiffPage

from medxgan.server.errors import ImageError
from medxgan.server.images.encoded.picture import FIELD, ORIENTATION_TAG, TRANSPARENCY_NOTE, Picture
from medxgan.server.images.encoded.tiff_data import check_data
from medxgan.server.images.frames import frame_index
from medxgan.server.images.limits import ImageLimits

_X_RESOLUTION, _Y_RESOLUTION = 282, 283
_REDUCED, _MASK = 1, 4
"""Bits of NewSubfileType: a smaller copy of another page, a mask of it."""
_TRANSPARENT = {1, 2}
"""Values of ExtraSamples that mean transparency."""
_MOST_PAGES = 10_000


def read_tiff(content: bytes, frame: int, limits: ImageLimits) -> Picture:
    """Read a page of a TIFF file: whole numbers of 1 to 64 bits with or without sign, floats of 16 to 64 bits.

    Raises:
        ImageError: if there is no such page, or it holds something else than one grey or colour picture.
        ImageTooLargeError: if it is over a limit.
    """
    with TiffFile(BytesIO(content)) as file:
        pages = _full_pages(file)
        index = frame_index(len(pages), frame)
        page = pages[index]
        limits.check(FIELD, page.imagelength, page.imagewidth, -(-page.bitspersample // 8) * page.samplesperpixel)
        if page.imagedepth != 1:
            raise ImageError(FIELD, "expected a flat picture, got a volume")
        check_data(page, content)
        samples, notes = _colours(page, _stored(page))
        return Picture(
            samples,
            white_is_zero=page.photometric == PHOTOMETRIC.MINISWHITE,
            orientation=_whole(page, ORIENTATION_TAG, 1),
            pixels_per_unit=_resolution(page),
            frame=index + 1 if len(pages) > 1 else 0,
            notes=tuple(notes),
        )


def _full_pages(file: TiffFile) -> list[TiffPage]:
    """Its pages but thumbnails and masks of others."""
    pages: list[TiffPage] = []
    for number, page in enumerate(file.pages):
        if number == _MOST_PAGES:
            raise ImageError(FIELD, f"expected a TIFF file of less than {_MOST_PAGES} pages")
        if isinstance(page, TiffPage) and not page.subfiletype & (_REDUCED | _MASK):
            pages.append(page)
    if int((file.imagej_metadata or {}).get("images", 1)) > len(file.pages):  # ImageJ describes only the first
        raise ImageError(FIELD, "expected a page for each image of the file")
    if not pages:
        raise ImageError(FIELD, "expected a TIFF file with a picture")
    return pages


def _stored(page: TiffPage) -> NDArray[np.generic]:
    """Samples [H, W, N] as they are stored."""
    decoded = page.asarray(maxworkers=1)
    if decoded is None or decoded.dtype.kind not in "biuf":
        raise ImageError(FIELD, "expected whole or floating-point samples")
    if "S" not in page.axes:
        return decoded.reshape(page.imagelength, page.imagewidth, 1)
    return np.moveaxis(decoded, page.axes.index("S"), -1).reshape(page.imagelength, page.imagewidth, -1)


def _colours(page: TiffPage, samples: NDArray[np.generic]) -> tuple[NDArray[np.generic], list[str]]:
    """Grey [H, W] or red, green and blue [H, W, 3], and notes."""
    match page.photometric:
        case PHOTOMETRIC.MINISWHITE | PHOTOMETRIC.MINISBLACK:
            colours, grey = 1, samples[..., 0]
        case PHOTOMETRIC.PALETTE:
            colours, grey = 1, _palette(page, samples[..., 0])
        case PHOTOMETRIC.RGB:
            colours, grey = 3, samples[..., :3]
        case PHOTOMETRIC.YCBCR if page.jpegtables is not None or page.compression in (6, 7):
            colours, grey = 3, samples[..., :3]  # the decoder has made red, green and blue of it
        case PHOTOMETRIC.SEPARATED:
            colours, grey = 4, _from_inks(samples)
        case _:
            raise ImageError(FIELD, "expected a grey, palette, RGB or CMYK picture")
    others = samples.shape[2] - colours
    extra = page.extrasamples[:others]
    if others and colours == 1 and not (len(extra) == others and set(map(int, extra)) <= _TRANSPARENT):
        raise ImageError(FIELD, f"expected {colours} sample(s) per pixel beside transparency, got {samples.shape[2]}")
    return grey, [TRANSPARENCY_NOTE] if others else []


def _palette(page: TiffPage, places: NDArray[np.generic]) -> NDArray[np.generic]:
    palette = page.colormap
    if palette is None or places.dtype.kind != "u" or int(places.max()) >= palette.shape[1]:
        raise ImageError(FIELD, "expected a palette with a colour for each level")
    colours = np.moveaxis(palette[:, places], 0, -1)
    return colours[..., 0] if (colours == colours[..., :1]).all() else colours


def _from_inks(samples: NDArray[np.generic]) -> NDArray[np.generic]:
    """Red, green and blue of cyan, magenta, yellow and black."""
    if samples.shape[2] < 4 or samples.dtype.kind != "u":
        raise ImageError(FIELD, "expected cyan, magenta, yellow and black")
    full = 2.0 ** (8 * samples.dtype.itemsize) - 1
    inks = samples[..., :4].astype(np.float32) / full
    colours: NDArray[np.generic] = (1 - inks[..., :3]) * (1 - inks[..., 3:]) * full
    return colours


def _whole(page: TiffPage, tag: int, default: int) -> int:
    value = page.tags.valueof(tag, default)
    return value if isinstance(value, int) else default


def _resolution(page: TiffPage) -> tuple[float, float] | None:
    stated = [page.tags.valueof(tag) for tag in (_X_RESOLUTION, _Y_RESOLUTION)]
    ratios = [value[0] / value[1] for value in stated if isinstance(value, tuple) and len(value) == 2 and value[1]]
    return (ratios[0], ratios[1]) if len(ratios) == 2 else None
