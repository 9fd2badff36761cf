"""Which frame is read, and what its functional groups and the object say of it and of its pixels' size."""

from collections.abc import Callable

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import UID, ExplicitVRLittleEndian, RLELossless

from medxgan.server.errors import ImageError
from medxgan.server.images.dicom import stored
from medxgan.server.images.dicom.decoding import decode_dicom
from medxgan.server.images.film import PixelSpacing
from medxgan.server.images.limits import ImageLimits

FRAMES = np.arange(3 * 20, dtype="<u2").reshape(3, 4, 5)


def item(**elements: object) -> Dataset:
    made = Dataset()
    for keyword, value in elements.items():
        setattr(made, keyword, value)
    return made


def group(
    slope: float | None = None, spacing: list[float] | None = None, window: tuple[float, float] | None = None
) -> Dataset:
    made = Dataset()
    if slope is not None:
        made.PixelValueTransformationSequence = [item(RescaleSlope=slope, RescaleIntercept=1, RescaleType="US")]
    if spacing is not None:
        made.PixelMeasuresSequence = [item(PixelSpacing=spacing)]
    if window is not None:
        made.FrameVOILUTSequence = [item(WindowCenter=window[0], WindowWidth=window[1])]
    return made


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, RLELossless])
@pytest.mark.parametrize("asked", [1, 2, 3])
def test_the_frame_asked_for(
    write: Callable[..., bytes], rle: Callable[..., bytes], limits: ImageLimits, syntax: UID, asked: int
) -> None:
    compressed = [rle(frame) for frame in FRAMES] if syntax == RLELossless else None
    film = decode_dicom(write(FRAMES, frames=3, syntax=syntax, compressed=compressed), asked, limits)
    np.testing.assert_array_equal(film.levels, FRAMES[asked - 1])
    assert film.frame == asked


def test_only_that_frame_is_decompressed(
    write: Callable[..., bytes], rle: Callable[..., bytes], limits: ImageLimits, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded = []
    decode = stored.decode_rle
    monkeypatch.setattr(stored, "decode_rle", lambda *given: decoded.append(given) or decode(*given))
    decode_dicom(write(FRAMES, frames=3, syntax=RLELossless, compressed=[rle(frame) for frame in FRAMES]), 2, limits)
    assert len(decoded) == 1


@pytest.mark.parametrize(("frames", "asked"), [(3, 0), (3, 4), (None, 2)])
def test_a_frame_that_there_is_not(
    write: Callable[..., bytes], limits: ImageLimits, frames: int | None, asked: int
) -> None:
    cells = FRAMES if frames else FRAMES[0]
    with pytest.raises(ImageError, match=f"expected 1 to {frames or 1}") as refusal:
        decode_dicom(write(cells, frames=frames), asked, limits)
    assert refusal.value.field == "image.frame"


@pytest.mark.parametrize("asked", [0, 1])
@pytest.mark.parametrize("frames", [None, 1])
def test_the_only_frame_has_no_number(
    write: Callable[..., bytes], limits: ImageLimits, frames: int | None, asked: int
) -> None:
    assert decode_dicom(write(FRAMES[:1] if frames else FRAMES[0], frames=frames), asked, limits).frame == 0


@pytest.mark.parametrize(
    ("per_frame", "shared", "top", "slopes"),
    [
        ([2, 3, 4], None, None, [2, 3, 4]),
        ([2, 3, 4], 9, 8, [2, 3, 4]),
        ([None, 3, None], 9, 8, [9, 3, 9]),
        (None, 9, 8, [9, 9, 9]),
        (None, None, 8, [8, 8, 8]),
        ([None] * 3, None, None, [1, 1, 1]),
    ],
)
def test_rescale_in_functional_groups(
    write: Callable[..., bytes],
    limits: ImageLimits,
    per_frame: list[float | None] | None,
    shared: float | None,
    top: float | None,
    slopes: list[float],
) -> None:
    elements: dict[str, object] = {}
    if per_frame is not None:
        elements["PerFrameFunctionalGroupsSequence"] = [group(slope) for slope in per_frame]
    if shared is not None:
        elements["SharedFunctionalGroupsSequence"] = [group(shared)]
    if top is not None:
        elements |= {"RescaleSlope": top, "RescaleIntercept": 1}
    content = write(FRAMES, frames=3, elements=elements)
    for asked, slope in enumerate(slopes, 1):
        stated = slope != 1
        wanted = FRAMES[asked - 1] * float(slope) + stated
        np.testing.assert_allclose(decode_dicom(content, asked, limits).levels, wanted)


def test_pixel_measures_and_window_in_functional_groups(write: Callable[..., bytes], limits: ImageLimits) -> None:
    groups = [group(spacing=[0.5, 0.25]), group(window=(1, 2)), group()]
    elements = {
        "PerFrameFunctionalGroupsSequence": groups,
        "SharedFunctionalGroupsSequence": [group(spacing=[3, 1])],
        "PixelSpacing": [7, 7],
    }
    content = write(FRAMES, frames=3, elements=elements)
    first, second = (decode_dicom(content, asked, limits) for asked in (1, 2))
    assert (first.spacing, first.pixel_aspect, first.notes) == (PixelSpacing(0.5, 0.25), 2, ())
    assert (second.spacing, second.pixel_aspect) == (PixelSpacing(3, 1), 3)
    assert any("window" in note for note in second.notes)


def test_a_frame_without_its_group_is_refused(write: Callable[..., bytes], limits: ImageLimits) -> None:
    content = write(FRAMES, frames=3, elements={"PerFrameFunctionalGroupsSequence": [group(2), group(3)]})
    with pytest.raises(ImageError, match="PerFrameFunctionalGroupsSequence"):
        decode_dicom(content, 3, limits)


@pytest.mark.parametrize(
    ("elements", "spacing", "aspect", "notes"),
    [
        ({}, None, 1, []),
        ({"PixelSpacing": [0.4, 0.2]}, PixelSpacing(0.4, 0.2), 2, []),
        ({"ImagerPixelSpacing": [0.1, 0.2]}, PixelSpacing(0.1, 0.2), 0.5, []),
        ({"NominalScannedPixelSpacing": [0.3, 0.1]}, PixelSpacing(0.3, 0.1), 3, []),
        ({"PixelAspectRatio": [4, 3]}, None, 4 / 3, []),
        ({"PixelSpacing": [0.2, 0.2], "ImagerPixelSpacing": [0.3, 0.3]}, PixelSpacing(0.2, 0.2), 1, []),
        ({"PixelSpacing": [0.2, 0.2], "ImagerPixelSpacing": [0.6, 0.3]}, PixelSpacing(0.2, 0.2), 1, ["disagree"]),
        ({"ImagerPixelSpacing": [0.2, 0.1], "PixelAspectRatio": [1, 1]}, PixelSpacing(0.2, 0.1), 2, ["disagree"]),
        ({"PixelSpacing": [0, 0]}, None, 1, ["not known"]),
        ({"PixelSpacing": [0, 0], "PixelAspectRatio": [2, 1]}, None, 2, ["not known"]),
        ({"PixelSpacing": "", "ImagerPixelSpacing": [0.2, 0.1]}, PixelSpacing(0.2, 0.1), 2, []),
        ({"PixelSpacing": [0.2, 0.1], "ImagerPixelSpacing": [1]}, PixelSpacing(0.2, 0.1), 2, ["can't be read"]),
        ({"PixelSpacing": [0.2, 0.2], "PixelAspectRatio": [9999, 1]}, PixelSpacing(0.2, 0.2), 1, ["can't be read"]),
    ],
)
def test_pixels_have_the_shape_that_the_object_states(
    write: Callable[..., bytes],
    limits: ImageLimits,
    elements: dict[str, object],
    spacing: PixelSpacing | None,
    aspect: float,
    notes: list[str],
) -> None:
    film = decode_dicom(write(FRAMES[0], elements=elements), 0, limits)
    assert film.spacing == spacing
    assert film.pixel_aspect == pytest.approx(aspect)
    assert len(film.notes) == len(notes)
    assert all(part in note for part, note in zip(notes, film.notes, strict=True))


@pytest.mark.parametrize("stated", [[-1, 1], [1], [1, 2, 3], ["1e300", "1e-300"], [17, 1], [1, 17]])
def test_a_spacing_that_can_not_be_is_refused(
    write: Callable[..., bytes], limits: ImageLimits, stated: list[float]
) -> None:
    with pytest.raises(ImageError, match=r"PixelSpacing \(0028,0030\)"):
        decode_dicom(write(FRAMES[0], elements={"PixelSpacing": stated}), 0, limits)
