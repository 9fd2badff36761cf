"""How good the generated pictures are: near the image, of the class that they are meant to be, changed how much."""

import numpy as np
import torch
from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure
from torchmetrics.functional.regression import mean_squared_error

from medxgan.server.engine.port import FloatArray
from medxgan.server.explanation.explanation import Explanation, Inverted
from medxgan.v1.explanation_pb2 import VERDICT_STATUS_RELIABLE

RANGE = 2.0
"""From the darkest to the brightest level of x."""

CHANGED = 0.1
"""A pixel counts as changed above this difference: 5 % of the range of x, [-1, 1]."""


def picture_figures(explanation: Explanation, inverted: Inverted) -> dict[str, float]:
    """Every figure of an explanation's pictures, by its name in the catalogue.

    Turning the decision alone proves little, since a small change can fool a classifier; a change of much of the image
    explains little. The applied negative is the image itself less the difference map, so that a flip of it can't come
    from what the reconstruction leaves out.

    Args:
        explanation: of one image.
        inverted: its inversion.
    """
    original, reconstruction = explanation.opened.score, inverted.reconstruction_score
    negative, applied = inverted.negative_realization_score, inverted.applied_negative_score
    difference = np.abs(inverted.reconstruction.astype(np.float64) - inverted.negative_realization)
    return {
        **reconstruction_figures(explanation.opened.x[0, 0], inverted.reconstruction),
        "classifier_disagrees": float(reconstruction.positive != original.positive),
        "reliable": float(explanation.verdict.status == VERDICT_STATUS_RELIABLE),
        "label_flips": float(not negative.positive),
        "score_change": reconstruction.probability - negative.probability,
        "change_l1": float(difference.mean()),
        "changed_share": float((difference > CHANGED).mean()),
        "applied_label_flips": float(not applied.positive),
        "applied_score_change": original.probability - applied.probability,
    }


def reconstruction_figures(x: FloatArray, reconstruction: FloatArray) -> dict[str, float]:
    """Mean squared error, peak signal-to-noise ratio in dB and structural similarity (Wang et al. 2004).

    Args:
        x: [S, S] in [-1, 1].
        reconstruction: [S, S] in [-1, 1].
    """
    wanted, made = (torch.from_numpy(picture)[None, None].double() for picture in (x, reconstruction))
    # From 0 upwards: the similarity compares means by their product, which grey levels around 0 would turn over.
    ssim = structural_similarity_index_measure(made + 1, wanted + 1, data_range=RANGE)
    return {
        "reconstruction_mse": float(mean_squared_error(made, wanted)),
        "reconstruction_psnr_db": float(peak_signal_noise_ratio(made, wanted, data_range=RANGE)),
        "reconstruction_ssim": float(torch.as_tensor(ssim)),
    }
