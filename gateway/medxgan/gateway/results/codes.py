"""Codes of the results: of public schemes where these have one, else of our own."""

from highdicom.coding_schemes import CodingSchemeIdentificationItem
from highdicom.sr import CodedConcept
from pydicom.sr.codedict import codes as standard

from medxgan.client import Unrecognised, VerdictReasonCode

SCHEME = "99MEDXGAN"
SCHEME_UID = "2.25.188153846912796158890404899284925818139"
"""Designator and UID of our own codes; docs/gateway-results.md lists them."""
CODING_SCHEMES = [CodingSchemeIdentificationItem(SCHEME, name="medxgan", uid=SCHEME_UID)]
"""What an object states that has codes of ours."""

AREA = CodedConcept("42798000", "SCT", "Area")
MEAN = CodedConcept("373098007", "SCT", "Mean")
MAXIMUM = CodedConcept("56851009", "SCT", "Maximum")
IMAGING = CodedConcept("363679005", "SCT", "Imaging procedure")
NO_UNITS = CodedConcept("1", "UCUM", "no units")
PIXELS = CodedConcept("{pixels}", "UCUM", "pixels")
SQUARE_MILLIMETRES = CodedConcept("mm2", "UCUM", "square millimeter")
SPATIAL_CONCEPT = CodedConcept("309825002", "SCT", "Spatial and Relational Concept")
BODY_STRUCTURE = CodedConcept("123037004", "SCT", "Body structure")
CHEST = CodedConcept("816094009", "SCT", "Chest")

EXPLANATION = CodedConcept("explanation", SCHEME, "Explanation of a classifier's score")
EVIDENCE_REGION = CodedConcept("evidence-region", SCHEME, "Region that the classifier's score rests on")
DIFFERENCE = CodedConcept("difference", SCHEME, "Reconstruction minus negative realization")
DECISION_THRESHOLD = CodedConcept("threshold", SCHEME, "Probability from which an image is positive")
DECISION = CodedConcept("decision", SCHEME, "Decision of the classifier")
VERDICT = CodedConcept("verdict", SCHEME, "Verdict on the explanation")

PROBABILITIES = {
    "original": CodedConcept("p-film", SCHEME, "Probability of the film"),
    "reconstruction": CodedConcept("p-reconstruction", SCHEME, "Probability of the reconstruction"),
    "negative_realization": CodedConcept("p-negative", SCHEME, "Probability of the negative realization"),
    "applied_negative": CodedConcept("p-applied", SCHEME, "Probability of the film less the difference"),
}
"""By the names of the scores of an explanation."""

REASONS = {
    VerdictReasonCode.RECONSTRUCTION_TOO_FAR: ("too-far", "Mean squared error of a reconstruction that is too far"),
    VerdictReasonCode.CLASSIFIER_DISAGREES: ("disagrees", "Probability of a reconstruction that is decided otherwise"),
    VerdictReasonCode.NEGATIVE_IS_POSITIVE: ("negative-pos", "Probability of a negative realization that is positive"),
    VerdictReasonCode.IMAGE_IS_NEGATIVE: ("film-negative", "Probability of a film that is negative"),
    VerdictReasonCode.IMAGE_UNFAMILIAR: ("unfamiliar", "Distance of a film that is unlike those of the training"),
    VerdictReasonCode.APPLIED_NEGATIVE_IS_POSITIVE: (
        "applied-pos",
        "Probability of a film less the difference that is positive",
    ),
    VerdictReasonCode.DIFFERENCE_TOO_WEAK: ("too-weak", "Largest value of a difference that is too weak"),
}
"""Code and meaning of what was measured for a reason of the verdict."""

_CODE_VALUE, _CODE_MEANING = 16, 64
"""Most characters that a code and its meaning may have."""


def anatomic_region(body_part: str) -> CodedConcept:
    """The code of a Body Part Examined that CID 4 has by that name; of any other, a body structure without a name."""
    if body_part == "CHEST":
        return CHEST
    keywords = {keyword.upper(): keyword for keyword in standard.cid4.dir()}
    if body_part not in keywords:
        return BODY_STRUCTURE
    return CodedConcept.from_code(getattr(standard.cid4, keywords[body_part]))


def own_code(value: str, meaning: str) -> CodedConcept:
    """A code of ours, cut to what the standard lets a code and its meaning be."""
    return CodedConcept(value[:_CODE_VALUE], SCHEME, meaning[:_CODE_MEANING])


def reason(code: VerdictReasonCode | Unrecognised) -> CodedConcept:
    """What was measured for a reason of the verdict; one that is unrecognised is named as it reads."""
    if isinstance(code, VerdictReasonCode):
        return own_code(*REASONS[code])
    return own_code(f"reason-{code.number}", code.value)
