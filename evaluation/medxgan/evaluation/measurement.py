"""Measures one image: every method and every baseline on it, as records.

Everything here follows from the image, the bundle and the settings alone. So it does not matter in which order images
are measured, nor which of them an earlier, interrupted run has measured already.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medxgan.evaluation.baselines import BASELINES
from medxgan.evaluation.film_regions import shortcut_regions
from medxgan.evaluation.images import EvaluatedImage
from medxgan.evaluation.methods import method_name, needs_generator
from medxgan.evaluation.metrics.average_precision import average_precision
from medxgan.evaluation.metrics.deletion_insertion import area_under_curve, deletion_images, insertion_images
from medxgan.evaluation.metrics.lesions import connected_components, lesion_recall
from medxgan.evaluation.metrics.overlap import intersection_over_union, top_region
from medxgan.evaluation.metrics.pointing_game import pointing_game
from medxgan.evaluation.metrics.realization import applied_figures, realization_figures
from medxgan.evaluation.metrics.reconstruction import reconstruction_figures
from medxgan.evaluation.metrics.region_mass import mass_over_area
from medxgan.evaluation.metrics.similarity import similarity
from medxgan.evaluation.randomness import random_for
from medxgan.evaluation.records import Record
from medxgan.evaluation.saliency import FloatArray, ranked_pixels, saliency
from medxgan.evaluation.served import probabilities
from medxgan.evaluation.settings import Shortcuts
from medxgan.server.explainers.attributions import Attributions
from medxgan.server.explainers.settings import AttributionSettings
from medxgan.server.explanation import Explained
from medxgan.server.model import ServedModel
from medxgan.v1 import explanation_pb2
from medxgan.v1.explanation_pb2 import AttributionMethod

NOISE_DEVIATIONS = (0.02, 0.05)
"""Deviations of the Gaussian input noise, in units of x: 1 % and 2.5 % of its range."""

Salience = NDArray[np.float64]


@dataclass(frozen=True)
class Laboratory:
    """What every image is measured with.

    Attributes:
        model: the bundle, served.
        methods: that are measured.
        settings: of the attributions.
        seed: of the evaluation.
        shortcuts: kind of the images whose regions are looked for; None: none are.
        randomised: the bundle's stages of the sanity check, served; from the output layer alone to all layers.
    """

    model: ServedModel
    methods: tuple[AttributionMethod, ...]
    settings: AttributionSettings
    seed: int
    shortcuts: Shortcuts | None = None
    randomised: tuple[ServedModel, ...] = ()

    @property
    def names(self) -> list[str]:
        """The names of the methods, then those of the baselines."""
        return [*map(method_name, self.methods), *BASELINES]

    async def measure(self, image: EvaluatedImage, *, sanity: bool) -> list[Record]:
        """Measure one image; with `sanity` by the randomised bundles too.

        Returns:
            The image's own record, then one for each of `names`.
        """
        x = await self.model.preprocess(image.grey)
        attributions = await self.model.attribute(x, self.methods, self.settings)
        drawn = {method_name(each.method): each.values for each in attributions.maps}
        maps = {name: saliency(values) for name, values in drawn.items()}
        figures: dict[str, dict[str, Any]] = {name: {} for name in self.names}
        image_figures: dict[str, Any] = {}

        for deviation in NOISE_DEVIATIONS:
            stays, alike = await self._under_noise(image, x, maps, deviation)
            image_figures[f"decision_stays_{deviation}"] = stays
            for name, value in alike.items():
                figures[name][f"robustness_{deviation}"] = value
        cascades: dict[str, list[float]] = {name: [] for name in maps}
        for model in self.randomised if sanity else ():
            changed = self._saliencies(await model.attribute(x, self.methods, self.settings))
            for name, salience in maps.items():
                cascades[name].append(similarity(salience, changed[name]))
                figures[name]["sanity"] = cascades[name][-1]

        for name, baseline in BASELINES.items():
            drawn[name] = baseline(x[0, 0], random_for(self.seed, f"baseline {name}", image.id))
            maps[name] = saliency(drawn[name])
        orders = {name: self._order(image, name, salience) for name, salience in maps.items()}
        curves = await self._curves(x[0, 0], orders)
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
        if attributions.explained is not None:
            image_figures |= _explained_figures(x[0, 0], attributions.explained)
            verdict = explanation_pb2.VerdictStatus.Name(attributions.explained.verdict.status)
        seconds = self._seconds(attributions)
        score = float((await probabilities(self.model, x))[0])
        about = {"image": image.id, "patient": image.patient, "source": image.source}
        return [
            {"record": "image", **about, "score": score, "verdict": verdict, "figures": image_figures},
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

    def regions(self, image: EvaluatedImage) -> dict[str, NDArray[np.bool_]]:
        """The regions that are not anatomy of interest, [S, S] by name; none where they are not asked for."""
        if self.shortcuts is None:
            return {}
        return shortcut_regions(image.grey, self.model.bundle.description.image)

    def _saliencies(self, attributions: Attributions) -> dict[str, Salience]:
        return {method_name(each.method): saliency(each.values) for each in attributions.maps}

    def _order(self, image: EvaluatedImage, name: str, salience: Salience) -> NDArray[np.intp]:
        return ranked_pixels(salience, random_for(self.seed, f"ties {name}", image.id))

    async def _under_noise(
        self, image: EvaluatedImage, x: FloatArray, maps: Mapping[str, Salience], deviation: float
    ) -> tuple[float, dict[str, float]]:
        """1 where C's decision stays, else 0; and each method's similarity to its map without noise."""
        random = random_for(self.seed, f"noise {deviation}", image.id)
        noisy = np.clip(x + deviation * random.standard_normal(x.shape, np.float32), -1, 1).astype(np.float32)
        changed = self._saliencies(await self.model.attribute(noisy, self.methods, self.settings))
        threshold = self.model.bundle.description.classification.decision_threshold
        before, after = await probabilities(self.model, np.concatenate([x, noisy]))
        stays = float((before >= threshold) == (after >= threshold))
        return stays, {name: similarity(salience, changed[name]) for name, salience in maps.items()}

    async def _curves(
        self, x: FloatArray, orders: Mapping[str, NDArray[np.intp]]
    ) -> dict[str, dict[str, NDArray[np.float64]]]:
        pictures = [make(x, order) for order in orders.values() for make in (deletion_images, insertion_images)]
        scores = await probabilities(self.model, np.concatenate(pictures)[:, None])
        curves = scores.reshape(len(orders), 2, -1)
        return {name: {"deletion": curves[row, 0], "insertion": curves[row, 1]} for row, name in enumerate(orders)}

    def _seconds(self, attributions: Attributions) -> dict[str, float]:
        """What each method alone would have taken: the inversion that methods share is counted for each of them."""
        inversion = 0.0 if attributions.explained is None else attributions.explained.seconds
        return {
            method_name(each.method): each.seconds + (inversion if needs_generator(each.method) else 0.0)
            for each in attributions.maps
        }


def _localisation(salience: Salience, order: NDArray[np.intp], mask: NDArray[np.bool_]) -> dict[str, float]:
    region = top_region(order, mask)
    lesions = connected_components(mask)
    several = {"lesion_recall": lesion_recall(region, lesions)} if len(lesions) > 1 else {}
    return {
        "average_precision": average_precision(salience, mask),
        "pointing_game": pointing_game(order, mask),
        "iou": intersection_over_union(region, mask),
        **several,
    }


def _explained_figures(x: FloatArray, explained: Explained) -> dict[str, float]:
    scores = explained.scores
    threshold = scores.decision_threshold
    return {
        **reconstruction_figures(x, explained.reconstruction),
        "classifier_disagrees": float((scores.reconstruction >= threshold) != (scores.original >= threshold)),
        "reliable": float(explained.verdict.status == explanation_pb2.VERDICT_STATUS_RELIABLE),
        **realization_figures(
            explained.reconstruction,
            explained.negative_realization,
            scores.reconstruction,
            scores.negative_realization,
            threshold,
        ),
        **applied_figures(scores.original, scores.applied_negative, threshold),
    }


def is_reliable(record: Record) -> bool:
    """Whether an image's record holds the verdict RELIABLE."""
    return bool(record["verdict"] == explanation_pb2.VerdictStatus.Name(explanation_pb2.VERDICT_STATUS_RELIABLE))
