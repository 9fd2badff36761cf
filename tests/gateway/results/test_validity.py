"""Every result of every kind of film, by the programs of others: dciodvfy, dcmtk, pydicom and highdicom."""

from importlib.resources import files
from pathlib import Path

import highdicom
import numpy as np
import pydicom
import pytest
from highdicom._standard_utils import check_required_attributes, get_iod_module_map, get_sop_class_iod_map
from pydicom.pixels.processing import apply_modality_lut
from pydicom.uid import (
    AdvancedBlendingPresentationStateStorage,
    Comprehensive3DSRStorage,
    GrayscaleSoftcopyPresentationStateStorage,
    ParametricMapStorage,
    SecondaryCaptureImageStorage,
    SegmentationStorage,
)
from tests.gateway.results.every_kind import ALL_CLASSES, FILMS, SHAPE, difference, results_of
from tests.gateway.results.explanations import make_explanation
from tests.gateway.results.films import grey_film
from tests.gateway.results.objects import EVERYTHING, of_class, saved
from tests.gateway.results.programs import Program

from medxgan.client.geometry import Box
from medxgan.gateway.results.film import displayed
from medxgan.gateway.results.series import result_series

NOT_KNOWN = {
    # dciodvfy does not look for references in the Advanced Blending Sequence, which is where this object has them.
    AdvancedBlendingPresentationStateStorage: "ReferencedSeriesSequence present but Instance does not reference",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", FILMS)
def test_dciodvfy_finds_no_error(name: str, program: Program, tmp_path: Path) -> None:
    results = results_of(name)
    assert {result.SOPClassUID for result in results} == ALL_CLASSES
    for file, result in zip(saved(results, tmp_path), results, strict=True):
        done = program("dciodvfy", "-new", file)
        errors = [line for line in done.stderr.splitlines() if not line.startswith("Warning") and "Error" in line]
        wrong = [line for line in errors if NOT_KNOWN.get(result.SOPClassUID, "\n") not in line]
        assert not wrong, (result.SOPClassUID.name, wrong)


@pytest.mark.parametrize("name", FILMS)
def test_every_module_that_the_standard_asks_for_is_there(name: str) -> None:
    for result in results_of(name):
        for module in get_iod_module_map()[get_sop_class_iod_map()[result.SOPClassUID]]:
            # The tables list the macros of functional groups and of content items as if all of them had to be there.
            if module["usage"] == "M" and not module["key"].endswith(("functional-groups", "document-content")):
                check_required_attributes(result, module["key"])


def test_dciodvfy_would_find_one(program: Program, tmp_path: Path) -> None:
    result = of_class(results_of("radiograph"), SecondaryCaptureImageStorage)
    del result.ConversionType
    (file,) = saved([result], tmp_path)
    assert "Error" in program("dciodvfy", "-new", file).stderr


@pytest.mark.parametrize("name", FILMS)
def test_the_film_and_its_results_agree_on_patient_study_and_series(
    name: str, program: Program, tmp_path: Path
) -> None:
    results = saved([FILMS[name], *results_of(name)], tmp_path)
    assert "Error" not in program("dcentvfy", *results).stderr
    other = pydicom.dcmread(results[1])
    other.StudyDate = "19010203"
    other.save_as(results[1])
    assert "Error" in program("dcentvfy", *results).stderr


@pytest.mark.parametrize("name", ["radiograph", "slice"])
def test_dcmtk_draws_the_pictures(name: str, program: Program, tmp_path: Path) -> None:
    results = results_of(name)
    for file, result in zip(saved(results, tmp_path), results, strict=True):
        assert program("dcmdump", "-q", file).returncode == 0
        if result.Modality == "OT" and "PixelData" in result:
            done = program("dcm2pnm", "+op", "+Fa", file, tmp_path / "picture")
            assert done.returncode == 0, done.stderr


def test_dcmtk_draws_the_film_through_the_presentation_state(program: Program, tmp_path: Path) -> None:
    film = FILMS["MONOCHROME1"]
    state = of_class(results_of("MONOCHROME1"), GrayscaleSoftcopyPresentationStateStorage)
    state_file, film_file = saved([state, film], tmp_path)
    assert "Test passed" in program("dcmpschk", state_file).stderr
    done = program("dcmp2pgm", "--pstate", state_file, film_file, tmp_path / "drawn.pgm")
    assert done.returncode == 0, done.stderr
    drawn = np.fromfile(tmp_path / "drawn.pgm", np.uint8)[-np.prod(SHAPE) :].reshape(SHAPE)
    # As a viewer shows the film by itself; dcmp2pgm draws no outlines.
    assert np.abs(drawn - displayed(film).levels).max() <= 1.5


def test_the_parametric_map_holds_the_difference_pixel_by_pixel(tmp_path: Path) -> None:
    explanation = make_explanation(SHAPE, difference())
    (file,) = saved([of_class(results_of("radiograph"), ParametricMapStorage)], tmp_path)
    image = highdicom.pm.ParametricMap.from_file(file)
    assert (image.Rows, image.Columns) == SHAPE
    np.testing.assert_array_equal(image.pixel_array, explanation.geometry.lay_on_film(explanation.difference))


def test_what_x_does_not_cover_is_padding_in_the_parametric_map() -> None:
    explanation = make_explanation(SHAPE, difference(), box=Box(12, 0, 108, 96))
    result = of_class(result_series(grey_film(SHAPE), explanation, EVERYTHING), ParametricMapStorage)
    values = result.pixel_array
    assert (values[:12] == result.FloatPixelPaddingValue).all()
    assert np.abs(values[12:108]).max() <= 2


@pytest.mark.parametrize(
    ("name", "region", "side"),
    [
        ("radiograph", "Chest", "U"),
        ("mammogram", "Breast", "L"),
        ("right hand, lossy", "Hand", "R"),
        ("body part unknown", "Body structure", "U"),
    ],
)
def test_the_parametric_map_says_what_the_film_shows(name: str, region: str, side: str) -> None:
    shared = of_class(results_of(name), ParametricMapStorage).SharedFunctionalGroupsSequence[0]
    (anatomy,) = shared.FrameAnatomySequence
    assert anatomy.FrameLaterality == side
    assert anatomy.AnatomicRegionSequence[0].CodeMeaning == region


@pytest.mark.parametrize(
    "sop_class", [GrayscaleSoftcopyPresentationStateStorage, AdvancedBlendingPresentationStateStorage]
)
def test_a_state_has_the_side_with_its_series(sop_class: str) -> None:
    state = of_class(results_of("mammogram"), sop_class)
    assert state.Laterality == "L"
    assert "ImageLaterality" not in state


def test_a_slice_keeps_its_place_in_the_patient() -> None:
    film = FILMS["slice"]
    results = results_of("slice")
    for sop_class in (ParametricMapStorage, SegmentationStorage):
        result = of_class(results, sop_class)
        assert result.FrameOfReferenceUID == film.FrameOfReferenceUID
        place = result.PerFrameFunctionalGroupsSequence[0].PlanePositionSequence[0]
        assert place.ImagePositionPatient == film.ImagePositionPatient


def test_a_radiograph_is_given_no_place_in_the_patient() -> None:
    film = FILMS["frame of reference without a position"]
    result = of_class(results_of("frame of reference without a position"), ParametricMapStorage)
    assert result.FrameOfReferenceUID != film.FrameOfReferenceUID
    assert "FrameOfReferenceUID" not in of_class(results_of("radiograph"), SegmentationStorage)


def test_segments_are_the_regions_of_the_report(tmp_path: Path) -> None:
    results = results_of("radiograph")
    (file,) = saved([of_class(results, SegmentationStorage)], tmp_path)
    segmentation = highdicom.seg.segread(file)
    report = highdicom.sr.Comprehensive3DSR.from_dataset(of_class(results, Comprehensive3DSRStorage))
    groups = report.content.get_planar_roi_measurement_groups()
    pixels = segmentation.get_pixels_by_source_instance([FILMS["radiograph"].SOPInstanceUID])[0]
    assert segmentation.number_of_segments == len(groups) == 2
    for number, group in enumerate(groups, start=1):
        description = segmentation.get_segment_description(number)
        assert description.tracking_uid == group.tracking_uid
        assert description.algorithm_type.value == "AUTOMATIC"
        area = next(m.value for m in group.get_measurements() if m.unit.value == "{pixels}")
        assert pixels[..., number - 1].sum() == area


def test_outlines_are_those_of_the_report() -> None:
    results = results_of("radiograph")
    state = of_class(results, GrayscaleSoftcopyPresentationStateStorage)
    report = highdicom.sr.Comprehensive3DSR.from_dataset(of_class(results, Comprehensive3DSRStorage))
    drawn = {
        item.TrackingUID: item.GraphicData
        for annotation in state.GraphicAnnotationSequence
        for item in annotation.GraphicObjectSequence
    }
    groups = report.content.get_planar_roi_measurement_groups()
    assert drawn.keys() == {group.tracking_uid for group in groups}
    for group in groups:
        assert drawn[group.tracking_uid] == pytest.approx(group.roi.value.ravel())
    (reference,) = state.ReferencedSeriesSequence[0].ReferencedImageSequence
    assert reference.ReferencedSOPInstanceUID == FILMS["radiograph"].SOPInstanceUID


@pytest.mark.parametrize("name", ["radiograph", "MONOCHROME1", "slice"])
def test_the_film_is_blended_with_its_picture_as_it_is_shown(name: str) -> None:
    film = FILMS[name]
    results = results_of(name)
    state = of_class(results, AdvancedBlendingPresentationStateStorage)
    picture = of_class(results, SecondaryCaptureImageStorage)
    below, over = state.AdvancedBlendingSequence
    assert [item.ReferencedImageSequence[0].ReferencedSOPInstanceUID for item in (below, over)] == [
        film.SOPInstanceUID,
        picture.SOPInstanceUID,
    ]
    (display,) = state.BlendingDisplaySequence
    assert display.BlendingMode == "FOREGROUND"
    assert [item.BlendingInputNumber for item in display.BlendingDisplayInputSequence] == [2, 1]
    # The window and the palette that it states make of the film what the picture was drawn on.
    voi = below.SoftcopyVOILUTSequence[0]
    palette = np.frombuffer(below.PaletteColorLookupTableSequence[0].RedPaletteColorLookupTableData, np.uint8)
    windowed = highdicom.pixels.apply_voi_window(
        apply_modality_lut(film.pixel_array, film), voi.WindowCenter, voi.WindowWidth, voi.VOILUTFunction, (0, 255)
    )
    np.testing.assert_allclose(palette[np.rint(windowed).astype(int)], displayed(film).levels, atol=1)


@pytest.mark.slow
def test_a_real_radiograph_in_jpeg_2000(program: Program, tmp_path: Path) -> None:
    film = pydicom.dcmread(str(files("data_store") / "data" / "RG3_J2KR.dcm"))
    results = result_series(film, make_explanation((film.Rows, film.Columns), difference()), EVERYTHING)
    for file in saved(results, tmp_path):
        done = program("dciodvfy", "-new", file)
        known = tuple(NOT_KNOWN.values())
        errors = [line for line in done.stderr.splitlines() if line.startswith("Error")]
        assert not [line for line in errors if not any(each in line for each in known)]
