"""The enumerations of the contract, and what becomes of a value that this client does not know.

`MapKind.ORIGINAL` is `MAP_KIND_ORIGINAL` on the wire, where a value begins with its enumeration's name.
"""

import re
from enum import StrEnum
from typing import Any, Self, TypeVar

from medxgan.v1 import bundle_pb2, explanation_pb2


class Unrecognised(str):
    """A value that this client does not know, sent by a newer server; it reads "unrecognised (17)".

    Attributes:
        number: the value on the wire.
    """

    number: int

    def __new__(cls, number: int) -> Self:
        """The value that has this number on the wire."""
        self = super().__new__(cls, f"unrecognised ({number})")
        self.number = number
        return self

    def __getnewargs__(self) -> tuple[int]:  # type: ignore[override]
        return (self.number,)

    @property
    def value(self) -> str:
        """The text, as the members of the enumerations have it."""
        return str(self)


class MapKind(StrEnum):
    """Every map; S is the side of x, the image as the networks see it. `Client.model` says what each needs and costs.

    Pictures, [S, S] in [-1, 1]:
        ORIGINAL: x.
        RECONSTRUCTION: G(z1, z2).
        NEGATIVE_REALIZATION: G(z1, 0), the same patient without the pathology.
        APPLIED_NEGATIVE: x minus the difference, clipped.
        POSITIVE_REALIZATION: of a positive image the reconstruction; of a negative one what a search of up to as many
            steps again finds, see `PositiveRealizationOutcome`.

    Differences:
        DIFFERENCE: [S, S] in [-2, 2], reconstruction minus negative realization.
        COLORIZED: [S, S, 3] in [0, 1], the difference in colour over x: red adds, blue takes away.
        RESIDUAL: [S, S] in [-4, 4], x minus negative realization where it has the sign of the difference, times that.
        EVIDENCE: [S, S], the residual times the magnitude of integrated gradients.
        UNCERTAINTY: [S, S] in [0, 2], standard deviation of the difference over the restarts; needs 2 or more.

    Attributions of the target's logit, [S, S]:
        GRADIENT, GUIDED_BACKPROPAGATION, GUIDED_GRAD_CAM: logit per unit of x.
        GRAD_CAM: weighted activation, not negative.
        INTEGRATED_GRADIENTS, LATENT_INTEGRATED_GRADIENTS, OCCLUSION: logit.
    """

    ORIGINAL = "original"
    RECONSTRUCTION = "reconstruction"
    NEGATIVE_REALIZATION = "negative_realization"
    APPLIED_NEGATIVE = "applied_negative"
    POSITIVE_REALIZATION = "positive_realization"
    DIFFERENCE = "difference"
    COLORIZED = "colorized"
    RESIDUAL = "residual"
    EVIDENCE = "evidence"
    UNCERTAINTY = "uncertainty"
    GRADIENT = "gradient"
    GUIDED_BACKPROPAGATION = "guided_backpropagation"
    GRAD_CAM = "grad_cam"
    GUIDED_GRAD_CAM = "guided_grad_cam"
    INTEGRATED_GRADIENTS = "integrated_gradients"
    LATENT_INTEGRATED_GRADIENTS = "latent_integrated_gradients"
    OCCLUSION = "occlusion"


class MapForm(StrEnum):
    """How maps are sent: as float32 tensor, or as 8-bit PNG file, which is smaller and coarser."""

    TENSOR = "tensor"
    PNG = "png"


class MapNeed(StrEnum):
    """What a map needs.

    INVERSION: the inversion of the image. RESTARTS: 2 or more of them. POSITIVE_SEARCH: a search where the image is
    negative. PATH: a path of gradients, set by `IntegratedGradientsSettings`. WINDOWS: windows over the image, set by
    `OcclusionSettings`.
    """

    INVERSION = "inversion"
    RESTARTS = "restarts"
    POSITIVE_SEARCH = "positive_search"
    PATH = "path"
    WINDOWS = "windows"


class VerdictStatus(StrEnum):
    """Whether an explanation can be relied on.

    NOT_APPLICABLE: there is nothing to explain, since the image is unlike those that the model is for, or the
    classifier calls it negative. NOT_ASSESSED: nothing was inverted, so that there is nothing to check the maps by.
    """

    RELIABLE = "reliable"
    NOT_RELIABLE = "not_reliable"
    NOT_APPLICABLE = "not_applicable"
    NOT_ASSESSED = "not_assessed"


class VerdictReasonCode(StrEnum):
    """The checks behind a verdict."""

    RECONSTRUCTION_TOO_FAR = "reconstruction_too_far"
    CLASSIFIER_DISAGREES = "classifier_disagrees"
    NEGATIVE_IS_POSITIVE = "negative_is_positive"
    IMAGE_IS_NEGATIVE = "image_is_negative"
    IMAGE_UNFAMILIAR = "image_unfamiliar"
    APPLIED_NEGATIVE_IS_POSITIVE = "applied_negative_is_positive"
    DIFFERENCE_TOO_WEAK = "difference_too_weak"


class ProgressPhase(StrEnum):
    """What gradient steps are for: the inversion of the image, or the search for a positive realization after it."""

    INVERSION = "inversion"
    POSITIVE_REALIZATION = "positive_realization"


class Orientation(StrEnum):
    """How a stored picture was turned to stand upright, as EXIF counts; turns are clockwise.

    TRANSPOSED is mirrored at the diagonal from the upper left, TRANSVERSED at the one from the upper right.
    """

    AS_STORED = "as_stored"
    MIRRORED_LEFT_RIGHT = "mirrored_left_right"
    TURNED_180 = "turned_180"
    MIRRORED_TOP_BOTTOM = "mirrored_top_bottom"
    TRANSPOSED = "transposed"
    TURNED_90 = "turned_90"
    TRANSVERSED = "transversed"
    TURNED_270 = "turned_270"


class Solver(StrEnum):
    """How the loss of an inversion is brought down: Adam, or L-BFGS, which takes fewer steps to the same loss."""

    ADAM = "adam"
    LBFGS = "lbfgs"


class Priority(StrEnum):
    """How urgent a request is: STAT goes before ROUTINE where requests wait. It changes no result."""

    ROUTINE = "routine"
    STAT = "stat"


class ImageForm(StrEnum):
    """A form that a server reads images in: an array, a PNG, JPEG or TIFF file, a DICOM file."""

    TENSOR = "tensor"
    ENCODED = "encoded"
    DICOM = "dicom"


Member = TypeVar("Member", bound=StrEnum)

_WIRE: dict[str, Any] = vars(bundle_pb2) | vars(explanation_pb2)
"""Enumerations and their values, by name."""


def to_wire(member: StrEnum | Unrecognised) -> Any:
    """The wire's value for `member`: a number, for which protobuf has no class of its own."""
    if isinstance(member, Unrecognised):
        return member.number
    return _WIRE[_prefix(type(member)) + member.name]


def from_wire(kind: type[Member], number: int) -> Member | Unrecognised:
    """The member of `kind` for the wire's `number`; unrecognised where this client has none."""
    wire = _WIRE[kind.__name__]
    if number in wire.values():
        name = wire.Name(number).removeprefix(_prefix(kind))
        if name in kind.__members__:
            return kind[name]
    return Unrecognised(number)


def _prefix(kind: type[StrEnum]) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", kind.__name__).upper() + "_"
