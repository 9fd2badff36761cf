"""Which results there are, that a repeat makes the same ones, and that they are the patient's."""

import io
import logging
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import replace
from datetime import UTC, datetime, time

import numpy as np
import pydicom
import pytest
from pydicom import Dataset, config
from pydicom.uid import (
    AdvancedBlendingPresentationStateStorage,
    Comprehensive3DSRStorage,
    GrayscaleSoftcopyPresentationStateStorage,
    MultiFrameTrueColorSecondaryCaptureImageStorage,
    ParametricMapStorage,
    SecondaryCaptureImageStorage,
    SegmentationStorage,
)
from tests.gateway.results.explanations import make_explanation, with_verdict
from tests.gateway.results.films import grey_film
from tests.gateway.results.objects import EVERYTHING

from medxgan.client import MapKind, VerdictStatus
from medxgan.client.results import ModelIdentity
from medxgan.gateway.results.errors import UnusableFilmError
from medxgan.gateway.results.outputs import Outputs
from medxgan.gateway.results.series import result_series

SHAPE = (120, 96)
CLASSES = {
    "secondary_capture": SecondaryCaptureImageStorage,
    "blink": MultiFrameTrueColorSecondaryCaptureImageStorage,
    "parametric_map": ParametricMapStorage,
    "segmentation": SegmentationStorage,
    "presentation_state": GrayscaleSoftcopyPresentationStateStorage,
    "report": Comprehensive3DSRStorage,
}
NOTHING = dict.fromkeys(CLASSES, False)


def explanation(**arguments: object):
    values = np.zeros((32, 32), np.float32)
    values[4:12, 6:16] = 0.7
    return make_explanation(SHAPE, values, **arguments)


def file_of(result: Dataset) -> bytes:
    file = io.BytesIO()
    result.save_as(file, enforce_file_format=True)
    return file.getvalue()


def read_back(result: Dataset) -> Dataset:
    return pydicom.dcmread(io.BytesIO(file_of(result)))


@pytest.mark.parametrize("output", CLASSES)
def test_what_is_asked_for_is_made_and_nothing_else(output: str) -> None:
    results = result_series(grey_film(SHAPE), explanation(), Outputs(**NOTHING | {output: True}))
    assert [result.SOPClassUID for result in results] == [CLASSES[output]]


def test_nothing_is_made_where_nothing_is_asked_for() -> None:
    assert result_series(grey_film(SHAPE), explanation(), Outputs(**NOTHING)) == []


@pytest.mark.parametrize(
    "status",
    [status for status in VerdictStatus if status is not VerdictStatus.RELIABLE],
    ids=lambda status: status.value,
)
def test_an_explanation_that_is_not_reliable_gets_a_report_and_no_map(status: VerdictStatus) -> None:
    unreliable = with_verdict(explanation(), status)
    (report,) = result_series(grey_film(SHAPE), unreliable, EVERYTHING)
    assert report.SOPClassUID == Comprehensive3DSRStorage
    shown = result_series(grey_film(SHAPE), unreliable, Outputs(presentation_state=True, show_unreliable=True))
    assert {result.SOPClassUID for result in shown} == set(CLASSES.values())


def test_a_report_needs_no_map() -> None:
    """A classifier alone has none, and neither has an image that nothing was inverted for."""
    bare = with_verdict(explanation(), VerdictStatus.NOT_ASSESSED)
    bare = replace(bare, maps={}, outcome=None)
    (report,) = result_series(grey_film(SHAPE), bare, Outputs())
    assert report.SOPClassUID == Comprehensive3DSRStorage


def test_a_map_that_is_missing_is_named() -> None:
    reliable = explanation()
    reliable = replace(reliable, maps={})
    with pytest.raises(LookupError, match="difference"):
        result_series(grey_film(SHAPE), reliable, Outputs())


def test_there_is_no_region_to_be_segmented_where_there_is_no_difference() -> None:
    nothing = make_explanation(SHAPE, np.zeros((32, 32), np.float32))
    classes = {result.SOPClassUID for result in result_series(grey_film(SHAPE), nothing, EVERYTHING)}
    without = {SegmentationStorage, GrayscaleSoftcopyPresentationStateStorage}
    assert classes == set(CLASSES.values()) - without | {AdvancedBlendingPresentationStateStorage}


def test_a_repeat_makes_the_same_objects_to_the_byte() -> None:
    first = [file_of(result) for result in result_series(grey_film(SHAPE), explanation(), EVERYTHING)]
    again = [file_of(result) for result in result_series(grey_film(SHAPE), explanation(), EVERYTHING)]
    assert first == again


def test_uids_follow_from_the_film_and_the_bundle() -> None:
    def uids(film: Dataset, of) -> set[str]:
        return {str(result.SOPInstanceUID) for result in result_series(film, of, EVERYTHING)}

    plain = explanation()
    ours = uids(grey_film(SHAPE), plain)
    assert len(ours) == len(CLASSES) + 1  # and a blending state
    assert all(uid.startswith("2.25.") and len(uid) <= 64 for uid in ours)
    assert not ours & uids(grey_film(SHAPE, SOPInstanceUID="1.2.3"), plain)
    other = replace(plain, model=ModelIdentity("chest", "5", "cd" * 32))
    assert not ours & uids(grey_film(SHAPE), other)


def test_every_modality_has_its_own_series_in_the_study_of_the_film() -> None:
    film = grey_film(SHAPE)
    results = result_series(film, explanation(), EVERYTHING)
    series: dict[str, set[tuple]] = {}
    for result in results:
        assert result.StudyInstanceUID == film.StudyInstanceUID
        assert result.SeriesInstanceUID != result.SOPInstanceUID
        series.setdefault(result.SeriesInstanceUID, set()).add((result.Modality, result.SeriesNumber))
    assert all(len(kinds) == 1 for kinds in series.values())
    assert sorted(number for kinds in series.values() for _, number in kinds) == [3001, 3002, 3003, 3004, 3005]
    pictures = [result for result in results if result.SeriesNumber == 3001]
    assert [result.InstanceNumber for result in pictures] == [1, 2]


@pytest.mark.parametrize(
    ("number", "expected"), [(None, 1), (0, 1), (-5, 1), (12, 12001), (20260102, 1), (2**31 - 1, 1)]
)
def test_series_have_numbers_whatever_the_films_has(number: int | None, expected: int) -> None:
    results = result_series(grey_film(SHAPE, SeriesNumber=number), explanation(), EVERYTHING)
    assert min(result.SeriesNumber for result in results) == expected


@pytest.mark.parametrize("spacing", [[0, 0], [0.2], "", [0.2, -0.2]])
def test_a_spacing_that_is_none_is_left_out(spacing: object) -> None:
    film = grey_film(SHAPE, PixelSpacing=spacing)
    for result in result_series(film, explanation(spacing=None), EVERYTHING):
        assert "PixelSpacing" not in result


def test_a_model_with_a_long_name_is_named_as_far_as_there_is_room() -> None:
    plain = explanation()
    long = replace(plain, model=ModelIdentity("m" * 63, "123456789", "ab" * 32))
    for result in result_series(grey_film(SHAPE), long, EVERYTHING):
        assert read_back(result).SoftwareVersions[1] == "m" * 63


def test_the_time_is_the_films_or_the_one_that_is_given() -> None:
    for result in result_series(grey_film(SHAPE), explanation(), EVERYTHING):
        kind = "PresentationCreation" if result.Modality == "PR" else "Content"
        assert (str(result[f"{kind}Date"].value), str(result[f"{kind}Time"].value)) == ("20260102", "030500")
        assert "InstanceCreationDate" not in result
    made_at = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
    for result in result_series(grey_film(SHAPE), explanation(), EVERYTHING, made_at=made_at):
        again = read_back(result)
        assert (again.InstanceCreationDate, again.InstanceCreationTime) == ("20260304", "050607")


def test_a_time_that_is_given_is_stated_in_the_time_zone_of_the_film() -> None:
    film = grey_film(SHAPE, TimezoneOffsetFromUTC="-0400")
    made_at = datetime(2026, 3, 4, 1, 2, 3, tzinfo=UTC)
    for result in result_series(film, explanation(), EVERYTHING, made_at=made_at):
        again = read_back(result)
        assert (again.InstanceCreationDate, again.InstanceCreationTime) == ("20260303", "210203")
        assert again.TimezoneOffsetFromUTC == "-0400"


def test_a_film_without_a_content_date_has_that_of_its_study() -> None:
    film = grey_film(SHAPE, ContentDate=None, ContentTime=None)
    assert result_series(film, explanation(), EVERYTHING)[0].ContentTime == time(3, 4, 5)
    undated = grey_film(SHAPE, ContentDate=None, StudyDate="", ContentTime=None)
    with pytest.raises(UnusableFilmError, match="StudyDate"):
        result_series(undated, explanation(), EVERYTHING)
    assert result_series(undated, explanation(), EVERYTHING, made_at=datetime(2026, 1, 1, tzinfo=UTC))


def test_patient_and_study_are_those_of_the_film() -> None:
    film = grey_film(
        SHAPE,
        PatientAge="060Y",
        IssuerOfPatientID="hospital",
        OtherPatientIDs="43",
        StudyDescription="THORAX",
        TimezoneOffsetFromUTC="-0400",
        RequestedProcedureDescription="not of the study",
    )
    copied = [
        "PatientName",
        "PatientID",
        "PatientBirthDate",
        "PatientSex",
        "PatientAge",
        "IssuerOfPatientID",
        "StudyInstanceUID",
        "StudyDate",
        "StudyTime",
        "StudyID",
        "StudyDescription",
        "AccessionNumber",
        "ReferringPhysicianName",
        "TimezoneOffsetFromUTC",
    ]
    for result in result_series(film, explanation(), EVERYTHING):
        assert {keyword: result.get(keyword) for keyword in copied} == {
            keyword: film.get(keyword) for keyword in copied
        }


def test_values_that_are_ill_formed_are_taken_as_they_are_and_no_warning_quotes_them() -> None:
    film = grey_film(
        SHAPE, StudyTime="noon", PatientBirthDate="Thursday", AccessionNumber="longer than sixteen characters"
    )
    for result in result_series(film, explanation(), EVERYTHING):
        assert result.StudyTime == "noon"
        assert result.PatientBirthDate == "Thursday"


@pytest.mark.slow
def test_results_of_several_films_are_made_at_once() -> None:
    """pydicom's settings are the process's: nobody's film is warned of, and afterwards they are as they were."""
    before = (config.settings.reading_validation_mode, config.settings.writing_validation_mode)
    films = [grey_film(SHAPE, SOPInstanceUID=f"1.2.{number}", StudyTime="noon") for number in range(8)]
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda film: result_series(film, explanation(), EVERYTHING), films))
    assert [file_of(one) for one in made[3]] == [
        file_of(one) for one in result_series(films[3], explanation(), EVERYTHING)
    ]
    assert (config.settings.reading_validation_mode, config.settings.writing_validation_mode) == before


def test_what_the_film_does_not_know_of_the_patient_is_empty() -> None:
    film = grey_film(SHAPE, **dict.fromkeys(("PatientID", "PatientName", "PatientSex", "StudyTime", "AccessionNumber")))
    for result in result_series(film, explanation(), EVERYTHING):
        again = read_back(result)
        assert "PatientID" in again
        assert not again.PatientID
        assert not again.PatientName


@pytest.mark.parametrize("name", ["ward", "not a^proper^name^at^all^of^it", "Müller^Jürgen"])
def test_a_name_that_is_ill_formed_is_taken_as_it_is_and_logged_nowhere(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    film = grey_film(SHAPE, SpecificCharacterSet="ISO_IR 100", PatientName=name, PatientSex="U")
    with caplog.at_level(logging.DEBUG):
        results = result_series(film, explanation(), EVERYTHING)
    assert all(read_back(result).PatientName == name for result in results)
    assert all(read_back(result).PatientSex == "U" for result in results)
    assert name.split("^")[0] not in caplog.text


@pytest.mark.parametrize(
    ("character_set", "name"),
    [
        (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう"),
        ("ISO_IR 192", "Ωμέγα^Άλφα"),
        ("ISO_IR 144", "Люкceмбypг"),  # noqa: RUF001
    ],
)
def test_names_in_any_script_stay_as_they_are(character_set: object, name: str) -> None:
    film = read_back(grey_film(SHAPE, SpecificCharacterSet=character_set, PatientName=name))
    for result in result_series(film, explanation(), EVERYTHING):
        again = read_back(result)
        assert again.PatientName == name
        assert again.SpecificCharacterSet == film.SpecificCharacterSet


def test_words_of_the_model_that_the_films_characters_do_not_have_are_written_in_unicode() -> None:
    film = read_back(grey_film(SHAPE, SpecificCharacterSet="ISO_IR 100", PatientName="Müller^Jürgen"))
    report = read_back(result_series(film, explanation(target="затемнение"), EVERYTHING)[-1])
    assert report.SpecificCharacterSet == "ISO_IR 192"
    assert report.PatientName == "Müller^Jürgen"
    assert "затемнение positive" in str(report)


def test_the_film_is_left_as_it_was() -> None:
    film = grey_film(SHAPE, FrameOfReferenceUID="1.2.3", SpecificCharacterSet="ISO_IR 100")
    before = deepcopy(film)
    result_series(film, explanation(), EVERYTHING)
    assert film == before


def test_a_film_of_a_class_that_no_standard_knows_is_refused() -> None:
    with pytest.raises(UnusableFilmError, match="SOPClassUID"):
        result_series(grey_film(SHAPE, SOPClassUID="1.2.3.4.5"), explanation(), EVERYTHING)


@pytest.mark.parametrize("attribute", ["SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "SOPClassUID"])
def test_a_film_without_its_uids_is_refused_by_name(attribute: str) -> None:
    with pytest.raises(UnusableFilmError, match=attribute):
        result_series(grey_film(SHAPE, **{attribute: None}), explanation(), EVERYTHING)


def test_an_explanation_of_another_film_is_refused() -> None:
    with pytest.raises(UnusableFilmError, match="Rows, Columns: expected 120 and 96"):
        result_series(grey_film((120, 97)), explanation(), EVERYTHING)


def test_a_blending_state_needs_the_picture_that_it_blends() -> None:
    with pytest.raises(ValueError, match="blending: expected secondary_capture"):
        Outputs(secondary_capture=False, blending=True)


def test_outputs_name_the_maps_that_their_objects_are_made_of() -> None:
    assert {MapKind.DIFFERENCE, MapKind.EVIDENCE, MapKind.ORIGINAL, MapKind.RECONSTRUCTION} == set(Outputs().maps)
