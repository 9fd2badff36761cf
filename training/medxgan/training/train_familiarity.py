"""Fitting of the familiarity measures, with the training that first sees the run's films."""

import torch
from rich.console import Console

from medxgan.training.data.samples import DataSplit
from medxgan.training.dataset import preprocess_images
from medxgan.training.familiarity import calibrated, fit_familiarity
from medxgan.training.runs import Run, build_preprocess


@torch.no_grad()
def train_familiarity(run: Run, split: DataSplit) -> None:
    """Fit the measures on the training films, set their maxima on calibration patients, and keep both in the run.

    How often real films are called unfamiliar is counted on the test films, from which nothing is chosen. Where no
    patients are set aside for calibration, the maxima come from the training films and may be too low.

    The first of several processes calls it, and does all of it; what it draws depends on how many there are.
    """
    configuration, preprocess = run.configuration, build_preprocess(run.configuration)
    train, test = (preprocess_images(preprocess, part).x for part in (split.train, split.test))
    apart, whose = train, "of patients trained on"
    if split.calibration is not None:
        apart, whose = preprocess_images(preprocess, split.calibration).x, "of patients not trained on"
    with torch.enable_grad(), Console(stderr=True).status("familiarity"):
        measures = fit_familiarity(preprocess, train, configuration.familiarity.steps, configuration.seed)
    check = calibrated(measures, preprocess, apart, f"{len(apart)} films {whose}", configuration.seed)
    if len(test):
        check.description.false_alarm_rate = check.unfamiliar(test).double().mean().item()
        check.description.measured_on = f"test split, {len(test)} films of patients not trained on"
    run.save_familiarity(check)
