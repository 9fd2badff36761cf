"""Films read as the server reads them to explain them, or refused with a reason."""

import io

import numpy as np
import pytest
import tifffile
from PIL import Image
from pydicom.dataset import Dataset, FileDataset
from pydicom.uid import UID, ExplicitVRBigEndian, RLELossless
from tests.gateway.results.films import make_film

from medxgan.server.images.dicom.decoding import decode_dicom
from medxgan.server.images.encoded.decoding import decode_encoded
from medxgan.server.images.film import COLOUR_NOTE
from medxgan.server.images.limits import ImageLimits
from medxgan.web.decoding import decode, is_dicom
from medxgan.web.decoding.confined import decode_confined
from medxgan.web.errors import FilmError

PIXELS = 10**6
LIMITS = ImageLimits(maximum_side=10**4, maximum_pixels=PIXELS, maximum_decompressed_bytes=10**8)
RAMP = (np.arange(20 * 30, dtype=np.uint16) * 5).reshape(20, 30)


def content(film: FileDataset) -> bytes:
    file = io.BytesIO()
    film.save_as(file, enforce_file_format=True)
    return file.getvalue()


def item(**elements: object) -> Dataset:
    made = Dataset()
    for keyword, value in elements.items():
        setattr(made, keyword, value)
    return made


def table(entries: np.ndarray, first: int = 0) -> Dataset:
    made = Dataset()
    made.add_new("LUTDescriptor", "US", [len(entries), first, 16])
    made.add_new("LUTData", "OW", entries.astype("<u2").tobytes())
    return made


def colours(levels: np.ndarray, photometric: str = "RGB") -> FileDataset:
    film = make_film(levels[..., 0], bits=levels.dtype.itemsize * 8, photometric=photometric)
    film.SamplesPerPixel, film.PlanarConfiguration = 3, 0
    film.PixelData = levels.tobytes() + bytes(levels.nbytes % 2)
    return film


def palette(red: np.ndarray, green: np.ndarray) -> FileDataset:
    film = make_film((RAMP % 200).astype(np.uint8), bits=8, photometric="PALETTE COLOR")
    for name, entries in (("Red", red), ("Green", green), ("Blue", green)):
        setattr(film, f"{name}PaletteColorLookupTableDescriptor", [len(entries), 0, 16])
        setattr(film, f"{name}PaletteColorLookupTableData", entries.astype("<u2").tobytes())
    return film


def ct(*frames: tuple[float, float], **attributes: object) -> FileDataset:
    """An enhanced CT whose frames have slope and intercept of their own, and share pixels twice as long as wide."""
    values = np.stack([RAMP + 1000 + number for number in range(len(frames))])
    shared = item(
        PixelMeasuresSequence=[item(PixelSpacing=[2, 1])],
        FrameVOILUTSequence=[item(WindowCenter=40, WindowWidth=400)],
    )
    film = make_film(
        values[0],
        bits=16,
        Modality="CT",
        PixelSpacing=None,
        NumberOfFrames=len(frames),
        SharedFunctionalGroupsSequence=[shared],
        PerFrameFunctionalGroupsSequence=[
            item(PixelValueTransformationSequence=[item(RescaleSlope=slope, RescaleIntercept=intercept)])
            for slope, intercept in frames
        ],
        **attributes,
    )
    film.PixelData = values.tobytes()
    return film


def big_endian(levels: np.ndarray) -> FileDataset:
    film = make_film(levels, bits=16)
    film.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    film.set_original_encoding(False, False)
    film.PixelData = levels.byteswap().tobytes()
    return film


def big_endian_bits() -> FileDataset:
    film = big_endian(RAMP)
    film.BitsAllocated = film.BitsStored = 1
    film.HighBit, film.PixelData = 0, bytes(RAMP.size // 8 + 1)
    return film


def compressed(levels: np.ndarray, syntax: UID, **attributes: object) -> FileDataset:
    film = make_film(levels, **attributes)
    film.compress(syntax, generate_instance_uid=False)
    return film


def tiff(levels: np.ndarray, **options: object) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, levels, **options)
    return file.getvalue()


def with_thumbnail() -> bytes:
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        writer.write((RAMP // 16)[::2, ::2].astype(np.uint8), subfiletype=1)
        writer.write(RAMP)
    return file.getvalue()


def png(levels: np.ndarray, **options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(levels).save(file, "PNG", **options)
    return file.getvalue()


RNG = np.random.default_rng(11)
RGB = RNG.integers(0, 256, (20, 30, 3)).astype(np.uint8)
GREYS, RISING = np.arange(200) * 300, np.arange(200) * 100
SIGNED = (RAMP.astype(np.int16) - 1200).astype(np.int16)
FILMS: dict[str, FileDataset | bytes] = {
    "grey": make_film(RAMP),
    "MONOCHROME1": make_film(RAMP, photometric="MONOCHROME1"),
    "presentation LUT": make_film(RAMP, PresentationLUTShape="INVERSE"),
    "both of them": make_film(RAMP, photometric="MONOCHROME1", PresentationLUTShape="INVERSE"),
    "falling VOI LUT": make_film(RAMP, VOILUTSequence=[table(np.arange(4096)[::-1])]),
    "falling modality LUT": make_film(RAMP, ModalityLUTSequence=[table(np.arange(4096)[::-1])], PixelPaddingValue=0),
    "signed": make_film(SIGNED, bits=16),
    "signed, all of 16 bits": make_film(np.array([[-32768, 32767], [0, 5]], np.int16), bits=16),
    "signed, 12 bits": make_film(SIGNED & 0x0FFF),
    "signed, 32 bits": make_film(SIGNED.astype(np.int32), bits=32),
    "bits above those stored": make_film(RAMP | 0xA000),
    "big endian": big_endian(RAMP),
    "big endian, signed": big_endian(SIGNED),
    "run-length coded, signed": compressed(SIGNED, RLELossless, bits=16, PixelPaddingValue=-1200),
    "rescaled": make_film(RAMP, RescaleSlope="0.5", RescaleIntercept="-1024"),
    "falling": make_film(RAMP, RescaleSlope="-2", RescaleIntercept="7"),
    "without a slope": make_film(RAMP, RescaleIntercept="-10"),
    "modality LUT": make_film(RAMP, ModalityLUTSequence=[table(np.arange(2000)[::-1] * 3, first=100)]),
    "modality LUT, signed": make_film(SIGNED, bits=16, ModalityLUTSequence=[table(np.arange(500), first=65036)]),
    "padding": make_film(RAMP, PixelPaddingValue=0),
    "padding, inverted": make_film(RAMP, photometric="MONOCHROME1", PixelPaddingValue=0),
    "padding, falling": make_film(RAMP, RescaleSlope="-2", RescaleIntercept="7", PixelPaddingValue=0),
    "padding, a range": make_film(SIGNED, bits=16, PixelPaddingValue=-1200, PixelPaddingRangeLimit=-1000),
    "padding beyond the bits stored": make_film(
        np.where(RAMP < 500, 0xF830, RAMP).astype(np.uint16), PixelPaddingValue=0xF830
    ),
    "long pixels": make_film(RAMP, PixelSpacing=None, ImagerPixelSpacing=[0.4, 0.2]),
    "aspect alone": make_film(RAMP, PixelSpacing=[0, 0], PixelAspectRatio=[3, 2]),
    "enhanced CT": ct((1, -1024)),
    "colour": colours(RGB),
    "colour, 16 bits": colours(RGB.astype(np.uint16) * 257),
    "colour, rescaled": colours(RGB),
    "YBR": colours(RGB, "YBR_FULL"),
    "palette": palette(GREYS[::-1], RISING),
    "grey palette": palette(GREYS[::-1], GREYS[::-1]),
    "PNG": png(RAMP),
    "PNG, long pixels": png(RGB, dpi=(200, 100)),
    "TIFF": tiff(RAMP, photometric="minisblack"),
    "TIFF, white is zero": tiff(RAMP, photometric="miniswhite"),
    "TIFF, white is zero, 8 bits": tiff((RAMP % 251).astype(np.uint8), photometric="miniswhite"),
    "TIFF, white is zero, 1 bit": tiff(RAMP % 3 == 0, photometric="miniswhite"),
    "TIFF, long pixels": tiff(RAMP, resolution=(200, 100)),
    "TIFF with a thumbnail": with_thumbnail(),
}
FILMS["colour, rescaled"].RescaleSlope, FILMS["colour, rescaled"].RescaleIntercept = 2, 5  # type: ignore[union-attr]


@pytest.mark.parametrize("film", FILMS.values(), ids=FILMS)
def test_a_film_is_read_as_the_server_reads_it(film: FileDataset | bytes) -> None:
    file = film if isinstance(film, bytes) else content(film)
    read = decode_dicom if is_dicom(file) else decode_encoded
    shown, explained = decode(file, maximum_pixels=PIXELS), read(file, 0, LIMITS)
    levels = shown.levels.astype(np.float64) * shown.slope + shown.intercept
    if explained.levels.dtype == np.bool_:  # bits become black and white
        levels = levels / 255
    # The luma of colour is shown in whole numbers.
    np.testing.assert_allclose(levels, explained.levels, atol=0.501 if COLOUR_NOTE in explained.notes else 0)
    assert (shown.inverted != (shown.slope < 0)) == explained.inverted
    assert shown.aspect == pytest.approx(explained.pixel_aspect)


@pytest.mark.parametrize("frame", [1, 2])
def test_a_frame_of_an_enhanced_ct_is_read_by_its_own_groups(frame: int) -> None:
    file = content(ct((1, -1024), (2, -2000)))
    shown, explained = decode(file, frame=frame, maximum_pixels=PIXELS), decode_dicom(file, frame, LIMITS)
    np.testing.assert_allclose(shown.levels * shown.slope + shown.intercept, explained.levels)
    assert (shown.unit, shown.aspect, shown.frames) == ("HU", 2, 2)
    low, high = (end * shown.slope + shown.intercept for end in (shown.low, shown.high))
    assert (low, high) == pytest.approx((-160, 240))


def test_a_table_that_rises_but_for_its_end_turns_nothing_over() -> None:
    rising = np.append(np.arange(4095), 0)
    assert not decode(content(make_film(RAMP, VOILUTSequence=[table(rising)])), maximum_pixels=PIXELS).inverted


def test_a_resolution_of_no_pixel_that_there_is_is_not_heeded() -> None:
    assert decode(tiff(RAMP, resolution=(1700, 100)), maximum_pixels=PIXELS).aspect == 1


@pytest.mark.parametrize(
    ("attributes", "unit"),
    [
        ({"RescaleSlope": 1, "RescaleIntercept": -1024}, "HU"),
        ({"RescaleSlope": 1, "RescaleIntercept": -1024, "RescaleType": "HU"}, "HU"),
        ({"RescaleSlope": 1, "RescaleIntercept": 0, "RescaleType": "US"}, ""),
        ({}, ""),
        ({"RescaleSlope": 1, "RescaleIntercept": -1024, "Modality": "MR"}, ""),
        ({"ModalityLUTSequence": [table(np.arange(4096))]}, ""),
    ],
)
def test_hounsfield_units_are_those_that_a_ct_states(attributes: dict[str, object], unit: str) -> None:
    assert decode(content(make_film(RAMP, **{"Modality": "CT", **attributes})), maximum_pixels=PIXELS).unit == unit


def floating() -> FileDataset:
    film = make_film(RAMP)
    del film.PixelData
    film.BitsAllocated, film.FloatPixelData = 32, np.linspace(0, 1, RAMP.size, dtype="<f4").tobytes()
    return film


@pytest.mark.parametrize(
    ("film", "words"),
    [
        (floating(), "no whole levels"),
        (big_endian_bits(), "single bits"),
        (make_film(RAMP, HighBit=13), "HighBit"),
        (make_film(RAMP, photometric="HSV"), "PhotometricInterpretation"),
        (make_film(RAMP.astype(np.uint32) * 2**12, bits=32), "beyond 16 bits"),
        (make_film(RAMP, RescaleSlope="nan", RescaleIntercept="0"), "RescaleSlope"),
        (make_film(RAMP, RescaleSlope="1", RescaleIntercept="1e999"), "RescaleIntercept"),
        (make_film(RAMP, RescaleSlope="0", RescaleIntercept="0"), "RescaleSlope"),
        (make_film(RAMP, PixelSpacing=["1e300", "1e-300"]), "at most 16 times"),
        (make_film(RAMP, PixelSpacing=["17", "1"]), "at most 16 times"),
        (colours(RGB.astype(np.uint16), "YBR_FULL"), "YBR_FULL of 8 bits"),
        (make_film(RAMP, PixelSpacing=["nan", "1"]), "PixelSpacing"),
        (make_film(RAMP, PixelPaddingValue=0, PixelPaddingRangeLimit=4095), "no padding"),
        (make_film(RAMP, ModalityLUTSequence=[item(LUTDescriptor=[9, 0, 16])]), "LUTDescriptor"),
        (tiff(RGB.astype(np.uint16) * 257, photometric="rgb"), "16 bits"),
        (tiff(RAMP, photometric="miniswhite", byteorder=">"), "TIFF file is of a kind"),
        (tiff(np.linspace(0, 1, 600, dtype=np.float32).reshape(20, 30)), "fractions"),
    ],
)
def test_what_can_t_be_shown_as_it_is_is_refused_in_words(film: FileDataset | bytes, words: str) -> None:
    with pytest.raises(FilmError, match=words):
        decode(film if isinstance(film, bytes) else content(film), maximum_pixels=PIXELS)


@pytest.mark.parametrize(
    "window",
    [
        {"WindowCenter": "nan", "WindowWidth": "nan"},
        {"WindowCenter": "1e999", "WindowWidth": "1"},
        {"WindowCenter": "100", "WindowWidth": "50", "RescaleSlope": "1e-320", "RescaleIntercept": "0"},
        {"WindowCenter": "1e300", "WindowWidth": "1"},
    ],
)
def test_a_window_that_can_t_be_used_is_not(window: dict[str, object]) -> None:
    shown = decode(content(make_film(RAMP, **window)), maximum_pixels=PIXELS)
    assert RAMP.min() <= shown.low < shown.high <= RAMP.max()


def test_a_palette_needs_no_file_that_the_confined_reader_may_not_open() -> None:
    file = content(palette(GREYS[::-1], RISING))
    shown, plain = decode_confined(file, maximum_pixels=PIXELS), decode(file, maximum_pixels=PIXELS)
    np.testing.assert_array_equal(shown.levels, plain.levels)
