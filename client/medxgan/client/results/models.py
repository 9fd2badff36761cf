"""The models that a server has, what it takes, and the score that a model gives an image."""

from dataclasses import dataclass

from medxgan.client.geometry import Geometry
from medxgan.client.results.execution import Execution, ModelIdentity
from medxgan.client.results.maps import Interval, Score
from medxgan.client.results.settings import Settings
from medxgan.client.results.verdict import ImageCheck
from medxgan.client.vocabulary import ImageForm, MapKind, MapNeed, Unrecognised
from medxgan.v1 import bundle_pb2


@dataclass(frozen=True)
class Classification:
    """The score of one image.

    Attributes:
        score: what the classifier says of the image.
        decision_threshold: probability from which an image counts as positive.
        predicted_class: the class decided for, by name.
        familiar: whether the image passed every check of being like those of the training; true where there is none.
        image_checks: the checks, measure by measure.
        geometry: where x lies on the film.
        notes: what was done to the image on the way in, a sentence each.
    """

    model: ModelIdentity
    execution: Execution
    score: Score
    decision_threshold: float
    predicted_class: str
    familiar: bool
    image_checks: tuple[ImageCheck, ...]
    geometry: Geometry
    notes: tuple[str, ...]


@dataclass(frozen=True)
class ModelSummary:
    """One model in a list: what its images show, what positive and negative mean, the licence of its weights.

    Attributes:
        has_generator: whether it can be inverted; else it classifies and attributes only.
        is_default: whether it answers a request that names no model.
    """

    model: ModelIdentity
    modality: str
    positive_class: str
    negative_class: str
    license: str
    execution: Execution
    has_generator: bool
    is_default: bool


@dataclass(frozen=True)
class Limits:
    """The largest requests that a server takes.

    Attributes:
        message_bytes: bytes of a request.
        image_side: pixels along a side of an image.
        image_pixels: pixels of an image.
        decompressed_bytes: bytes that a compressed image may unfold to.
        maps: maps of a request.
        restarts: restarts of an inversion.
        path_steps: points of a path of gradients.
        occlusion_windows: windows of an occlusion map.
        trajectory_frames: pictures of a trajectory.
    """

    message_bytes: int
    image_side: int
    image_pixels: int
    decompressed_bytes: int
    maps: int
    restarts: int
    path_steps: int
    occlusion_windows: int
    trajectory_frames: int


@dataclass(frozen=True)
class ServerDescription:
    """What a server is and takes: its version, its limits, the forms of images that this installation reads."""

    version: str
    limits: Limits
    image_forms: tuple[ImageForm | Unrecognised, ...]


@dataclass(frozen=True)
class MapDescription:
    """What a map is, what it needs and what it costs.

    Attributes:
        kind: which map; it may be asked for even where it is unrecognised.
        name: in lower case: "grad_cam".
        title: for a person: "Grad-CAM".
        unit: of its values.
        range: least and greatest value that it can have; None where there is no bound.
        channels: 1, or 3 for red, green and blue.
        needs: what it needs.
        cost: at the default settings, beside the inversion that all share: passes of the classifier over one image
            forward, with a backward pass counted as two more.
        is_default: whether a request that names no map gets it.
        any_class: whether it can explain any class of the classifier, not the positive one alone.
    """

    kind: MapKind | Unrecognised
    name: str
    title: str
    unit: str
    range: Interval | None
    channels: int
    needs: tuple[MapNeed | Unrecognised, ...]
    cost: int
    is_default: bool
    any_class: bool


@dataclass(frozen=True)
class ModelDescription:
    """One model.

    Attributes:
        bundle: the description that its bundle carries, whole, as the protobuf message.
        execution: how it is run.
        maps: the maps that it can be asked for.
        default_settings: what a request gets that names no settings.
        server: what the server is and takes.
    """

    model: ModelIdentity
    bundle: bundle_pb2.Bundle
    execution: Execution
    maps: tuple[MapDescription, ...]
    default_settings: Settings
    server: ServerDescription
