"""The bundle's figures by name, and what a reader is to call them."""

from collections.abc import Iterable, Mapping

from medxgan.v1.bundle_pb2 import Metric

WITHIN = "classifier_auc_within_"
"""What the name of the classifier's figure within a source starts with."""

TITLES = {
    "classifier_auc": "Area under the classifier's ROC curve",
    "disentanglement": "Sampled pictures of the class that they were sampled for",
    "reconstruction_mse": "Error of the reconstruction",
    "reconstruction_psnr_db": "Signal-to-noise ratio of the reconstruction",
    "reconstruction_ssim": "Similarity of image and reconstruction",
    "reconstruction_called_positive": "Reconstructions called positive",
    "negative_called_negative": "Negative realizations called negative",
    "applied_negative_called_negative": "Images called negative once the change shown is taken away",
    "mean_absolute_difference": "Size of the change shown",
    "reliable_share": "Explanations called reliable",
    "reliable_applied_negative_called_negative": "Reliable explanations of which that is true",
    "reliable_difference_pointing": "Reliable explanations that keep the promise of the place",
    "place_of_difference": "Likeness of the changed places among images",
    "place_of_focus": "Likeness of the places that the classifier looks at",
    "difference_average_precision": "Difference map against the marked lesion",
    "residual_average_precision": "Residual map against the marked lesion",
    "intensity_average_precision": "Plain brightness against the marked lesion",
    "chance_average_precision": "A random map against the marked lesion",
    "difference_pointing": "Difference map strongest on the marked lesion",
    "residual_pointing": "Residual map strongest on the marked lesion",
    "intensity_pointing": "Image brightest on the marked lesion",
}


class Figures:
    """The measured figures of a bundle.

    Args:
        metrics: each name once.
    """

    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics: Mapping[str, Metric] = {metric.name: metric for metric in metrics}

    def metric(self, name: str) -> Metric | None:
        """The figure with what is known of it; None where it was not measured."""
        return self._metrics.get(name)

    def value(self, name: str) -> float | None:
        """The figure's value; None where it was not measured."""
        metric = self.metric(name)
        return None if metric is None else metric.value

    def within_sources(self) -> dict[str, Metric]:
        """The classifier's area under the ROC curve within each source, by the source's name."""
        return {name.removeprefix(WITHIN): metric for name, metric in self._metrics.items() if name.startswith(WITHIN)}


def title(name: str) -> str:
    """What a reader is to call a figure."""
    if name.startswith(WITHIN):
        return f"{TITLES['classifier_auc']}, within the source {name.removeprefix(WITHIN)}"
    return TITLES.get(name, name.replace("_", " ").capitalize())


def measured_on(metric: Metric) -> str:
    """Whom a figure was measured on: "test split, 57 true positives (of 40 patients)"."""
    if not metric.images:
        return metric.measured_on
    return f"{metric.measured_on} (of {metric.patients or 'an unknown number of'} patients)"
