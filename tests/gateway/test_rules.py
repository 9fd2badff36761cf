"""Which films go to which model: by rules of a file, and by what no rule can change."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from tests.gateway.films import PATIENT, film

from medxgan.gateway.rules import Decision, Rule, decide, unusable

CHEST = Rule(
    name="adult chest",
    when={"Modality": ("CR", "DX"), "BodyPartExamined": ("chest", "thorax*"), "ViewPosition": ("PA", "")},
    model="chest",
    version="5",
)
CHILDREN = Rule(name="children", when={"PatientAge": ("00?Y",)}, ignore="the model is for adults")


def test_a_film_that_fits_goes_to_the_model() -> None:
    assert decide((CHEST,), film()) == Decision("chest", "5", "adult chest")


def test_a_pattern_fits_whatever_the_case() -> None:
    assert decide((CHEST,), film(BodyPartExamined="THORAX FRONT")).model == "chest"


def test_an_absent_attribute_fits_the_empty_value_alone() -> None:
    assert decide((CHEST,), film(ViewPosition=None)).model == "chest"
    assert decide((CHEST,), film(BodyPartExamined=None)).model == ""


def test_one_of_several_values_is_enough() -> None:
    rule = Rule(name="derived", when={"ImageType": ("DERIVED",)}, ignore="only originals")
    assert (
        decide((rule,), film(ImageType=["ORIGINAL", "PRIMARY"])).reason == "no rule takes it (derived: other ImageType)"
    )
    assert decide((rule,), film(ImageType=["DERIVED", "SECONDARY"])).reason == "derived: only originals"


def test_the_first_rule_that_fits_decides() -> None:
    child = film(PatientAge="007Y")
    assert decide((CHILDREN, CHEST), child) == Decision("", "", "children: the model is for adults")
    assert decide((CHEST, CHILDREN), child).model == "chest"


def test_a_rule_without_conditions_takes_everything() -> None:
    assert decide((CHEST, Rule(name="rest", model="phantom")), film(Modality="MR")).reason == "rest"


def test_a_rule_that_ignores_has_no_outputs() -> None:
    with pytest.raises(ValidationError, match="expected outputs together with model"):
        Rule.model_validate({"name": "none", "ignore": "no", "outputs": {"blink": False}})


@given(st.text(max_size=16))
def test_the_reason_names_the_attribute_and_not_its_value(value: str) -> None:
    rule = Rule(name="one", when={"PatientName": ("Nobody",)}, model="chest")
    reason = decide((rule,), film(PatientName=PATIENT, PatientComments=value)).reason
    assert reason == "no rule takes it (one: other PatientName)"


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        ({"PixelData": None}, "no pixel data"),
        ({"NumberOfFrames": 3}, "several frames"),
        ({"NumberOfFrames": 1}, None),
        ({"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB"}, "colour"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "colour"),
        ({"PhotometricInterpretation": "MONOCHROME1"}, None),
    ],
)
def test_what_no_model_could_explain_is_named(attributes: dict[str, object], reason: str | None) -> None:
    assert unusable(film(**attributes)) == reason


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "neither"},
        {"name": "both", "model": "chest", "ignore": "because"},
        {"name": "a version of nothing", "ignore": "because", "version": "5"},
        {"name": "no keyword", "model": "chest", "when": {"Bodypart": ["CHEST"]}},
        {"name": "no values", "model": "chest", "when": {"Modality": []}},
        {"name": "unknown", "model": "chest", "unless": {}},
    ],
    ids=lambda wrong: wrong["name"],
)
def test_a_wrong_rule_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Rule.model_validate(wrong)
