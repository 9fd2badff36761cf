"""Every figure of the report: its name, which way is better, and its definition in words, as the report prints it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from medxgan.evaluation.film_regions import FRAME
from medxgan.evaluation.measurement import NOISE_DEVIATIONS
from medxgan.evaluation.metrics.deletion_insertion import BLUR_DEVIATION, SHARES
from medxgan.evaluation.metrics.localisation import HIT_SHARE
from medxgan.evaluation.metrics.pictures import CHANGED

Group = Literal[
    "localisation", "faithfulness", "robustness", "sanity", "shortcuts", "reconstruction", "realization", "decision"
]


@dataclass(frozen=True)
class Figure:
    """A figure that is measured on each image.

    Attributes:
        name: its key in the records and in report.json.
        title: its heading in a table.
        group: the table that it stands in.
        better: which way is better; None where neither is by itself.
        definition: a sentence or two.
        ranked: whether it counts in the ranking of the methods.
    """

    name: str
    title: str
    group: Group
    better: Literal["higher", "lower"] | None
    definition: str
    ranked: bool = False


METHOD_FIGURES = (
    Figure(
        "average_precision", "average precision", "localisation", "higher",
        "Area under the precision-recall curve of the saliency against the lesion mask, by pixel (torchmetrics). A "
        "random map has the lesion's share of the image.",
        ranked=True,
    ),
    Figure(
        "pointing_game", "pointing game", "localisation", "higher",
        "Share of images whose most salient pixel lies inside the mask, without a margin (Zhang et al. 2016); of equal "
        "ones, the share that does.",
        ranked=True,
    ),
    Figure(
        "iou", "IoU", "localisation", "higher",
        "Intersection over union of the mask and the k most salient pixels, k being the mask's area.",
        ranked=True,
    ),
    Figure(
        "iou_otsu", "mIoU, own threshold", "localisation", "higher",
        "Intersection over union of the mask and the pixels above the map's own threshold, Otsu's; the mIoU of "
        "CheXlocalize (Saporta et al. 2022), whose hit rate is the pointing game here.",
    ),
    Figure(
        "dice_otsu", "Dice, own threshold", "localisation", "higher",
        "Dice's coefficient of the same two regions.",
    ),
    Figure(
        "lesion_recall", "lesions hit", "localisation", "higher",
        "Of images with two or more lesions (parts of the mask that do not touch, not even by a corner): the share of "
        f"lesions hit. A lesion is hit where the k most salient pixels, k being the whole mask's area, cover at least "
        f"{HIT_SHARE:.0%} of it.",
    ),
    Figure(
        "deletion_auc", "deletion AUC", "faithfulness", "lower",
        f"Area under the classifier's probability while the pixels, most salient first, go in {SHARES} equal shares to "
        "the darkest level, -1 (Petsiuk et al., RISE, 2018). Pictures with deleted pixels are unlike any that the "
        "classifier was trained on.",
        ranked=True,
    ),
    Figure(
        "insertion_auc", "insertion AUC", "faithfulness", "higher",
        f"The same while they come, in {SHARES} equal shares, into a blurred copy of the image (Gaussian, deviation "
        f"{BLUR_DEVIATION:g} of its side).",
        ranked=True,
    ),
    *(
        Figure(
            f"robustness_{deviation}", f"noise {deviation}", "robustness", "higher",
            f"Pearson's correlation of the saliency with itself under Gaussian noise of deviation {deviation} on x (in "
            "[-1, 1]; clipped), which is then served as a film of its own. A map without contrast counts as 0.",
            ranked=deviation == max(NOISE_DEVIATIONS),
        )
        for deviation in NOISE_DEVIATIONS
    ),
    Figure(
        "sanity", "all layers random", "sanity", "lower",
        "Pearson's correlation of the saliency with the one of the same classifier with all its layers randomised "
        "(Adebayo et al. 2018). A map that explains the classifier must not survive this.",
        ranked=True,
    ),
    *(
        Figure(
            f"mass_{place}", title, "shortcuts", None,
            f"Share of the map's absolute mass, not smoothed, that falls on {where}, divided by the region's share of "
            "the image. 1 is as chance, and so is an empty map.",
        )
        for place, title, where in (
            ("marks", "on marks", "burnt-in marks (narrow, small and far brighter than what is around them)"),
            ("frame", "on the frame", f"the outer frame, {FRAME:g} of the side at each border"),
            ("outside_lungs", "outside the lungs", "all but the two lung fields"),
        )
    ),
)  # fmt: skip
"""Figures of a method or a baseline."""

IMAGE_FIGURES = (
    Figure("reconstruction_mse", "MSE", "reconstruction", "lower",
           "Mean squared error between image and reconstruction, grey levels in [-1, 1]."),
    Figure("reconstruction_psnr_db", "PSNR, dB", "reconstruction", "higher",
           "Peak signal-to-noise ratio of the reconstruction, mean over images."),
    Figure("reconstruction_ssim", "SSIM", "reconstruction", "higher",
           "Structural similarity of image and reconstruction (torchmetrics); 1 is the same."),
    Figure("classifier_disagrees", "classifier disagrees", "reconstruction", "lower",
           "Share of reconstructions that the classifier calls negative though it calls the image positive."),
    Figure("reliable", "RELIABLE", "reconstruction", "higher",
           "Share of images whose explanation has the server's verdict RELIABLE."),
    Figure("label_flips", "negative realization called negative", "realization", "higher",
           "Share of negative realizations that the classifier calls negative. Alone it proves little: a small change "
           "can fool a classifier."),
    Figure("applied_label_flips", "applied negative called negative", "realization", "higher",
           "Share of applied negatives, the images themselves less the difference map, that the classifier calls "
           "negative: a far harder test than a flip of the reconstruction, since all that the generator can't draw is "
           "still there."),
    Figure("score_change", "change of score", "realization", "higher",
           "Probability of the reconstruction less that of the negative realization."),
    Figure("applied_score_change", "change of score, applied", "realization", "higher",
           "Probability of the image less that of the applied negative."),
    Figure("change_l1", "size of change", "realization", None,
           "Mean absolute difference between reconstruction and negative realization, in units of x."),
    Figure("changed_share", "pixels changed", "realization", None,
           f"Share of pixels whose difference is above {CHANGED:g}, 5 % of the range of x: how sparse the change is."),
    *(
        Figure(f"decision_stays_{deviation}", f"decision stays, noise {deviation}", "decision", "higher",
               f"Share of images that the classifier still calls positive under noise of deviation {deviation}.")
        for deviation in NOISE_DEVIATIONS
    ),
    Figure("lung_fields_found", "lung fields found", "shortcuts", None,
           "Share of images with two plausible lung fields; figures on the lungs are over these alone."),
    Figure("marks_found", "marks found", "shortcuts", None,
           "Share of images with burnt-in marks; figures on marks are over these alone."),
)  # fmt: skip
"""Figures of an image, whatever the method."""


def of_group(figures: Iterable[Figure], *groups: Group) -> list[Figure]:
    """The figures of these groups, in their order."""
    return [figure for figure in figures if figure.group in groups]
