"""Gauss-Newton in the latent code against L-BFGS and Adam, by what they cost.

    python benchmarks/gauss_newton.py models/chest/9 --run training/weights/chest-128 --data DATA

A step of Gauss and Newton (here with Levenberg and Marquardt's damping, image by image) solves

    (J' B J + μ) s = -g        with J the derivative of picture and logit, and B the curvature of MSE and BCE

by some iterations of conjugate gradients, each of which takes a product with J and one with J'. The products are
PyTorch's (`torch.func.jvp`, `vjp`); what counts is not their time but their number: a gradient counts as 1, a product
of either kind as 1, a look at the loss as 1/3. Calibration images with a mask, rightly called positive, from the
encoder's guess. Writes gauss_newton-NAME.json and .md.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
import torch.nn.functional as F
import typer
from measuring import conditions, machine, write_results
from time_to_quality import Images, descend, ours_rates, starting, true_positives
from torch import Tensor

from medxgan.bundle import load_bundle
from medxgan.server.engine.selection import open_engine
from medxgan.server.engine.settings import EngineSettings
from medxgan.training.model import TrainedModel
from medxgan.training.runs import Run, load_trained_model
from medxgan.v1.bundle_pb2 import SOLVER_ADAM, SOLVER_LBFGS

ITERATIONS = (2, 4, 8)
DAMPINGS = (1e-1, 1e-2, 1e-3)
BUDGET = 40.0
SOLVERS = {"Adam": SOLVER_ADAM, "L-BFGS": SOLVER_LBFGS}
COSTS = (5, 10, 20, 40)
LOOK = 1 / 3


@dataclass(frozen=True)
class Course:
    """The mean loss of the images by what was spent on each, in gradients."""

    name: str
    spent: list[float]
    loss: list[float]

    def after(self, budget: float) -> float | None:
        """The loss that this budget buys; None before the first step's end."""
        bought = [loss for spent, loss in zip(self.spent, self.loss, strict=True) if spent <= budget]
        return bought[-1] if bought else None


def main(
    bundle: Annotated[Path, typer.Argument(help="Bundle folder, NAME/VERSION.")],
    run: Annotated[Path, typer.Option(help="Training run that it was made from.")],
    data: Annotated[Path, typer.Option(help="Folder that the run's data lie in.")],
    images: Annotated[int, typer.Option(min=1, help="Calibration images.")] = 8,
    threads: Annotated[int, typer.Option(min=1, help="Threads within an operator.")] = 1,
    out: Annotated[Path, typer.Option(help="Folder of the results.")] = Path(__file__).parent / "results",
) -> None:
    """Compare the losses that equal numbers of gradients buy."""
    torch.set_num_threads(threads)
    loaded, model = load_bundle(bundle), load_trained_model(run)
    engine = open_engine(loaded, EngineSettings("cpu", threads))
    split = Run.open(run).configuration.data.load(data)
    chosen = true_positives(engine, loaded, split, "calibration", images)
    rates = ours_rates(loaded)
    courses = []
    for name, solver in SOLVERS.items():
        losses, _ = descend(engine, starting(chosen, chosen.guess, loaded, rates, solver), int(BUDGET))
        courses.append(Course(name, [float(step) for step in range(1, len(losses) + 1)], losses.mean(1).tolist()))
    weight = loaded.description.inversion.default_reconstruction_weight
    for iterations in ITERATIONS:
        for damping in DAMPINGS:
            courses.append(gauss_newton(model, chosen, weight, torch.from_numpy(rates > 0), iterations, damping))
            print(courses[-1], flush=True)
    report = {
        **conditions(threads, "torch", "onnxruntime", folders={data: "DATA"}),
        "bundle": f"{bundle.parent.name}/{bundle.name}",
        "images": len(chosen.x),
        "courses": [vars(course) for course in courses],
    }
    write_results(out, f"gauss_newton-{bundle.parent.name}", report, page(report, courses))


def gauss_newton(
    model: TrainedModel, images: Images, weight: float, free: Tensor, iterations: int, damping: float
) -> Course:
    """Steps until the budget is spent.

    Args:
        model: its networks.
        images: to invert.
        weight: λ.
        free: [1, D] True for latents that may move.
        iterations: of conjugate gradients in a step.
        damping: μ at first; a third of it after a step that helped, five times as much after one that did not.
    """
    x, target, start = (torch.from_numpy(each) for each in (images.x, images.target, images.guess))
    pixels = x[0].numel()

    def drawn(move: Tensor) -> tuple[Tensor, Tensor]:
        picture = model.generator(start + move * free)
        return picture, model.classifier(picture)

    def losses(picture: Tensor, logit: Tensor) -> Tensor:
        mse = ((picture - x) ** 2).mean((1, 2, 3))
        return weight * mse + F.binary_cross_entropy_with_logits(logit, target, reduction="none")

    move, mu, spent = torch.zeros_like(start), torch.full((len(start), 1), damping), 0.0
    with torch.no_grad():
        loss = losses(*drawn(move))
    course = Course(f"Gauss-Newton, {iterations} iterations, μ = {damping:g}", [], [])
    while spent < BUDGET:
        (picture, logit), transposed = torch.func.vjp(drawn, move)
        probability = torch.sigmoid(logit)
        (gradient,) = transposed((2 * weight / pixels * (picture - x), probability - target))
        curvature = (probability * (1 - probability)).detach()

        def product(vector: Tensor, at=move, back=transposed, bend=curvature, mu=mu) -> Tensor:  # type: ignore[no-untyped-def]
            _, (along, logits) = torch.func.jvp(drawn, (at,), (vector,))
            (result,) = back((2 * weight / pixels * along, bend * logits))
            solved: Tensor = result.detach() + mu * vector
            return solved

        step = conjugate_gradients(product, -gradient.detach(), iterations)
        with torch.no_grad():
            new = losses(*drawn(move + step))
        spent += 1 + 2 * iterations + LOOK
        better = (new < loss)[:, None]
        move = torch.where(better, move + step, move)
        mu = torch.where(better, mu / 3, mu * 5)
        loss = torch.minimum(loss, new)
        course.spent.append(spent)
        course.loss.append(float(loss.mean()))
    return course


def conjugate_gradients(product: Callable[[Tensor], Tensor], right: Tensor, iterations: int) -> Tensor:
    """[B, D] about the s with product(s) = right, row by row."""
    solution, rest, direction = torch.zeros_like(right), right, right
    square = (rest**2).sum(1, keepdim=True)
    for _ in range(iterations):
        image = product(direction)
        length = square / (direction * image).sum(1, keepdim=True).clamp_min(1e-20)
        solution, rest = solution + length * direction, rest - length * image
        following = (rest**2).sum(1, keepdim=True)
        direction, square = rest + following / square.clamp_min(1e-30) * direction, following
    return solution


def page(report: Mapping[str, object], courses: list[Course]) -> str:
    """The report as a page."""
    lines = [
        f"# Loss by what was spent: {report['bundle']}, {report['images']} calibration positives",
        "",
        f"{machine(report)}.",
        "",
        f"    {report['command']}",
        "",
        f"| | {' | '.join(f'{cost} gradients' for cost in COSTS)} |",
        "|---|" + "---:|" * len(COSTS),
    ]
    for course in courses:
        bought = [course.after(cost) for cost in COSTS]
        cells = " | ".join("" if loss is None else f"{loss:.4f}" for loss in bought)
        lines.append(f"| {course.name} | {cells} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    typer.run(main)
