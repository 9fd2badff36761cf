"""An explanation of one image."""

from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING

from medxgan.client.errors import MissingExtraError, needed_extra
from medxgan.client.geometry import FloatArray, Geometry
from medxgan.client.results.execution import Execution, ModelIdentity
from medxgan.client.results.inversion import InversionOutcome, PositiveRealizationOutcome
from medxgan.client.results.maps import Map, Score, TrajectoryFrame
from medxgan.client.results.settings import Settings
from medxgan.client.results.verdict import ImageCheck, Verdict
from medxgan.client.vocabulary import MapKind, Unrecognised

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from medxgan.client.notebook.widget import ExplanationWidget


@dataclass(frozen=True)
class Scores:
    """What the classifier says of the image and of the pictures made of it.

    Attributes:
        original: of x.
        reconstruction: of G(z1, z2); None where nothing was inverted, as for the next two.
        negative_realization: of G(z1, 0).
        applied_negative: of x minus the difference.
        positive_realization: of the positive realization; None where neither its map nor a trajectory was asked for.
        decision_threshold: probability from which the bundle counts an image as positive. The decisions stand with the
            scores; comparing anew may decide otherwise, by the last digit.
    """

    original: Score
    reconstruction: Score | None
    negative_realization: Score | None
    applied_negative: Score | None
    positive_realization: Score | None
    decision_threshold: float


@dataclass(frozen=True)
class TargetScore:
    """The class that maps explain which can explain any, and the classifier's logit of it at x."""

    class_name: str
    logit: float


@dataclass(frozen=True)
class Timing:
    """Where the time went, in milliseconds, as the server saw it.

    `positive_realization_ms` is the search for a positive realization, 0 where there was none.
    """

    queued_ms: float
    preprocess_ms: float
    inversion_ms: float
    positive_realization_ms: float
    maps_ms: float
    total_ms: float


@dataclass(frozen=True, eq=False)
class Explanation:
    """Why a classifier scores one image as it does.

    `explanation[MapKind.DIFFERENCE]` is the map as array.

    Attributes:
        settings: in force; what was not used is None.
        image_checks: whether the image is like those of the training, measure by measure.
        outcome: how the inversion ended; None where nothing was inverted.
        positive_outcome: how the positive realization was found; None where neither its map nor a trajectory was
            asked for.
        target: the class that maps explain which can explain any; None where no such map was asked for.
        maps: the maps asked for, in the order asked for.
        trajectory: the pictures asked for, from the negative realization to the positive one; empty where none were.
        geometry: where the maps lie on the film.
        notes: what was done to the image on the way in, a sentence each.
    """

    model: ModelIdentity
    execution: Execution
    settings: Settings
    scores: Scores
    verdict: Verdict
    image_checks: tuple[ImageCheck, ...]
    outcome: InversionOutcome | None
    positive_outcome: PositiveRealizationOutcome | None
    target: TargetScore | None
    maps: Mapping[MapKind | Unrecognised, Map]
    trajectory: tuple[TrajectoryFrame, ...]
    geometry: Geometry
    timing: Timing
    notes: tuple[str, ...]

    def __getitem__(self, kind: MapKind | Unrecognised) -> FloatArray:
        """The map as float32 array.

        Raises:
            LookupError: it was not asked for, or came in a form that this client does not recognise.
        """
        if kind not in self.maps:
            raise LookupError(f"the map {kind.value!r} was not asked for")
        return self.maps[kind].array()

    def on_film(self, kind: MapKind | Unrecognised, *, fill: float = float("nan")) -> FloatArray:
        """The map at the size and in the layout of the film as it was sent; see `Geometry.lay_on_film`."""
        return self.geometry.lay_on_film(self[kind], fill=fill)

    def show(self, *, positive_class: str = "") -> "Figure":
        """The panel as a figure of matplotlib, which a notebook shows where it is the last line of a cell.

        Args:
            positive_class: what a positive image shows, for the heading; by default the target class in force.

        Raises:
            MissingExtraError: the extra `cli` is not installed.
        """
        with needed_extra("`Explanation.show`", "cli"):
            from medxgan.client.pictures.panel import panel
        return panel(self, positive_class=positive_class or self.settings.target_class or "the positive class").figure()

    def widget(self) -> "ExplanationWidget":
        """The explanation to look at in a notebook: its pictures, to blink between, and its maps over them.

        Raises:
            MissingExtraError: the extra `notebook` is not installed.
            LookupError: there is no picture in it.
        """
        with needed_extra("`Explanation.widget`", "notebook"):
            from medxgan.client.notebook.widget import ExplanationWidget
        return ExplanationWidget(self)

    def _repr_png_(self) -> bytes | None:
        """The panel, which a notebook shows; None without the extra `cli`: it shows the text then."""
        try:
            figure = self.show()
        except MissingExtraError:
            return None
        picture = BytesIO()
        figure.savefig(picture, format="png")
        return picture.getvalue()

    @property
    def original(self) -> FloatArray:
        """[S, S] in [-1, 1]: x, the image as the networks see it."""
        return self[MapKind.ORIGINAL]

    @property
    def reconstruction(self) -> FloatArray:
        """[S, S] in [-1, 1]: G(z1, z2)."""
        return self[MapKind.RECONSTRUCTION]

    @property
    def negative_realization(self) -> FloatArray:
        """[S, S] in [-1, 1]: G(z1, 0)."""
        return self[MapKind.NEGATIVE_REALIZATION]

    @property
    def difference(self) -> FloatArray:
        """[S, S] in [-2, 2]: reconstruction minus negative realization."""
        return self[MapKind.DIFFERENCE]

    @property
    def colorized(self) -> FloatArray:
        """[S, S, 3] in [0, 1]: the difference in colour over the original."""
        return self[MapKind.COLORIZED]
