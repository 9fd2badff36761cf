"""Where results come from: the film, its explanation, and the time. What every result has in common is made here."""

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone
from functools import cached_property
from importlib.metadata import version
from typing import Any

from highdicom import SOPClass
from highdicom.sr import CodedConcept
from pydicom import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import UID
from pydicom.valuerep import DA, TM

from medxgan.client import Explanation
from medxgan.gateway.results.errors import UnusableFilmError

MANUFACTURER = "medxgan"
MODEL_NAME = "medxgan gateway"
RESEARCH_ONLY = "Research use only. Not a medical device."

REQUIRED = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "Rows", "Columns")
EMPTY_WHERE_UNKNOWN = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "AccessionNumber",
    "StudyID",
    "StudyDate",
    "StudyTime",
    "ReferringPhysicianName",
)
"""Attributes of type 2 of patient and study: a result has them, empty where the film has none."""

SPACINGS = ("PixelSpacing", "ImagerPixelSpacing", "PixelAspectRatio")

_PLACE = ("FrameOfReferenceUID", "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing")
_BODY_PART = ("BodyPartExamined", "Laterality", "ImageLaterality")
"""One of these has to be stated where there is a picture, if only as not known."""

_NAMESPACE = uuid.UUID("0f5b4c8e-6f0f-5d5e-9a51-3c9d5a1f7e42")
_UTF_8 = "ISO_IR 192"
_LONG_STRING = 64
"""Most characters of a long string (LO)."""
_LARGEST_SERIES = 2_000_000
"""Series numbers above this have no room for three digits more."""
_PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")


@dataclass(frozen=True)
class Series:
    """One series of results; Modality belongs to the series, so that each modality has its own.

    Attributes:
        kind: its name in derived UIDs.
        offset: its number follows the film's series number by this.
        description: Series Description.
    """

    kind: str
    offset: int
    description: str


@dataclass(frozen=True, eq=False)
class Origin:
    """Where results come from.

    Attributes:
        source: the film, as it was received.
        explanation: of that film.
        made_at: when the results were made; None to state the film's own time, so that a repeat states it too.
    """

    source: Dataset
    explanation: Explanation
    made_at: datetime | None = None

    def __post_init__(self) -> None:
        for keyword in REQUIRED:
            if not self.source.get(keyword):
                raise UnusableFilmError(keyword, "a value")
        if "TransferSyntaxUID" not in getattr(self.source, "file_meta", {}):
            raise UnusableFilmError("TransferSyntaxUID", "a value in the file's meta information")
        if UID(self.source.SOPClassUID).name == self.source.SOPClassUID:
            raise UnusableFilmError("SOPClassUID", "one of the standard")
        geometry = self.explanation.geometry
        if (geometry.rows, geometry.columns) != (self.source.Rows, self.source.Columns):
            raise UnusableFilmError("Rows, Columns", f"{geometry.rows} and {geometry.columns}, as the explanation has")

    @cached_property
    def film(self) -> Dataset:
        """The film's description for the constructors of highdicom: without pixels, patient and study left empty.

        They check names and codes that a film may have wrong, and `finished` puts in what the film has. The elements
        are the film's own: who sets a value copies it first.
        """
        film = Dataset()
        for element in self.source:
            if element.keyword not in (*_PIXELS, *SPACINGS, *EMPTY_WHERE_UNKNOWN, "SpecificCharacterSet"):
                film.add(element)
        self.copy_to(film, SPACINGS)
        if not all(keyword in film for keyword in _PLACE):
            # Without a position in it, a frame of reference says nothing.
            film.pop("FrameOfReferenceUID", None)
        for keyword in EMPTY_WHERE_UNKNOWN:
            setattr(film, keyword, None)
        film.file_meta = self.source.file_meta
        return film

    @property
    def has_place(self) -> bool:
        """Whether the film has a place in the patient, as a slice has and a radiograph has not."""
        return "FrameOfReferenceUID" in self.film

    def uid(self, kind: str) -> str:
        """The UID of what `kind` names among the results of this film and bundle: always the same one.

        It is a UUID of version 5, written as PS3.5, annex B.2 has it.
        """
        name = f"{self.source.SOPInstanceUID}/{self.explanation.model.bundle_sha256}/{kind}"
        return f"2.25.{uuid.uuid5(_NAMESPACE, name).int}"

    def identification(self, series: Series, kind: str, instance_number: int = 1) -> dict[str, Any]:
        """The arguments that say to every constructor of highdicom what an object is, who made it, and when."""
        model, day, moment = self.explanation.model, *self.made
        return {
            "series_instance_uid": self.uid(f"series of {series.kind}"),
            "series_number": self._series_number + series.offset,
            "series_description": series.description,
            "sop_instance_uid": self.uid(kind),
            "instance_number": instance_number,
            "manufacturer": MANUFACTURER,
            "manufacturer_model_name": MODEL_NAME,
            "software_versions": [f"medxgan {version('medxgan')}", f"{model.name} {model.version}"[:_LONG_STRING]],
            # The device is the program with this bundle; a SHA-256 in hexadecimal is as long as the value may be.
            "device_serial_number": model.bundle_sha256,
            "content_date": day,
            "content_time": moment,
        }

    def source_reference(self) -> Dataset:
        """The film, as the source of a result whose pixels are in the same places."""
        reference = Dataset()
        reference.ReferencedSOPClassUID = self.source.SOPClassUID
        reference.ReferencedSOPInstanceUID = self.source.SOPInstanceUID
        reference.SpatialLocationsPreserved = "YES"
        reference.PurposeOfReferenceCodeSequence = [
            CodedConcept.from_code(codes.DCM.SourceImageForImageProcessingOperation)
        ]
        return reference

    def copy_to(self, result: Dataset, keywords: Iterable[str]) -> None:
        """Copy what the film has of these attributes; a spacing of zero is none."""
        for keyword in keywords:
            value = self.source.get(keyword)
            if value is not None and (keyword not in SPACINGS or _are_distances(value)):
                result[keyword] = self.source[keyword]

    def finished(self, result: SOPClass) -> Dataset:
        """Complete a result: patient and study as the film has them, its character set, and no time of today."""
        for keyword in ("InstanceCreationDate", "InstanceCreationTime"):
            del result[keyword]
        for equipment in result.get("ContributingEquipmentSequence", ()):
            equipment.pop("ContributionDateTime", None)
        for index in result.get("DimensionIndexSequence", ()):
            index.DimensionOrganizationUID = self.uid("dimensions")
        for organization in result.get("DimensionOrganizationSequence", ()):
            organization.DimensionOrganizationUID = self.uid("dimensions")
        if self.made_at is not None:
            result.InstanceCreationDate, result.InstanceCreationTime = (DA(self.made[0]), TM(self.made[1]))
        if "ContentLabel" in result:
            # Nobody; the standard of 2020 wants that to be said.
            result.ContentCreatorName = None
        result.copy_patient_and_study_information(self.source)
        if result.Modality != "SR":
            self.copy_to(result, ("BodyPartExamined",))
        # A segmentation has its laterality with its segments, a map with its frame.
        if result.Modality != "SR" and "SharedFunctionalGroupsSequence" not in result:
            self.copy_to(result, ("Laterality", "ImageLaterality"))
            if result.Modality == "PR" and "ImageLaterality" in result:
                # A state is no image; its series may be of one side.
                side = result["ImageLaterality"].value
                del result.ImageLaterality
                if side in ("L", "R"):
                    result.Laterality = side
            if not any(keyword in result for keyword in _BODY_PART):
                result.Laterality = None
        for keyword in ("TimezoneOffsetFromUTC", "SpecificCharacterSet"):
            if keyword in self.source:
                result[keyword] = self.source[keyword]
        if not _ascii(self.explanation):
            result.SpecificCharacterSet = _UTF_8
        return result

    @property
    def algorithm_name(self) -> str:
        """What objects call the model."""
        return f"medxgan {self.explanation.model.name}"[:_LONG_STRING]

    @property
    def _series_number(self) -> int:
        number = int(self.source.get("SeriesNumber") or 0)
        return number * 1000 if 0 < number <= _LARGEST_SERIES else 0

    @cached_property
    def made(self) -> tuple[date, time]:
        """Date and time that results state: `made_at`, else those of the film's content or whatever else it states.

        `made_at` is brought to the time zone that the film states, which a result states too.
        """
        if self.made_at is not None:
            zone = self._time_zone
            made_at = self.made_at if zone is None or self.made_at.tzinfo is None else self.made_at.astimezone(zone)
            return made_at.date(), made_at.time()
        for which in ("Content", "Acquisition", "Series", "Study"):
            try:
                day = DA(self.source.get(f"{which}Date") or None)
                moment = TM(self.source.get(f"{which}Time") or None)
            except ValueError:
                continue
            if day is not None:
                return date(day.year, day.month, day.day), moment or time()
        raise UnusableFilmError("StudyDate", "a date")

    @property
    def _time_zone(self) -> timezone | None:
        try:
            return timezone(
                datetime.strptime(str(self.source.get("TimezoneOffsetFromUTC") or ""), "%z").utcoffset() or timedelta()
            )
        except ValueError:
            return None


def _are_distances(values: object) -> bool:
    """Whether a spacing says something: two numbers above zero."""
    return (
        isinstance(values, Sequence)
        and len(values) == 2
        and all(isinstance(value, (int, float)) and value > 0 for value in values)
    )


def _ascii(explanation: Explanation) -> bool:
    """Whether what an explanation says in words can be written in every character set."""
    words = (
        explanation.model.name,
        explanation.settings.target_class,
        *(reason.sentence for reason in explanation.verdict.reasons),
        *explanation.notes,
    )
    return all(word.isascii() for word in words)
