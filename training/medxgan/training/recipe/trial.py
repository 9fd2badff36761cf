"""A few steps of the training itself, timed on this machine."""

import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from statistics import median

import torch

from medxgan.training import trap
from medxgan.training.configuration import TrainingConfig
from medxgan.training.data.samples import DataSplit, LabelledImages
from medxgan.training.dataset import preprocess_images
from medxgan.training.focus import classifier_focus
from medxgan.training.networks import ExternalClassifier
from medxgan.training.recipe.budget import Cost
from medxgan.training.runs import build_preprocess
from medxgan.training.train_generator import train_generator

PROBED = 4
"""Images that tell how fast the classifier is."""

SLOW = 1.0
"""Seconds that a classifier takes for an image from which on it is only tried with a few."""

FAMILIARITY_STEPS = 20

TENSORS = 8
"""Tensors of the size of x that are held for each image: x, where C looks, and what familiarity makes of them."""


def measure_cost(configuration: TrainingConfig, classifier: ExternalClassifier, split: DataSplit) -> Cost:
    """Train for a few steps in a folder that is thrown away.

    Args:
        configuration: the whole of it.
        classifier: as it names it.
        split: its images; some of those to train on are used, and some to calibrate on.
    """
    started = time.perf_counter()
    x = preprocess_images(build_preprocess(configuration), _some(split.train, PROBED)).x
    classifier_focus(classifier, x, configuration.classes.decision_threshold)
    image = (time.perf_counter() - started) / len(x)
    wanted = configuration.generator.batch_size
    # Where the classifier is slow it is all that takes time, and a step's time goes with the images in it.
    count, batch, warm_up, timed = (PROBED, 2, 1, 1) if image > SLOW else (64, wanted, 2, 5)
    images = _some(split.train, count)
    calibration = _some(split.train if split.calibration is None else split.calibration, count)
    short = configuration.generator.model_copy(
        update={"steps": warm_up + timed, "checkpoint_interval": warm_up + timed + 1, "batch_size": batch}
    )
    measured = configuration.model_copy(
        update={
            "generator": short,
            "familiarity": configuration.familiarity.model_copy(update={"steps": FAMILIARITY_STEPS}),
        }
    )
    times: list[float] = []
    with tempfile.TemporaryDirectory() as folder, unwatched():
        train_generator(
            measured,
            Path(),
            Path(folder),
            # The test split is not looked at: those to calibrate on stand in for it.
            split=DataSplit(train=images, test=calibration, calibration=calibration),
            after_step=lambda _: times.append(time.perf_counter()),
        )
    ended = time.perf_counter()
    familiarity = (ended - times[-1]) * configuration.familiarity.steps / FAMILIARITY_STEPS
    steps = [later - earlier for earlier, later in pairwise(times)][warm_up - 1 :]
    step = median(steps) * wanted / batch
    return Cost(step, image, familiarity, _peak(), 4 * TENSORS * configuration.image.size**2)


@contextmanager
def unwatched() -> Iterator[None]:
    """Without the warnings of the guard against the trap: what has just begun lies in one place, and goes away."""
    trap.logger.disabled = True
    try:
        yield
    finally:
        trap.logger.disabled = False


def _some(images: LabelledImages, count: int) -> LabelledImages:
    """Images from all over the set, of nobody in particular."""
    rows = range(0, len(images), max(1, len(images) // count))[:count]
    chosen = images.rows(rows)
    return replace(chosen, patients=("",) * len(chosen))


def _peak() -> int:
    """Bytes of this process at its peak, or of its tensors on a GPU."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
