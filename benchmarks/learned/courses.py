"""Where passes of the encoder that sees its residual lead, and where learned steps do."""

import torch
from torch import Tensor

from learned.networks import LearnedStep, ResidualEncoder
from learned.problem import Problem, Rows


@torch.no_grad()
def by_passes(problem: Problem, encoder: ResidualEncoder, rows: Rows, passes: int) -> list[Tensor]:
    """The codes [B, D] after each pass."""
    z, found = rows.guess, []
    for _ in range(passes):
        drawn = problem.drawn(rows, z)
        z = z + encoder(rows.x, drawn.picture, z, rows.wanted, drawn.logit)
        found.append(z)
    return found


def by_steps(problem: Problem, step: LearnedStep, rows: Rows) -> list[Tensor]:
    """The codes [B, D] after each step; a gradient each."""
    z, found = rows.guess, []
    first = second = torch.zeros_like(z)
    for number in range(step.steps):
        place = z.detach().requires_grad_()
        drawn = problem.drawn(rows, place)
        (gradient,) = torch.autograd.grad(problem.loss(drawn).sum(), place)
        with torch.no_grad():
            move, first, second = step(number, gradient, drawn.losses, first, second)
        z = z + move
        found.append(z)
    return found
