"""Which films go to which model, and why others do not."""

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from medxgan.gateway.results.outputs import Outputs


def _keyword(name: str) -> str:
    if tag_for_keyword(name) is None:
        raise ValueError("expected the keyword of a DICOM attribute, such as BodyPartExamined")
    return name


_GREY = ("MONOCHROME1", "MONOCHROME2")

Keyword = Annotated[str, AfterValidator(_keyword)]


class Rule(BaseModel):
    """One rule: `[[rules]]`. It has a model, or says why such films are ignored.

    Attributes:
        name: for the journal.
        when: values that an attribute may have, by keyword: patterns with `*` and `?`, whatever the case. Of an
            attribute with several values one is enough; one that is absent or empty has the value "".
        model: that explains the films; empty with `ignore`.
        version: of the model; empty for the highest.
        ignore: why such films are not explained.
        outputs: which objects are made of their explanations, in place of the settings' `[outputs]`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, StringConstraints(min_length=1, max_length=64)]
    when: dict[Keyword, Annotated[tuple[str, ...], Field(min_length=1)]] = {}
    model: str = ""
    version: str = ""
    ignore: str = ""
    outputs: Outputs | None = None

    @model_validator(mode="after")
    def _one_end(self) -> "Rule":
        if bool(self.model) == bool(self.ignore):
            raise ValueError("expected a model, or the reason to ignore such films")
        if self.version and not self.model:
            raise ValueError("expected version together with model")
        if self.outputs is not None and not self.model:
            raise ValueError("expected outputs together with model")
        return self


@dataclass(frozen=True)
class Decision:
    """What becomes of a film.

    Attributes:
        model: that explains it; empty where it is ignored.
        version: of the model; empty for the highest.
        reason: the rule that took it, or why it is ignored. Names attributes, and holds none of their values.
    """

    model: str
    version: str
    reason: str


def decide(rules: tuple[Rule, ...], film: Dataset) -> Decision:
    """Find the first rule that fits a film's attributes."""
    reasons = []
    for rule in rules:
        other = next((keyword for keyword, values in rule.when.items() if not _fits(film, keyword, values)), None)
        if other is not None:
            reasons.append(f"{rule.name}: other {other}")
        elif rule.ignore:
            return Decision("", "", f"{rule.name}: {rule.ignore}")
        else:
            return Decision(rule.model, rule.version, rule.name)
    return Decision("", "", f"no rule takes it ({'; '.join(reasons)})")


def unusable(film: Dataset) -> str | None:
    """Why no model could explain an object, whatever the rules say; None where one could."""
    if "PixelData" not in film:
        return "no pixel data"
    if int(film.get("NumberOfFrames") or 1) > 1:
        return "several frames"
    if film.get("SamplesPerPixel") != 1 or film.get("PhotometricInterpretation") not in _GREY:
        return "colour"
    return None


def _fits(film: Dataset, keyword: str, patterns: tuple[str, ...]) -> bool:
    value = film.get(keyword)
    values = list(value) if isinstance(value, MultiValue) else [value]
    texts = ["" if each is None else str(each).strip().casefold() for each in values] or [""]
    return any(fnmatchcase(text, pattern.casefold()) for text in texts for pattern in patterns)
