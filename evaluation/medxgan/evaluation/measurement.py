"""Measures one image: every method and every baseline on it, as records.

Everything here follows from the image, the bundle and the settings alone. So it does not matter in which order images
are measured, nor which of them an earlier, interrupted run has measured already.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medxgan.evaluation.film_regions import shortcut_regions
from medxgan.evaluation.images import EvaluatedImage
from medxgan.evaluation.lesion_size import LESION_SHARE
from medxgan.evaluation.metrics.deletion_insertion import area_under_curve, deletion_images, insertion_images
from medxgan.evaluation.metrics.localisation import (
    Mask,
    average_precision,
    dice,
    intersection_over_union,
    lesion_recall,
    mass_over_area,
    otsu_region,
    pointing_game,
    separate_parts,
    top_region,
)
from medxgan.evaluation.metrics.pictures import picture_figures
from medxgan.evaluation.records import Record
from medxgan.evaluation.saliency import BASELINES, Salience, ranked_pixels, saliency, similarity
from medxgan.evaluation.served import explain, open_images, probabilities
from medxgan.evaluation.settings import Shortcuts
from medxgan.evaluation.statistics import random_for
from medxgan.server.engine.port import FloatArray
from medxgan.server.explanation.explanation import Explanation, OpenedImage
from medxgan.server.explanation.settings import ExplanationSettings
from medxgan.server.explanation.table import MAPS, map_name
from medxgan.server.images.film import Film
from medxgan.server.models.served_model import ServedModel
from medxgan.server.stopwatch import Stopwatch
from medxgan.v1.explanation_pb2 import MAP_NEED_INVERSION, VERDICT_STATUS_RELIABLE, VerdictStatus

NOISE_DEVIATIONS = (0.02, 0.05)
"""Deviations of the Gaussian input noise, in units of x: 1 % and 2.5 % of its range."""


@dataclass(frozen=True)
class Laboratory:
    """What every image is measured with.

    Attributes:
        model: the bundle, served.
        settings: of the explanations; their maps are the methods that are measured.
        seed: of the evaluation.
        shortcuts: kind of the images whose regions are looked for; None: none are.
        randomised: the bundle's stages of the sanity check, served; from the output layer alone to all layers.
    """

    model: ServedModel
    settings: ExplanationSettings
    seed: int
    shortcuts: Shortcuts | None = None
    randomised: tuple[ServedModel, ...] = ()

    @property
    def names(self) -> list[str]:
        """The names of the methods, then those of the baselines."""
        return [*map(map_name, self.settings.maps), *BASELINES]

    async def measure(self, image: EvaluatedImage, *, sanity: bool) -> list[Record]:
        """Measure one image; with `sanity` by the randomised bundles too.

        Returns:
            The image's own record, then one for each of `names`.
        """
        (opened,) = await open_images(self.model, [image])
        explanation, inversion_seconds = await explain(self.model, opened, self.settings)
        x = opened.x[0, 0]
        drawn = {map_name(kind): made.values for kind, made in explanation.maps.items()}
        maps = {name: saliency(values) for name, values in drawn.items()}
        figures: dict[str, dict[str, Any]] = {name: {} for name in self.names}
        image_figures: dict[str, Any] = {}

        for deviation in NOISE_DEVIATIONS:
            noisy = await self._open_with_noise(image, x, deviation)
            image_figures[f"decision_stays_{deviation}"] = float(noisy.score.positive == opened.score.positive)
            changed = _saliencies(await explain(self.model, noisy, self.settings))
            for name, salience in maps.items():
                figures[name][f"robustness_{deviation}"] = similarity(salience, changed[name])
        cascades: dict[str, list[float]] = {name: [] for name in maps}
        for model in self.randomised if sanity else ():
            (opened_by_it,) = await open_images(model, [image])
            changed = _saliencies(await explain(model, opened_by_it, self.settings))
            for name, salience in maps.items():
                cascades[name].append(similarity(salience, changed[name]))
                figures[name]["sanity"] = cascades[name][-1]

        for name, baseline in BASELINES.items():
            drawn[name] = baseline(x, random_for(self.seed, f"baseline {name}", image.id))
            maps[name] = saliency(drawn[name])
        orders = {
            name: ranked_pixels(salience, random_for(self.seed, f"ties {name}", image.id))
            for name, salience in maps.items()
        }
        curves = await self._curves(x, orders)
        for name in self.names:
            figures[name] |= {f"{kind}_auc": area_under_curve(curve) for kind, curve in curves[name].items()}
            if image.mask is not None:
                figures[name] |= _localisation(maps[name], orders[name], image.mask)
        if self.shortcuts is not None:
            regions = self.regions(image)
            image_figures["lung_fields_found"] = float("outside_lungs" in regions)
            image_figures["marks_found"] = float("marks" in regions)
            for name, values in drawn.items():
                figures[name] |= {f"mass_{place}": mass_over_area(values, area) for place, area in regions.items()}

        verdict = None
        if explanation.inverted is not None:
            image_figures |= picture_figures(explanation, explanation.inverted)
            verdict = VerdictStatus.Name(explanation.verdict.status)
        # What each method alone would have taken: the inversion that methods share is counted for each of them.
        seconds = {
            map_name(kind): made.seconds + inversion_seconds * (MAP_NEED_INVERSION in MAPS[kind].needs)
            for kind, made in explanation.maps.items()
        }
        about = {"image": image.id, "patient": image.patient, "source": image.source}
        return [
            {
                "record": "image",
                **about,
                "score": opened.score.probability,
                "verdict": verdict,
                LESION_SHARE: None if image.mask is None else float(image.mask.mean()),
                "figures": image_figures,
            },
            *(
                {
                    "record": "method",
                    **about,
                    "method": name,
                    "figures": figures[name],
                    "curves": {kind: curve.tolist() for kind, curve in curves[name].items()},
                    "sanity": cascades.get(name, []),
                    "seconds": seconds.get(name),
                }
                for name in self.names
            ),
        ]

    def regions(self, image: EvaluatedImage) -> dict[str, Mask]:
        """The regions that are not anatomy of interest, [S, S] by name; none where they are not asked for."""
        if self.shortcuts is None:
            return {}
        return shortcut_regions(image.film, self.model.bundle.description.image)

    async def _open_with_noise(self, image: EvaluatedImage, x: FloatArray, deviation: float) -> OpenedImage:
        """The image with noise, opened as a film of x's size: its levels are stretched again."""
        random = random_for(self.seed, f"noise {deviation}", image.id)
        noisy = np.clip(x + deviation * random.standard_normal(x.shape, np.float32), -1, 1).astype(np.float32)
        return await self.model.explainer.open(Film(noisy), Stopwatch())

    async def _curves(
        self, x: FloatArray, orders: Mapping[str, NDArray[np.intp]]
    ) -> dict[str, dict[str, NDArray[np.float64]]]:
        pictures = [make(x, order) for order in orders.values() for make in (deletion_images, insertion_images)]
        scores = await probabilities(self.model, np.concatenate(pictures)[:, None])
        curves = scores.reshape(len(orders), 2, -1)
        return {name: {"deletion": curves[row, 0], "insertion": curves[row, 1]} for row, name in enumerate(orders)}


def is_reliable(record: Record) -> bool:
    """Whether an image's record holds the verdict RELIABLE."""
    return bool(record["verdict"] == VerdictStatus.Name(VERDICT_STATUS_RELIABLE))


def _saliencies(explained: tuple[Explanation, float]) -> dict[str, Salience]:
    return {map_name(kind): saliency(made.values) for kind, made in explained[0].maps.items()}


def _localisation(salience: Salience, order: NDArray[np.intp], mask: Mask) -> dict[str, float]:
    region, own_region = top_region(order, mask), otsu_region(salience)
    parts = separate_parts(mask)
    several = {"lesion_recall": lesion_recall(region, parts)} if len(parts) > 1 else {}
    return {
        "average_precision": average_precision(salience, mask),
        "pointing_game": pointing_game(salience, mask),
        "iou": intersection_over_union(region, mask),
        "iou_otsu": intersection_over_union(own_region, mask),
        "dice_otsu": dice(own_region, mask),
        **several,
    }
