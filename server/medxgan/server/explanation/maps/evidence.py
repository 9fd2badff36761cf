"""The evidence map: what the same patient without the pathology lacks, where the classifier's score rests on it.

The residual map knows what differs, but not whether the classifier that is served looks there. Integrated gradients
know where the score comes from, but not what the image would be without the pathology. Their product is large where
both agree.
"""

import numpy as np

from medxgan.server.explainers.explainer import Attribution, Subject, attribution
from medxgan.server.explainers.integrated_gradients import integrated_gradients
from medxgan.server.explainers.residual_map import residual_map
from medxgan.server.maps.residual import box_mean, smoothing_window


async def evidence_map(subject: Subject) -> Attribution:
    """The residual map, with its sign, times the magnitude of integrated gradients, smoothed by the same window."""
    residual = (await residual_map(subject)).values
    magnitude = np.abs((await integrated_gradients(subject)).values)
    return attribution(residual * box_mean(magnitude, smoothing_window(len(magnitude))))
