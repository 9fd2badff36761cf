"""Fits the familiarity measures on films that are trained on, and sets their maxima on films that are not."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from medxgan.training.familiarity.drawings import drawings
from medxgan.training.familiarity.films import as_they_occur, broken
from medxgan.training.familiarity.network import APPEARANCE, FOREIGNNESS, MEASURES, Familiarity, appearance
from medxgan.training.preprocessing import Preprocess
from medxgan.v1 import bundle_pb2

DRAWINGS = 2000
"""Drawn pictures to fit against, at most."""

BATCH = 48
LEARNING_RATE = 3e-3
WEIGHT_DECAY = 1e-2

COPIES = 3
"""Copies of each film, changed as films occur, that the distance and the maxima allow for."""

SHRINKAGE = 0.1
"""Share of the identity in the correlations of appearance, which few films can't tell exactly."""

QUANTILE = 0.99
"""Of the calibration's films, that a maximum is set from."""

ODDS_MARGIN = 1.0
DISTANCE_MARGIN = 1.25
"""How far beyond it the maxima lie, the log-odds' by a sum and the distance's by a factor: films of other patients and
hospitals differ more than those of a calibration, while what is no film lies far beyond."""


def fit_familiarity(preprocess: Preprocess, x: Tensor, steps: int, seed: int) -> Familiarity:
    """The measures, fitted on films.

    Args:
        preprocess: makes x of levels; of every film and every drawing.
        x: [N, 1, S, S] films to train on, on the CPU.
        steps: of the network's training (AdamW, one-cycle learning rate).
        seed: of all that is drawn; the caller's random numbers go on as if nothing had been drawn.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        familiarity = Familiarity(x.shape[-1])
        foreign = preprocess.stretch(drawings(min(DRAWINGS, steps * (BATCH // 2)), x.shape[-1]))
        _train(familiarity, preprocess, x, foreign, steps)
        _describe(familiarity, _with_copies(preprocess, x))
    return familiarity.eval().requires_grad_(False)


@dataclass(frozen=True)
class FamiliarityCheck:
    """Measures and the greatest values of a familiar film.

    Attributes:
        measures: fitted.
        description: what the bundle says of them; a maximum for each.
    """

    measures: Familiarity
    description: bundle_pb2.Familiarity

    @torch.no_grad()
    def unfamiliar(self, x: Tensor) -> Tensor:
        """Whether each of x: [N, 1, S, S] is unfamiliar, bool [N]."""
        maxima = torch.tensor([measure.maximum for measure in self.description.measures], dtype=torch.float64)
        beyond: Tensor = (self.measures(x).double() > maxima).any(1)
        return beyond


def calibrated(measures: Familiarity, preprocess: Preprocess, x: Tensor, films: str, seed: int) -> FamiliarityCheck:
    """Set the greatest values of familiar films.

    Args:
        measures: fitted.
        preprocess: as for `fit_familiarity`.
        x: [N, 1, S, S] films, on the CPU, that nothing was trained on.
        films: what they are, in words: "132 films of calibration patients".
        seed: of the copies that are made of them.
    """
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        plain = measures(x).quantile(QUANTILE, 0)
        changed = measures(_with_copies(preprocess, x)).quantile(QUANTILE, 0)
    columns = list(MEASURES)
    maxima = {
        # At log-odds of 0 it is as likely a film as not.
        FOREIGNNESS: ODDS_MARGIN + max(0.0, plain[columns.index(FOREIGNNESS)].item()),
        APPEARANCE: DISTANCE_MARGIN * changed[columns.index(APPEARANCE)].item(),
    }
    description = bundle_pb2.Familiarity(
        measures=[
            bundle_pb2.FamiliarityMeasure(name=name, maximum=maxima[name], description=text)
            for name, text in MEASURES.items()
        ],
        method=f"fitted on films of the training, against drawn pictures and spoilt films; maxima from the "
        f"{QUANTILE:.0%} quantile of {films}: of the foreignness, or 0 where that is more, plus {ODDS_MARGIN:g}; of "
        f"the appearance's distance, with borders, markers and small changes of tone and place, times "
        f"{DISTANCE_MARGIN:g}",
    )
    return FamiliarityCheck(measures, description)


def _train(familiarity: Familiarity, preprocess: Preprocess, x: Tensor, foreign: Tensor, steps: int) -> None:
    """Train the network to tell films as they occur from drawings and broken films."""
    familiarity.train()
    parameters = [*familiarity.convolutions.parameters(), *familiarity.judge.parameters()]
    optimizer = torch.optim.AdamW(parameters, LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps)
    label = torch.cat([torch.zeros(BATCH), torch.ones(2 * (BATCH // 2))])
    for _ in range(steps):
        films = preprocess.stretch(as_they_occur(x[torch.randint(len(x), (BATCH,))]))
        spoilt = preprocess.stretch(broken(x[torch.randint(len(x), (BATCH // 2,))]))
        drawn = foreign[torch.randint(len(foreign), (BATCH // 2,))]
        logit = familiarity.foreignness(torch.cat([films, spoilt, drawn]))
        loss = F.binary_cross_entropy_with_logits(logit, label)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
    familiarity.eval()


@torch.no_grad()
def _describe(familiarity: Familiarity, x: Tensor) -> None:
    """Set the mean appearance of films, and what makes their differences uncorrelated and of deviation 1."""
    films = appearance(x).double()
    mean = films.mean(0)
    deviation = films.std(0).clamp_min(1e-4)
    standard = (films - mean) / deviation
    correlation = standard.T @ standard / len(standard)
    shrunk = (1 - SHRINKAGE) * correlation + SHRINKAGE * torch.eye(len(mean), dtype=torch.float64)
    values, vectors = torch.linalg.eigh(shrunk)
    familiarity.mean.copy_(mean)
    familiarity.whitening.copy_(vectors / values.sqrt() / deviation[:, None])


@torch.no_grad()
def _with_copies(preprocess: Preprocess, x: Tensor) -> Tensor:
    """The films and, of each, `COPIES` that are changed as films occur."""
    return torch.cat([x, *(preprocess.stretch(as_they_occur(x)) for _ in range(COPIES))])
