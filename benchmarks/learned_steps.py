"""An encoder that sees its own residual, and a learned step, against Adam and L-BFGS at equal cost.

    python benchmarks/learned_steps.py models/brain-lgg/3 --data DATA --runs RUNS

Both start where the solvers do, at the encoder's guess. They are trained here, the bundle's networks frozen, on the
training images that the classifier rightly calls positive, by the inversion's own loss and by how surely their
negatives are negative:

- passes (ReStyle; Alaluf et al., ICCV 2021): image, picture, code and scores to a move of the code, several times. A
  pass costs a drawing and the network, and no gradient;
- learned steps: Adam's, with a preconditioner of each step's own.

Cost is processor time on ONNX Runtime with one thread, beyond the guess. Quality is measured on calibration images as
in `solvers.py` and, for what generalises, on training images too. Checkpoints lie in RUNS; a training that was
interrupted goes on. Each seed takes some ten minutes of a core. Writes learned_steps-NAME.json and .md.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from learned.codes import CodeParts
from learned.costs import costs
from learned.courses import by_passes, by_steps
from learned.networks import LearnedStep, ResidualEncoder
from learned.problem import Problem, Rows
from learned.training import BATCH, passes_objective, steps_objective, train, training_rows
from measuring import conditions, machine, write_results
from solvers import COLUMNS
from time_to_quality import TOGETHER, Images, codes, descend, ours_rates, quality, starting, true_positives
from torch import Tensor

from medxgan.bundle import LoadedBundle, load_bundle
from medxgan.evaluation.images import data_of_bundle
from medxgan.server.engine.port import Engine, FloatArray
from medxgan.server.engine.selection import open_engine
from medxgan.server.engine.settings import EngineSettings
from medxgan.v1.bundle_pb2 import SOLVER_ADAM, SOLVER_LBFGS, Solver

TRAINED_PASSES = 3
PASSES = 5
"""Looked at: more than it was trained for."""
STEPS = 5
SOLVERS = {"Adam": (SOLVER_ADAM, (1, 2, 3, 4, 5, 6, 8, 12, 20)), "L-BFGS": (SOLVER_LBFGS, (3, 5, 8, 12))}
THEN_ADAM = {1: (2, 4), 2: (2, 4), 3: (2, 4)}
"""Steps of Adam after so many passes."""
LEADING = ("a drawing", "a step of Adam", "a step of L-BFGS", "a gradient")
"""Of what a method does, what says how often."""
KNOWN = 64
"""Training images that are looked at, for what generalises."""
OF_KNOWN = ("the guess", "Adam: 8", f"passes: {TRAINED_PASSES}", f"learned steps: {STEPS}")
"""What the page says of them."""


@dataclass(frozen=True)
class Ends:
    """Where a method leads.

    Attributes:
        method: its name.
        seed: of its training; None of a solver.
        spent: what it does, by how often.
        z: [N, D].
    """

    method: str
    seed: int | None
    spent: dict[str, int]
    z: FloatArray


@dataclass(frozen=True)
class Learned:
    """What was trained from one seed."""

    seed: int
    encoder: ResidualEncoder
    step: LearnedStep


def main(
    bundle: Annotated[Path, typer.Argument(help="Bundle folder, NAME/VERSION, of the two-branch form.")],
    data: Annotated[Path, typer.Option(help="Folder that the bundle's data lie in.")],
    runs: Annotated[Path, typer.Option(help="Folder of the checkpoints.")],
    seeds: Annotated[list[int] | None, typer.Option(help="Of the trainings; 0 and 1.")] = None,
    encoder_batches: Annotated[int, typer.Option(min=1, help="That the encoder is trained by.")] = 1600,
    step_batches: Annotated[int, typer.Option(min=1, help="That the steps are trained by.")] = 400,
    images: Annotated[int, typer.Option(min=8, help="Most calibration images.")] = 200,
    out: Annotated[Path, typer.Option(help="Folder of the results.")] = Path(__file__).parent / "results",
) -> None:
    """Train what is not trained yet, and compare."""
    torch.set_num_threads(1)
    loaded = load_bundle(bundle)
    engine = open_engine(loaded, EngineSettings("cpu", 1))
    split = data_of_bundle(loaded.description).load(data)
    problem = Problem(loaded)
    known = true_positives(engine, loaded, split, "training", len(split.train))  # type: ignore[arg-type]
    trained = [learned(problem, loaded, known, seed, runs, encoder_batches, step_batches) for seed in seeds or [0, 1]]
    chosen = true_positives(engine, loaded, split, "calibration", images)
    spread = np.linspace(0, len(known.x) - 1, min(KNOWN, len(known.x)), dtype=int)
    familiar = Images(*(None if each is None else each[spread] for each in vars(known).values()))  # type: ignore[arg-type]
    each_costs = {rows: costs(engine, loaded, chosen, trained[0].encoder, trained[0].step, rows) for rows in (1, 8)}
    report = {
        **conditions(1, "torch", "onnxruntime", folders={data: "DATA", runs: "RUNS"}),
        "bundle": loaded.name,
        "images": len(chosen.x),
        "training_images": len(known.x),
        "batches": {"encoder": encoder_batches, "step": step_batches},
        "costs": each_costs,
        "rows": compared(engine, problem, loaded, chosen, trained, each_costs),
        "rows_of_training_images": compared(engine, problem, loaded, familiar, trained, each_costs),
    }
    write_results(out, f"learned_steps-{bundle.parent.name}", report, page(report))


def learned(
    problem: Problem,
    bundle: LoadedBundle,
    known: Images,
    seed: int,
    runs: Path,
    encoder_batches: int,
    step_batches: int,
) -> Learned:
    """Both networks, trained from a seed."""
    parts = CodeParts.of(bundle.description)
    torch.manual_seed(seed)
    found = Learned(seed, ResidualEncoder(parts), LearnedStep(parts, STEPS, bundle.description.inversion))
    rows = partial(training_rows, problem, torch.from_numpy(known.x))
    step_objective = steps_objective(problem, found.step)
    train(found.step, step_objective, rows, step_batches, seed, runs / f"step-{seed}.safetensors")
    objective = passes_objective(problem, found.encoder, TRAINED_PASSES)
    train(found.encoder, objective, rows, encoder_batches, seed, runs / f"encoder-{seed}.safetensors")
    for network in (found.encoder, found.step):
        network.eval().requires_grad_(False)
    return found


def compared(
    engine: Engine,
    problem: Problem,
    bundle: LoadedBundle,
    images: Images,
    trained: list[Learned],
    each_costs: Mapping[int, Mapping[str, float]],
) -> list[dict[str, object]]:
    """How every method ends, by what it costs."""
    ends = [Ends("the guess", None, {}, images.guess)]
    for name, (solver, counts) in SOLVERS.items():
        ends += [
            Ends(name, None, {f"a step of {name}": count}, z)
            for count, z in zip(counts, solved(engine, bundle, images, images.guess, solver, counts), strict=True)
        ]
    for network in trained:
        ends += ends_of_passes(engine, problem, bundle, images, network)
        found = in_batches(images, problem, partial(by_steps, problem, network.step))
        ends += [
            Ends("learned steps", network.seed, {"a gradient": count, "a learned move": count}, z)
            for count, z in enumerate(found, 1)
        ]
    rows = []
    for each in ends:
        spent = {
            count: sum(cost[name] * times for name, times in each.spent.items()) for count, cost in each_costs.items()
        }
        rows.append(
            {
                "method": each.method,
                "seed": each.seed,
                "spent": each.spent,
                "milliseconds_alone": spent[1],
                "milliseconds_of_eight": spent[8],
                **asdict(quality(engine, bundle, images, each.z)),
            }
        )
        print(rows[-1], flush=True)
    return rows


def ends_of_passes(
    engine: Engine, problem: Problem, bundle: LoadedBundle, images: Images, network: Learned
) -> list[Ends]:
    """Passes alone, and with some steps of Adam after them."""
    found = in_batches(images, problem, lambda rows: by_passes(problem, network.encoder, rows, PASSES))
    ends = []
    for passes, z in enumerate(found, 1):
        spent = {"a drawing": passes, "the encoder of residuals": passes}
        ends.append(Ends("passes", network.seed, spent, z))
        counts = THEN_ADAM.get(passes, ())
        ends += [
            Ends("passes, then Adam", network.seed, {**spent, "a step of Adam": count}, further)
            for count, further in zip(counts, solved(engine, bundle, images, z, SOLVER_ADAM, counts), strict=True)
        ]
    return ends


def solved(
    engine: Engine, bundle: LoadedBundle, images: Images, z: FloatArray, solver: Solver, counts: tuple[int, ...]
) -> list[FloatArray]:
    """The codes [N, D] after these numbers of steps, rising, from z: [N, D]."""
    states, found = starting(images, z, bundle, ours_rates(bundle), solver), []
    for taken in np.diff(counts, prepend=0).tolist():
        states = descend(engine, states, taken)[1]
        found.append(codes(states))
    return found


def in_batches(images: Images, problem: Problem, course: Callable[[Rows], list[Tensor]]) -> list[FloatArray]:
    """Codes [N, D] after each pass or step."""
    parts = [course(problem.rows(x)) for x in torch.split(torch.from_numpy(images.x), TOGETHER)]
    return [torch.cat(each).numpy() for each in zip(*parts, strict=True)]


def page(report: Mapping[str, object]) -> str:
    """The report as a page."""
    each_costs: dict[int, dict[str, float]] = report["costs"]  # type: ignore[assignment]
    batches: dict[str, int] = report["batches"]  # type: ignore[assignment]
    lines = [
        f"# Passes and learned steps: {report['bundle']}, {report['images']} calibration positives",
        "",
        f"{machine(report)}.",
        "",
        f"Trained on {report['training_images']} images: {TRAINED_PASSES} passes by {batches['encoder']:,} batches of "
        f"{BATCH}, {STEPS} learned steps by {batches['step']:,}.",
        "",
        f"    {report['command']}",
        "",
        f"| processor time of one thread, ms an image | {' | '.join(each_costs[1])} |",
        "|---|" + "---:|" * len(each_costs[1]),
        *(
            f"| {rows} together | {' | '.join(f'{cost:.2f}' for cost in cost_of.values())} |"
            for rows, cost_of in each_costs.items()
        ),
        "",
        "Milliseconds below are those of one image at a time, beyond the guess; of eight together in the JSON.",
        "",
    ]
    lines += _table(report["rows"])  # type: ignore[arg-type]
    familiar: list[dict[str, object]] = report["rows_of_training_images"]  # type: ignore[assignment]
    lines += ["", f"Of {KNOWN} of the images that both were trained on:", ""]
    lines += _table([row for row in familiar if _called(row) in OF_KNOWN])
    return "\n".join(lines) + "\n"


def _table(rows: list[dict[str, object]]) -> list[str]:
    columns = {name: title for name, title in COLUMNS.items() if rows[0][name] is not None}
    lines = [f"| | seed | ms | {' | '.join(columns.values())} |", "|---|---:|---:|" + "---:|" * len(columns)]
    for row in rows:
        seed = "" if row["seed"] is None else row["seed"]
        cells = " | ".join(f"{row[name]:.3g}" for name in columns)
        lines.append(f"| {_called(row)} | {seed} | {row['milliseconds_alone']:.1f} | {cells} |")
    return lines


def _called(row: Mapping[str, object]) -> str:
    """A method with its numbers."""
    spent: dict[str, int] = row["spent"]  # type: ignore[assignment]
    counts = [count for name, count in spent.items() if name in LEADING]
    if row["method"] == "passes, then Adam":
        return f"passes: {counts[0]}, then Adam: {counts[1]}"
    return f"{row['method']}: {counts[0]}" if counts else str(row["method"])


if __name__ == "__main__":
    typer.run(main)
