"""DICOM films as a training and an evaluation read them, held to the server's reading."""

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import torch
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from tests.dicom_films import LEVELS, ROWS, levels, write_film

from medxgan.server.images.dicom.decoding import decode_dicom
from medxgan.server.images.limits import ImageLimits
from medxgan.training.data.dicom_film import read_dicom_film
from medxgan.training.data.dicom_folder import read_dicom_folder
from medxgan.training.data.errors import DataError
from medxgan.training.data.shards import ShardWriter, read_shards
from medxgan.training.dataset import preprocess_images
from medxgan.training.preprocessing import Preprocess

LIMITS = ImageLimits(10**6, 10**8, 10**8)


def table(*entries: int, stated: int | None = None) -> Sequence:
    """A lookup table of 16 bits; with another number of entries stated, a wrong one."""
    item = Dataset()
    item.LUTDescriptor, item.LUTData = [stated or len(entries), 0, 16], np.array(entries, "<u2").tobytes()
    item["LUTDescriptor"].VR, item["LUTData"].VR = "US", "OW"
    return Sequence([item])


def groups(**macros: dict[str, Any]) -> Sequence:
    """Functional groups."""
    group = Dataset()
    for macro, elements in macros.items():
        item = Dataset()
        for keyword, value in elements.items():
            setattr(item, keyword, value)
        setattr(group, macro, Sequence([item]))
    return Sequence([group])


SIGNED = {"BitsStored": 16, "HighBit": 15, "PixelRepresentation": 1}
MODALITY = table(*range(100, 100 + 4096))
MODALITY[0].ModalityLUTType = "US"

FILMS: dict[str, dict[str, Any]] = {
    "plain": {},
    "16 bits": {"BitsStored": 16, "HighBit": 15, "PixelData": (LEVELS * 15).astype("<u2").tobytes()},
    "with a sign": {**SIGNED, "PixelData": (LEVELS - 2000).astype("<i2").tobytes()},
    "MONOCHROME1": {"PhotometricInterpretation": "MONOCHROME1"},
    "rescaled": {"RescaleSlope": "0.5", "RescaleIntercept": "-100"},
    "in a small unit": {"RescaleSlope": "1e-9", "RescaleIntercept": "0"},
    "by a modality table": {"ModalityLUTSequence": MODALITY},
    "a window": {"WindowCenter": "2000", "WindowWidth": "10"},
    "a rising table": {"VOILUTSequence": table(*range(0, 4096, 8))},
    "a falling table": {"VOILUTSequence": table(*range(4096, 0, -8))},
    "a falling table of MONOCHROME1": {
        "VOILUTSequence": table(*range(4096, 0, -8)),
        "PhotometricInterpretation": "MONOCHROME1",
    },
    "INVERSE": {"PresentationLUTShape": "INVERSE"},
    "INVERSE of MONOCHROME1": {"PresentationLUTShape": "INVERSE", "PhotometricInterpretation": "MONOCHROME1"},
    "IDENTITY of MONOCHROME1": {"PresentationLUTShape": "IDENTITY", "PhotometricInterpretation": "MONOCHROME1"},
    "padding": {"PixelPaddingValue": 0, "PixelData": levels(0)},
    "bright padding": {"PixelPaddingValue": 4095, "PixelData": levels(4095)},
    "padding of MONOCHROME1": {
        "PixelPaddingValue": 0,
        "PixelData": levels(0),
        "PhotometricInterpretation": "MONOCHROME1",
    },
    "padding by a range": {"PixelPaddingValue": 0, "PixelPaddingRangeLimit": 500, "PixelData": levels(0)},
    "padding beyond the bits stored": {"PixelPaddingValue": 0x7FFF, "PixelData": levels(0x7FFF)},
    "padding with a sign": {**SIGNED, "PixelPaddingValue": -2000, "PixelData": levels(-2000, "<i2")},
    "padding that is rescaled": {"PixelPaddingValue": 0, "PixelData": levels(0), "RescaleIntercept": "-1024"},
    "padding that is nowhere": {"PixelPaddingValue": 0},
    "tall pixels": {"PixelSpacing": ["0.4", "0.2"]},
    "tall pixels of the detector": {"ImagerPixelSpacing": ["0.3", "0.2"], "PixelAspectRatio": ["1", "1"]},
    "a ratio alone": {"PixelSpacing": ["0", "0"], "PixelAspectRatio": ["3", "4"]},
    "functional groups": {
        "SharedFunctionalGroupsSequence": groups(
            PixelMeasuresSequence={"PixelSpacing": ["0.5", "0.4"]},
            PixelValueTransformationSequence={"RescaleSlope": "2", "RescaleIntercept": "-5"},
        ),
        "PixelSpacing": ["1", "1"],
    },
}


@pytest.mark.parametrize("name", FILMS)
def test_a_film_is_read_as_the_server_reads_it(tmp_path: Path, name: str) -> None:
    write_film(tmp_path / "film.dcm", **FILMS[name])
    expected = decode_dicom((tmp_path / "film.dcm").read_bytes(), 0, LIMITS)
    found = read_dicom_film(tmp_path / "film.dcm")
    np.testing.assert_allclose(found.levels.astype(np.float32), expected.levels.astype(np.float32), rtol=1e-6)
    assert (found.inverted, found.pixel_aspect) == (expected.inverted, expected.pixel_aspect)
    assert (found.padding is None) == (expected.padding is None)
    if found.padding is not None and expected.padding is not None:
        np.testing.assert_array_equal(found.padding, expected.padding)
        assert found.padding.sum() >= ROWS * 5


@pytest.mark.parametrize(
    ("elements", "message"),
    [
        ({"RescaleSlope": "0", "RescaleIntercept": "1"}, "RescaleSlope: expected another number than 0"),
        ({"PixelPaddingValue": 0, "PixelPaddingRangeLimit": 4095}, "expected pixels that are no padding"),
        ({"VOILUTSequence": table(*range(9), stated=10)}, "LUTData: expected 10 entries, got 9"),
        ({"PixelSpacing": ["-1", "1"]}, "PixelSpacing: expected numbers that are not negative"),
    ],
)
def test_what_the_server_refuses_is_refused(tmp_path: Path, elements: dict[str, Any], message: str) -> None:
    write_film(tmp_path / "film.dcm", **elements)
    with pytest.raises(DataError, match=message):
        read_dicom_film(tmp_path / "film.dcm")


def test_pixels_that_are_not_square_and_padding_reach_x_and_shards(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("file,label\ntall.dcm,1\npadded.dcm,0\n")
    write_film(tmp_path / "tall.dcm", **FILMS["tall pixels"])
    write_film(tmp_path / "padded.dcm", **FILMS["padding"])
    images = read_dicom_folder(tmp_path, tmp_path / "labels.csv")
    preprocess = Preprocess(8, 0, 100, "crop")
    x = preprocess_images(preprocess, images).x
    tall = preprocess(torch.from_numpy(LEVELS).float()[None, None], torch.zeros(1), torch.tensor([2.0]))
    torch.testing.assert_close(x[:1], tall)
    assert not torch.allclose(x[:1], preprocess(torch.from_numpy(LEVELS).float()[None, None], torch.zeros(1)))

    writer = ShardWriter(tmp_path / "set", 10, 0)
    writer.add(images.split(np.zeros(2, np.bool_)))
    stored = read_shards(tmp_path / "set", writer.finish().train)
    rows = [stored.ids.index(name) for name in images.ids]
    torch.testing.assert_close(preprocess_images(preprocess, stored).x[rows], x)
    assert images.paddings is not None
    assert stored.paddings is not None
    assert stored.paddings[rows[0]] is None
    np.testing.assert_array_equal(stored.paddings[rows[1]], images.paddings[1])  # type: ignore[arg-type]


def test_a_damaged_file_is_named_without_what_it_holds(tmp_path: Path) -> None:
    write_film(tmp_path / "film.dcm", PatientID="SMITH^JOHN")
    (tmp_path / "film.dcm").write_bytes((tmp_path / "film.dcm").read_bytes()[:-20])
    with pytest.raises(DataError, match=r"film\.dcm") as caught:
        read_dicom_film(tmp_path / "film.dcm")
    assert "SMITH" not in str(caught.value)
    assert pydicom.dcmread(tmp_path / "film.dcm").PatientID == "SMITH^JOHN"
