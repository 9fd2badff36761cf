"""Studies that an archive is searched for: by patient, by day, by kind of device. A search has an end."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from medxgan.client.studies.errors import QueryError

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

MOST_DAYS = 31
"""Days that are searched at most where no patient is named."""
PAGE = 25
"""Studies that are told at once."""
FIELDS = ("StudyDescription", "NumberOfStudyRelatedInstances")
"""Attributes that an archive tells only where it is asked (PS3.18, table 10.6.3-3)."""

# LO is up to 64 characters (PS3.5, 6.2); "*" and "?" are wildcards, "\" is between values.
_PATIENT = re.compile(r"[^\x00-\x1f\x7f*?\\]{1,64}")
_MODALITY = re.compile(r"[A-Z0-9]{1,16}")


@dataclass(frozen=True)
class StudyQuery:
    """What studies are searched for: all that is given holds of each.

    Attributes:
        patient: Patient ID, whole: no wildcards. Empty for anyone's.
        earliest: first day; None for none.
        latest: last day; None for none.
        modality: as DICOM calls it, such as DX; empty for any.

    Raises:
        QueryError: it is no such value, or the search would go through the whole archive.
    """

    patient: str = ""
    earliest: date | None = None
    latest: date | None = None
    modality: str = ""

    def __post_init__(self) -> None:
        if self.patient and not _PATIENT.fullmatch(self.patient):
            raise QueryError("patient", "a whole Patient ID of up to 64 characters, without * and ?")
        if self.modality and not _MODALITY.fullmatch(self.modality):
            raise QueryError("modality", "a modality in capital letters, such as DX")
        if self.earliest and self.latest and self.earliest > self.latest:
            raise QueryError("latest", "a day that is not before the first one")
        if not self.patient:
            self._check_days()

    def _check_days(self) -> None:
        if self.earliest is None or self.latest is None:
            raise QueryError(
                "patient", "a Patient ID, or the first and the last day: else the whole archive is searched"
            )
        if (self.latest - self.earliest).days >= MOST_DAYS:
            raise QueryError("latest", f"at most {MOST_DAYS} days where no patient is named")

    @property
    def filters(self) -> dict[str, str]:
        """As attributes are matched (PS3.18, 8.3.4)."""
        filters = {"PatientID": self.patient, "StudyDate": self._days(), "ModalitiesInStudy": self.modality}
        return {name: value for name, value in filters.items() if value}

    def _days(self) -> str:
        first, last = (_dicom(day) if day else "" for day in (self.earliest, self.latest))
        return first if first == last else f"{first}-{last}"

    def fits(self, study: "FoundStudy") -> bool:
        """Whether a study is one of those; a day or modalities that an archive does not tell fit."""
        day = study.day.replace("-", "")
        return not (
            (self.patient and study.patient.casefold() != self.patient.strip().casefold())
            or (self.earliest and day and day < _dicom(self.earliest))
            or (self.latest and day and day > _dicom(self.latest))
            or (self.modality and study.modalities and self.modality not in study.modalities)
        )


@dataclass(frozen=True)
class FoundStudy:
    """A study as an archive tells of it; empty where it tells nothing.

    Attributes:
        study: its UID.
        patient: Patient ID.
        name: of the patient.
        day: of the study, YYYY-MM-DD.
        modalities: that took its objects.
        description: of the study.
        objects: how many it has; None where that is not told.
    """

    study: str
    patient: str = ""
    name: str = ""
    day: str = ""
    modalities: tuple[str, ...] = ()
    description: str = ""
    objects: int | None = None


@dataclass(frozen=True)
class FoundStudies:
    """A page of the studies that were found.

    Attributes:
        studies: at most `PAGE` of them.
        more: whether there are further ones.
        cut: whether these can't be asked for, since the archive does not tell its studies by pages.
    """

    studies: Sequence[FoundStudy]
    more: bool = False
    cut: bool = False


def found_study(answer: "Dataset") -> FoundStudy:
    """A study of an archive's answer; raises AttributeError where it has no UID."""
    day = _text(answer, "StudyDate")
    modalities = answer.get("ModalitiesInStudy") or ()
    objects = _text(answer, "NumberOfStudyRelatedInstances")
    return FoundStudy(
        study=str(answer.StudyInstanceUID),
        patient=_text(answer, "PatientID"),
        name=_text(answer, "PatientName").split("=")[0].rstrip("^").replace("^", ", ", 1).replace("^", " "),
        day=f"{day[:4]}-{day[4:6]}-{day[6:]}" if re.fullmatch(r"[0-9]{8}", day) else "",
        modalities=(modalities,) if isinstance(modalities, str) else tuple(str(each) for each in modalities),
        description=_text(answer, "StudyDescription"),
        objects=int(objects) if objects.isdecimal() else None,
    )


def _dicom(day: date) -> str:
    """DA of DICOM (PS3.5, 6.2)."""
    return day.isoformat().replace("-", "")


def _text(answer: "Dataset", name: str) -> str:
    value = answer.get(name)
    return "" if value is None else str(value).strip()
