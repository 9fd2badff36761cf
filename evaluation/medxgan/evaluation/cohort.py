"""The images that figures are measured on, opened and explained as they are served, and whose they are."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from medxgan.evaluation.images import EvaluatedImage, Part, labelled_images
from medxgan.evaluation.metrics.localisation import pointing_game
from medxgan.evaluation.metrics.pictures import picture_figures
from medxgan.evaluation.saliency import saliency
from medxgan.evaluation.served import default_settings, explain_together, open_images
from medxgan.server.explanation.explanation import Explanation, Inverted, OpenedImage
from medxgan.server.explanation.verdict import judge
from medxgan.server.models.served_model import ServedModel
from medxgan.training.data.samples import DataSplit
from medxgan.v1 import explanation_pb2
from medxgan.v1.bundle_pb2 import Bundle, Metric
from medxgan.v1.explanation_pb2 import ExplainSettings, IntegratedGradientsSettings

UNSEEN, SEEN = "of patients not trained on", "of patients trained on"

MAPS = (
    explanation_pb2.MAP_KIND_DIFFERENCE,
    explanation_pb2.MAP_KIND_RESIDUAL,
    explanation_pb2.MAP_KIND_INTEGRATED_GRADIENTS,
)
"""What a bundle's own figures are measured on; integrated gradients for the place where the classifier looks."""

PATH_STEPS = 5
"""Points of their path: enough for a place."""


@dataclass(frozen=True)
class Cohort:
    """Images that figures are measured on.

    Attributes:
        split: of the data.
        part: which images, in words that follow their number: "true positives of patients not trained on".
        images: what is known of them.
        opened: what the server says of each at once.
    """

    split: Part
    part: str
    images: Sequence[EvaluatedImage]
    opened: Sequence[OpenedImage]

    def __len__(self) -> int:
        return len(self.images)

    def __str__(self) -> str:
        return f"{self.split} split, {len(self)} {self.part}"

    @property
    def independent(self) -> int:
        """Number of independent observations: of patients, with an image of an unknown patient for one of its own."""
        return len({image.patient for image in self.images})

    @property
    def known_patients(self) -> int:
        """Number of patients; 0 where that of some image is unknown."""
        return self.independent if all(image.patient_known for image in self.images) else 0

    @property
    def has_both_classes(self) -> bool:
        """Whether there are positive images and negative ones."""
        return len({image.positive for image in self.images}) == 2

    def select(self, chosen: Sequence[bool] | NDArray[np.bool_], part: str) -> "Cohort":
        """The images where `chosen` [N] is True; `part` says which these are."""
        rows = np.flatnonzero(chosen).tolist()
        return Cohort(self.split, part, [self.images[row] for row in rows], [self.opened[row] for row in rows])

    def true_positives(self, whose: str) -> "Cohort":
        """The positive images that the classifier calls positive; `whose` says of which patients."""
        rows = zip(self.images, self.opened, strict=True)
        return self.select(
            [image.positive and opened.score.positive for image, opened in rows], f"true positives {whose}"
        )

    def metric(self, name: str, value: float, description: str) -> Metric:
        """A figure that was measured on these images."""
        return Metric(
            name=name,
            value=value,
            measured_on=str(self),
            description=description,
            images=len(self),
            patients=self.known_patients,
        )


@dataclass(frozen=True)
class Explained:
    """Explained true positives, at least one.

    Attributes:
        cohort: who they are.
        explanations: of each.
    """

    cohort: Cohort
    explanations: Sequence[Explanation]

    @cached_property
    def inverted(self) -> list[Inverted]:
        """The inversion of each."""
        return [each.inverted for each in self.explanations if each.inverted is not None]

    @cached_property
    def figures(self) -> dict[str, NDArray[np.float64]]:
        """[N] of every figure of the pictures, by its name in the catalogue."""
        rows = [picture_figures(each, found) for each, found in zip(self.explanations, self.inverted, strict=True)]
        return {name: np.array([row[name] for row in rows]) for name in rows[0]}

    @property
    def reliable(self) -> NDArray[np.bool_]:
        """[N] True where the verdict is RELIABLE."""
        return self.figures["reliable"] > 0

    @property
    def marked(self) -> NDArray[np.bool_]:
        """[N] True where the image has a lesion mask."""
        return np.array([image.mask is not None for image in self.cohort.images])

    @cached_property
    def points_at_lesion(self) -> NDArray[np.bool_]:
        """[N] True where the difference map is strongest on the marked lesion; False where none is marked."""
        pairs = zip(self.cohort.images, self.inverted, strict=True)
        return np.array(
            [
                image.mask is not None and pointing_game(saliency(found.difference), image.mask) > 0
                for image, found in pairs
            ]
        )

    def judged_by(self, description: Bundle) -> "Explained":
        """The same explanations with the verdicts that a bundle of another threshold gives."""
        judged = [replace(each, verdict=judge(each.opened, each.inverted, description)) for each in self.explanations]
        return Explained(self.cohort, judged)


async def open_cohort(model: ServedModel, data: DataSplit, split: Part, whose: str = UNSEEN) -> Cohort:
    """Open all images of a split.

    Raises:
        ImagesError: there is no such split.
    """
    images = labelled_images(data, split, model.bundle.description.image)
    return Cohort(split, f"images {whose}", images, await open_images(model, images))


async def explain_cohort(model: ServedModel, cohort: Cohort) -> Explained:
    """Explain the images of a cohort with the default settings, each inverted once for all that is measured of it."""
    path = ExplainSettings(integrated_gradients=IntegratedGradientsSettings(steps=PATH_STEPS))
    settings = default_settings(model, MAPS, path)
    return Explained(cohort, await explain_together(model, cohort.opened, settings))
