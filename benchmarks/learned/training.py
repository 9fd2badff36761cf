"""Training of both on training images, with checkpoints that it goes on from."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from rich.progress import track
from torch import Tensor, nn

from learned.networks import LearnedStep, ResidualEncoder
from learned.problem import EXCESS_WEIGHT, Closed, Problem, Rows
from medxgan.training.augmentation import mirror, warp
from medxgan.training.averaging import remaining
from medxgan.training.checkpoint import resume, save_checkpoint

BATCH = 8
LEARNING_RATES = {ResidualEncoder: 1e-3, LearnedStep: 3e-3}
DECAY = 0.5
TURN, ZOOM = 12.0, 0.1
"""Half as much again as the encoder was trained with: its guesses are then as far off as for patients it never saw."""
INTERVAL = 50

Objective = Callable[[Rows], tuple[Tensor, list[Closed]]]
"""What is to be differentiated for a batch, and what was drawn after each pass or step."""


def training_rows(problem: Problem, x: Tensor) -> Iterator[Rows]:
    """Batches without end of the images x: [N, 1, S, S], mirrored, turned, scaled and shifted."""
    while True:
        pictures = x[torch.randint(0, len(x), (BATCH,))]
        (pictures,) = warp(*mirror(pictures), turn=TURN, zoom=ZOOM)
        yield problem.rows(pictures)


def passes_objective(problem: Problem, encoder: ResidualEncoder, passes: int) -> Objective:
    """The mean loss after each pass; as in ReStyle, a pass is not told what became of it in the next."""

    def objective(rows: Rows) -> tuple[Tensor, list[Closed]]:
        z, courses = rows.guess, []
        with torch.no_grad():
            drawn = problem.drawn(rows, z)
        for _ in range(passes):
            z = z.detach()
            z = z + encoder(rows.x, drawn.picture.detach(), z, rows.wanted, drawn.logit.detach())
            drawn = problem.closed(rows, z)
            courses.append(drawn)
        losses = [problem.loss(each) + EXCESS_WEIGHT * each.excess for each in courses]
        return torch.stack(losses).mean(), courses

    return objective


def steps_objective(problem: Problem, step: LearnedStep) -> Objective:
    """The mean loss after each step, unrolled; gradients that a step is given count as given (no second derivative).

    What is returned has the loss's gradient, not its value: codes times their gradients.
    """

    def objective(rows: Rows) -> tuple[Tensor, list[Closed]]:
        z, courses = rows.guess, []
        first = second = torch.zeros_like(z)
        place = z.detach().requires_grad_()
        drawn = problem.drawn(rows, place)
        (gradient,) = torch.autograd.grad(problem.loss(drawn).sum(), place)
        total = torch.zeros(())
        for number in range(step.steps):
            move, first, second = step(number, gradient, drawn.losses.detach(), first, second)
            z = z + move
            place = z.detach().requires_grad_()
            drawn = problem.closed(rows, place)
            (gradient,) = torch.autograd.grad(problem.loss(drawn).sum(), place, retain_graph=True)
            (of_negatives,) = torch.autograd.grad(EXCESS_WEIGHT * drawn.excess.sum(), place)
            total = total + (z * (gradient + of_negatives)).sum() / (len(z) * step.steps)
            courses.append(drawn)
        return total, courses

    return objective


def train(
    network: ResidualEncoder | LearnedStep,
    objective: Objective,
    batches: Callable[[], Iterator[Rows]],
    count: int,
    seed: int,
    file: Path,
) -> None:
    """Train a network by so many batches, or go on from its checkpoint.

    Args:
        network: is trained.
        objective: of it.
        batches: of images, drawn from PyTorch's random numbers.
        count: of batches in all.
        seed: of what is drawn, if there is no checkpoint yet.
        file: the checkpoint; losses are written beside it.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    rate = LEARNING_RATES[type(network)]
    optimizer = torch.optim.Adam(network.parameters(), rate)
    torch.manual_seed(seed)
    first = resume(file, {"network": network}, {"optimizer": optimizer})
    drawn_rows = batches()
    for number in track(range(first + 1, count + 1), file.stem):
        optimizer.param_groups[0]["lr"] = rate * remaining(number / count, DECAY)
        value, courses = objective(next(drawn_rows))
        optimizer.zero_grad()
        value.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        if number % INTERVAL == 0 or number == count:
            save_checkpoint(file, number, {"network": network}, {"optimizer": optimizer})
            _log(file.with_suffix(".jsonl"), number, courses)


def _log(file: Path, number: int, courses: list[Closed]) -> None:
    entry = {
        "batch": number,
        "mse": [drawn.mse.mean().item() for drawn in courses],
        "bce": [drawn.bce.mean().item() for drawn in courses],
        "excess": [drawn.excess.mean().item() for drawn in courses],
    }
    with file.open("a", encoding="utf-8") as log:
        log.write(json.dumps(entry) + "\n")
