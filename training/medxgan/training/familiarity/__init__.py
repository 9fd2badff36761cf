"""Whether an image is like those that the networks were trained on.

A network fitted to films tells nothing of a picture that is none: it calls a blank one positive as readily as a real
one. So bundles measure how unlike an image is to the training's films, and no answer is given beyond a maximum.
"""

from medxgan.training.familiarity.fitting import FamiliarityCheck, calibrated, fit_familiarity
from medxgan.training.familiarity.network import Familiarity

__all__ = ["Familiarity", "FamiliarityCheck", "calibrated", "fit_familiarity"]
