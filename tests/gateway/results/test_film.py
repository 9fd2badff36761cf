"""The film as a viewer shows it, against what dcmtk's viewer shows of the same file."""

from importlib.resources import files
from pathlib import Path

import imagecodecs
import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom import Dataset
from pydicom.dataset import FileDataset
from pydicom.encaps import encapsulate
from pydicom.uid import HTJ2KLossless, JPEGExtended12Bit
from tests.gateway.results.films import make_film
from tests.gateway.results.programs import Program

from medxgan.gateway.results.errors import UnusableFilmError
from medxgan.gateway.results.film import displayed

SHAPE = (48, 40)
WINDOW = {"WindowCenter": 1000, "WindowWidth": 1500}


def ramp(kind: type = np.uint16, low: int = 0, high: int = 4095) -> np.ndarray:
    return np.linspace(low, high, SHAPE[0] * SHAPE[1]).astype(kind).reshape(SHAPE)


def shown_by_dcmtk(film: Dataset, program: Program, folder: Path, *options: str) -> np.ndarray:
    film.save_as(folder / "film.dcm", enforce_file_format=True)
    done = program("dcm2pnm", "+op", "-O", *options, folder / "film.dcm", folder / "film.pgm")
    assert done.returncode == 0, done.stderr
    return np.asarray(Image.open(folder / "film.pgm"), np.float32)


def lookup(descriptor: list[int], data: np.ndarray) -> Dataset:
    item = Dataset()
    item.add_new(0x00283002, "US", descriptor)
    item.add_new(0x00283006, "OW", data.astype("<u2").tobytes())
    return item


def with_lut() -> FileDataset:
    film = make_film(ramp())
    curve = np.sqrt(np.linspace(0, 1, 4096)) * 1023
    film.VOILUTSequence = [lookup([4096, 0, 10], curve)]
    return film


def with_modality_lut() -> FileDataset:
    film = make_film(ramp(), **WINDOW)
    item = lookup([4096, 0, 16], np.arange(4096)[::-1] // 2)
    item.ModalityLUTType = "US"
    film.ModalityLUTSequence = [item]
    return film


FILMS = {
    "window": (make_film(ramp(), **WINDOW), "+Wi 1"),
    "first of two windows": (make_film(ramp(), WindowCenter=[900, 2000], WindowWidth=[600, 100]), "+Wi 1"),
    "MONOCHROME1": (make_film(ramp(), photometric="MONOCHROME1", **WINDOW), "+Wi 1"),
    "sigmoid": (make_film(ramp(), VOILUTFunction="SIGMOID", **WINDOW), "+Wi 1"),
    "no window": (make_film(ramp(low=300, high=2900)), "+Wm"),
    "MONOCHROME1 without a window": (make_film(ramp(low=300, high=2900), photometric="MONOCHROME1"), "+Wm"),
    "8 bits": (make_film(ramp(np.uint8, 0, 255), bits=8, WindowCenter=100, WindowWidth=120), "+Wi 1"),
    "10 bits": (make_film(ramp(high=1023), bits=10, WindowCenter=400, WindowWidth=600), "+Wi 1"),
    "16 bits": (make_film(ramp(high=65535), bits=16, WindowCenter=30000, WindowWidth=40000), "+Wi 1"),
    "signed": (make_film(ramp(np.int16, -1000, 1000), bits=16, WindowCenter=-100, WindowWidth=900), "+Wi 1"),
    "rescaled": (
        make_film(ramp(), RescaleSlope=0.5, RescaleIntercept=-200, WindowCenter=500, WindowWidth=900),
        "+Wi 1",
    ),
    "bits that are not stored": (make_film(ramp() | 0xF000, **WINDOW), "+Wi 1"),
    "a window that is none": (make_film(ramp(low=300, high=2900), WindowCenter=10, WindowWidth=0), "+Wm"),
    "a function that is none": (make_film(ramp(), VOILUTFunction="ODD", **WINDOW), "+Wi 1"),
    "VOI LUT": (with_lut(), "+Wl 1"),
    "modality LUT": (with_modality_lut(), "+Wi 1"),
}


@pytest.mark.parametrize("name", FILMS)
def test_a_film_is_shown_as_dcmtk_shows_it(name: str, program: Program, tmp_path: Path) -> None:
    film, options = FILMS[name]
    shown = shown_by_dcmtk(film, program, tmp_path, *options.split())
    # dcmtk computes with whole numbers on its way to 256 levels.
    assert np.abs(displayed(film).levels - shown).max() <= 1.5
    assert np.ptp(shown) > 200


@pytest.mark.slow
@pytest.mark.parametrize("name", ["RG1_UNCR", "RG1_J2KR", "RG1_J2KI", "RG3_J2KR"])
def test_a_real_radiograph_is_shown_as_dcmtk_shows_it(name: str, program: Program, tmp_path: Path) -> None:
    film = pydicom.dcmread(str(files("data_store") / "data" / f"{name}.dcm"))
    levels = displayed(film).levels
    plain = pydicom.dcmread(str(files("data_store") / "data" / f"{name.replace('J2K', 'UNC')}.dcm"))
    shown = shown_by_dcmtk(plain, program, tmp_path, "+Wi", "1")
    assert np.abs(levels - shown).max() <= 1.5


@pytest.mark.parametrize("name", ["MR_small_RLE", "MR_small_jp2klossless", "MR_small_jpeg_ls_lossless"])
def test_a_compressed_film_is_shown_as_the_one_that_is_not(name: str) -> None:
    plain, compressed = (
        pydicom.dcmread(pydicom.data.get_testdata_file(f"{which}.dcm", read=False)) for which in ("MR_small", name)
    )
    np.testing.assert_array_equal(displayed(compressed).levels, displayed(plain).levels)


@pytest.mark.parametrize("name", ["JPEG-LL", "JPGLosslessP14SV1_1s_1f_8b"])
def test_lossless_jpeg_is_decoded(name: str) -> None:
    film = pydicom.dcmread(pydicom.data.get_testdata_file(f"{name}.dcm", read=False))
    assert np.ptp(displayed(film).levels) > 100


def test_jpeg_of_12_bits_is_shown_as_the_film_that_dcmtk_made_it_of(program: Program, tmp_path: Path) -> None:
    plain = make_film(ramp(), **WINDOW)
    plain.save_as(tmp_path / "plain.dcm", enforce_file_format=True)
    assert program("dcmcjpeg", "+ee", tmp_path / "plain.dcm", tmp_path / "12bit.dcm").returncode == 0
    compressed = pydicom.dcmread(tmp_path / "12bit.dcm")
    assert (compressed.file_meta.TransferSyntaxUID, compressed.BitsStored) == (JPEGExtended12Bit, 12)
    # It is lossy, by less than two of 255 levels here.
    assert np.abs(displayed(compressed).levels - displayed(plain).levels).max() < 2


def test_a_real_film_in_jpeg_of_12_bits_is_shown() -> None:
    film = pydicom.dcmread(pydicom.data.get_testdata_file("JPGExtended.dcm", read=False))
    levels = displayed(film).levels
    assert levels.shape == (1024, 256)
    assert np.ptp(levels) > 200


@pytest.mark.parametrize("pixels", ["signed", "unsigned"])
def test_high_throughput_jpeg_2000_is_decoded(pixels: str) -> None:
    stored = ramp(np.int16, -1000, 1000) if pixels == "signed" else ramp()
    film = make_film(stored, bits=16, WindowCenter=float(stored.mean()), WindowWidth=2000)
    before = displayed(film).levels
    film.PixelData = encapsulate([imagecodecs.htj2k_encode(stored, reversible=True)])
    film.file_meta.TransferSyntaxUID = HTJ2KLossless
    np.testing.assert_array_equal(displayed(film).levels, before)


def test_a_compressed_frame_of_another_size_is_refused() -> None:
    film = make_film(ramp())
    film.PixelData = encapsulate([imagecodecs.htj2k_encode(ramp()[:-1], reversible=True)])
    film.file_meta.TransferSyntaxUID = HTJ2KLossless
    with pytest.raises(UnusableFilmError, match="PixelData"):
        displayed(film)


def test_padding_is_black_and_takes_no_part_in_the_window() -> None:
    stored = ramp(low=500, high=1500)
    stored[:, :5] = 4000
    levels = displayed(make_film(stored, PixelPaddingValue=4000)).levels
    assert not levels[:, :5].any()
    assert levels[:, 5:].min() < 2
    assert levels[:, 5:].max() > 253


def test_a_flat_film_is_shown() -> None:
    levels = displayed(make_film(np.full(SHAPE, 700, np.uint16))).levels
    assert np.isfinite(levels).all()
    assert 0 <= levels.min() == levels.max() <= 255


@pytest.mark.parametrize(
    ("change", "attribute"),
    [
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "PhotometricInterpretation"),
        ({"SamplesPerPixel": 3}, "PhotometricInterpretation"),
        ({"NumberOfFrames": 2}, "NumberOfFrames"),
        ({"PixelData": None}, "PixelData"),
        ({"PixelData": b"short"}, "PixelData"),
    ],
)
def test_a_film_that_can_not_be_shown_says_which_attribute_is_in_the_way(change: dict, attribute: str) -> None:
    with pytest.raises(UnusableFilmError, match=attribute) as refused:
        displayed(make_film(ramp(), **change))
    assert refused.value.attribute == attribute
