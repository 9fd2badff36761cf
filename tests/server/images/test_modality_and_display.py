"""From stored values to grey levels: rescale and tables, and what the object asks of its display."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from medxgan.server.errors import ImageError
from medxgan.server.images.dicom.decoding import decode_dicom
from medxgan.server.images.limits import ImageLimits

VALUES = np.arange(64, dtype="<u2").reshape(8, 8) * 60


def item(**elements: object) -> Dataset:
    made = Dataset()
    for keyword, value in elements.items():
        setattr(made, keyword, value)
    return made


def table(first: int, entries: list[int], representation: str = "US") -> Dataset:
    made = item(LUTDescriptor=[len(entries) % 65536, first, 16])
    made.add_new("LUTData", representation, entries if representation == "US" else np.array(entries, "<u2").tobytes())
    return made


@given(st.floats(-1e3, 1e3).filter(lambda slope: abs(slope) > 1e-2), st.floats(-1e4, 1e4))
def test_rescale(write: Callable[..., bytes], limits: ImageLimits, slope: float, intercept: float) -> None:
    slope, intercept = float(f"{slope:.6g}"), float(f"{intercept:.6g}")
    content = write(VALUES, elements={"RescaleSlope": slope, "RescaleIntercept": intercept})
    np.testing.assert_allclose(
        decode_dicom(content, 0, limits).levels, VALUES * slope + intercept, rtol=1e-6, atol=1e-3
    )


@pytest.mark.parametrize(
    ("elements", "slope", "intercept"),
    [
        ({"RescaleSlope": "", "RescaleIntercept": ""}, 1, 0),
        ({"RescaleSlope": None, "RescaleIntercept": -5}, 1, -5),
        ({"RescaleSlope": 3, "RescaleIntercept": None}, 3, 0),
        ({"RescaleIntercept": -5}, 1, -5),
        ({"RescaleSlope": 3}, 3, 0),
    ],
)
def test_empty_or_missing_rescale_changes_nothing(
    write: Callable[..., bytes], limits: ImageLimits, elements: dict[str, object], slope: float, intercept: float
) -> None:
    got = decode_dicom(write(VALUES, elements=elements), 0, limits)
    np.testing.assert_array_equal(got.levels, VALUES.astype(float) * slope + intercept)


def test_a_slope_that_leaves_no_picture_is_refused(write: Callable[..., bytes], limits: ImageLimits) -> None:
    with pytest.raises(ImageError, match="RescaleSlope"):
        decode_dicom(write(VALUES, elements={"RescaleSlope": 0, "RescaleIntercept": 1}), 0, limits)


def test_levels_of_a_tiny_unit_keep_their_contrast(write: Callable[..., bytes], limits: ImageLimits) -> None:
    """A diffusion coefficient in m2/s: preprocessing would take the whole picture for one level."""
    content = write(VALUES, elements={"RescaleSlope": 1e-12, "RescaleIntercept": 0})
    got = decode_dicom(content, 0, limits)
    np.testing.assert_allclose(got.levels, VALUES / VALUES.max() * 65535, rtol=1e-5)
    assert any("single precision" in note for note in got.notes)


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian])
@pytest.mark.parametrize("representation", ["US", "OW"])
@pytest.mark.parametrize("first", [0, 600, -50])
def test_a_modality_lookup_table(
    write: Callable[..., bytes], limits: ImageLimits, syntax: UID, representation: str, first: int
) -> None:
    entries = [int(7 * place**1.5) % 65536 for place in range(2000)]
    lut = table(first, entries, representation)
    content = write(VALUES.astype("<i2"), signed=True, syntax=syntax, elements={"ModalityLUTSequence": [lut]})
    wanted = np.array(entries)[np.clip(VALUES.astype(int) - first, 0, len(entries) - 1)]
    np.testing.assert_array_equal(decode_dicom(content, 0, limits).levels, wanted)


def test_the_first_value_of_a_table_has_the_sign_of_the_pixels(
    write: Callable[..., bytes], limits: ImageLimits
) -> None:
    values = np.arange(-8, 8, dtype="<i2").reshape(4, 4)
    content = write(values, signed=True, elements={"ModalityLUTSequence": [table(-8, list(range(0, 160, 10)))]})
    at = content.index(b"\x28\x00\x02\x30SS")
    as_unsigned = content[: at + 4] + b"US" + content[at + 6 :]
    for file in (content, as_unsigned):
        np.testing.assert_array_equal(decode_dicom(file, 0, limits).levels, np.arange(16).reshape(4, 4) * 10)


def test_a_modality_lookup_table_in_big_endian(write: Callable[..., bytes], limits: ImageLimits) -> None:
    entries = list(range(0, 60_000, 10))
    content = write(VALUES, syntax=ExplicitVRBigEndian, elements={"ModalityLUTSequence": [table(0, entries)]})
    np.testing.assert_array_equal(decode_dicom(content, 0, limits).levels, VALUES * 10)


def test_a_table_with_less_entries_than_it_states_is_refused(write: Callable[..., bytes], limits: ImageLimits) -> None:
    short = table(0, [1, 2, 3])
    short.LUTDescriptor = [4, 0, 16]
    with pytest.raises(ImageError, match="LUTData"):
        decode_dicom(write(VALUES, elements={"ModalityLUTSequence": [short]}), 0, limits)


RISING, FALLING = table(0, list(range(0, 4000, 2))), table(0, list(range(4000, 0, -2)))
RISING_TO_A_SLIP, FALLING_TO_A_SLIP = table(0, [*range(100, 4000, 2), 0]), table(0, [*range(4000, 100, -2), 4095])
WINDOW = {"WindowCenter": 500, "WindowWidth": 100}


@pytest.mark.parametrize(
    ("interpretation", "elements", "inverted", "notes"),
    [
        ("MONOCHROME2", {}, False, []),
        ("MONOCHROME1", {}, True, []),
        ("MONOCHROME2", {"PresentationLUTShape": "IDENTITY"}, False, []),
        ("MONOCHROME2", {"PresentationLUTShape": "INVERSE"}, True, ["INVERSE"]),
        ("MONOCHROME1", {"PresentationLUTShape": "INVERSE"}, True, []),
        ("MONOCHROME1", {"PresentationLUTShape": "IDENTITY"}, True, ["contradicts"]),
        ("MONOCHROME2", WINDOW, False, ["window of the object"]),
        ("MONOCHROME2", WINDOW | {"VOILUTFunction": "SIGMOID"}, False, ["window of the object"]),
        ("MONOCHROME2", {"VOILUTSequence": [RISING]}, False, ["VOI lookup table"]),
        ("MONOCHROME2", {"VOILUTSequence": [FALLING]}, True, ["falls", "VOI lookup table"]),
        ("MONOCHROME1", {"VOILUTSequence": [FALLING]}, False, ["falls", "VOI lookup table"]),
        ("MONOCHROME2", {"VOILUTSequence": [RISING_TO_A_SLIP]}, False, ["VOI lookup table"]),
        ("MONOCHROME2", {"VOILUTSequence": [FALLING_TO_A_SLIP]}, True, ["falls", "VOI lookup table"]),
        ("MONOCHROME2", {"ShutterShape": ["CIRCULAR"]}, False, ["display shutter"]),
    ],
)
def test_what_the_object_asks_of_its_display(
    write: Callable[..., bytes],
    limits: ImageLimits,
    interpretation: str,
    elements: dict[str, object],
    inverted: bool,
    notes: list[str],
) -> None:
    got = decode_dicom(write(VALUES, interpretation=interpretation, elements=elements), 0, limits)
    np.testing.assert_array_equal(got.levels, VALUES)
    assert got.inverted == inverted
    assert len(got.notes) == len(notes)
    assert all(part in note for part, note in zip(notes, got.notes, strict=True))


def test_a_window_that_is_no_number_is_not_applied_either(write: Callable[..., bytes], limits: ImageLimits) -> None:
    content = write(VALUES, elements={"WindowCenter": 500, "WindowWidth": 77777777})
    assert content.count(b"77777777") == 1
    got = decode_dicom(content.replace(b"77777777", b"narrow  "), 0, limits)
    assert [note for note in got.notes if "window of the object" in note]


def test_sixteen_bits_of_luma_and_chroma_are_refused_by_their_element(
    write: Callable[..., bytes], limits: ImageLimits
) -> None:
    with pytest.raises(ImageError, match=r"PhotometricInterpretation \(0028,0004\)"):
        decode_dicom(write(np.zeros((4, 4, 3), np.uint16), interpretation="YBR_FULL", planar=0), 0, limits)


def palette(red: list[int], green: list[int], blue: list[int]) -> dict[str, object]:
    elements: dict[str, object] = {}
    for colour, entries in {"Red": red, "Green": green, "Blue": blue}.items():
        elements[f"{colour}PaletteColorLookupTableDescriptor"] = [len(entries), 0, 16]
        elements[f"{colour}PaletteColorLookupTableData"] = np.array(entries, "<u2").tobytes()
    return elements


def test_a_palette_of_colours_and_one_of_greys(write: Callable[..., bytes], limits: ImageLimits) -> None:
    places = np.arange(16, dtype=np.uint8).reshape(4, 4)
    red, green, blue = (list(range(start, start + 1600, 100)) for start in (0, 3000, 900))
    got = decode_dicom(write(places, interpretation="PALETTE COLOR", elements=palette(red, green, blue)), 0, limits)
    wanted = np.stack([np.array(entries)[places] for entries in (red, green, blue)], -1) @ [0.299, 0.587, 0.114]
    np.testing.assert_allclose(got.levels, wanted, rtol=1e-6)
    assert got.notes == ("colour was converted to grey",)
    falling = red[::-1]
    grey = decode_dicom(write(places, interpretation="PALETTE COLOR", elements=palette(*[falling] * 3)), 0, limits)
    np.testing.assert_array_equal(grey.levels, np.array(falling)[places])
    assert grey.notes == ()


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian])
@pytest.mark.parametrize("packed", [True, False])
def test_a_table_of_eight_bits_in_either_byte_order(write, limits: ImageLimits, syntax: UID, packed: bool) -> None:
    entries = np.random.default_rng(0).integers(0, 256, 64).astype(np.uint8)
    order = ">" if syntax == ExplicitVRBigEndian else "<"
    words = entries.view("<u2") if packed else entries
    lookup = item(LUTDescriptor=[64, 0, 8])
    lookup.add_new("LUTData", "OW", words.astype(f"{order}u2").tobytes())
    places = np.arange(64, dtype=np.uint16).reshape(8, 8)
    content = write(places, syntax=syntax, elements={"ModalityLUTSequence": [lookup]})
    np.testing.assert_array_equal(decode_dicom(content, 0, limits).levels, entries[places])
