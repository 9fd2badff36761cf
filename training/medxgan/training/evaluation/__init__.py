"""Figures of a run: measured on the test split; thresholds of the verdict from images that it does not hold."""

from medxgan.training.evaluation.localisation import lesion_masks, resize_masks
from medxgan.training.evaluation.run_evaluation import Evaluation, evaluate

__all__ = ["Evaluation", "evaluate", "lesion_masks", "resize_masks"]
