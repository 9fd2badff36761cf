"""How near the reconstruction comes to the image."""

import torch
from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure
from torchmetrics.functional.regression import mean_squared_error

from medxgan.evaluation.saliency import FloatArray

RANGE = 2.0
"""From the darkest to the brightest level of x."""


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
