"""Time to the published inversion's final loss: the published procedure in PyTorch against what is served.

    python benchmarks/time_to_quality.py models/chest/9 --run training/weights/chest-128 --data DATA

The published procedure (Dravid et al., medXGAN, CVPR-W 2022) starts at z1 = 0 and a random z2 and takes 1,000 steps of
Adam with a learning rate of 0.01, or 5,000. Ours starts at the encoder's guess and takes steps by the bundle's solver,
or another. Both have the same weights, loss and images: test images with a mask that the classifier rightly calls
positive.

The losses of both come from the engine, which takes PyTorch's steps to rounding (`inversion_step.py` checks that). The
time of the published procedure is its number of steps times a step of PyTorch eager, one image at a time, measured here
beside a step of the engine; ours counts the encoder too. All its steps are taken, for the loss: at 10 ms for a step of
one image, 5,000 of eight images are seven minutes, or 1,000 of forty. Writes time_to_quality-NAME.json and .md.
"""

import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
import typer
from inversion_step import PAUSE, EagerInversion
from measuring import conditions, machine, write_results
from numpy.typing import NDArray

from medxgan.bundle import LoadedBundle, load_bundle
from medxgan.evaluation.images import Split, labelled_images
from medxgan.evaluation.metrics.localisation import average_precision, pointing_game
from medxgan.evaluation.saliency import saliency
from medxgan.server.engine.port import Engine, FloatArray, InversionState, Losses
from medxgan.server.engine.selection import open_engine
from medxgan.server.engine.settings import EngineSettings
from medxgan.server.explanation.opening import run_open
from medxgan.server.explanation.scores import logistic
from medxgan.server.images.film import Film
from medxgan.server.inversion.runs import Runs
from medxgan.server.inversion.solver import Row, Solver, concatenate
from medxgan.server.inversion.starts import learning_rates
from medxgan.training.data.samples import DataSplit
from medxgan.training.model import TrainedModel
from medxgan.training.runs import Run, load_trained_model
from medxgan.v1 import bundle_pb2

PUBLISHED_RATE = 0.01
WITHIN = 1.02
"""Of the published procedure's final loss."""
TIMED_STEPS = 20
TOGETHER = 8
"""Images that are inverted together, for their losses alone."""


@dataclass(frozen=True)
class Images:
    """Images, and what OPEN makes of them: x [N, 1, S, S], guess [N, D], target [N]; mask [N, S, S] where there are."""

    x: FloatArray
    guess: FloatArray
    target: FloatArray
    mask: NDArray[np.bool_] | None


@dataclass(frozen=True)
class Quality:
    """Means over the images, of where an inversion ended.

    Attributes:
        loss: λ · MSE + BCE.
        reconstruction_mse: its first part, without λ.
        average_precision: of the difference map against the mask.
        pointing: share of images whose difference is strongest on the mask; both None without masks.
        negatives: share of negative realizations that the classifier calls negative.
        applied_negatives: the same of the images less the difference.
    """

    loss: float
    reconstruction_mse: float
    average_precision: float | None
    pointing: float | None
    negatives: float
    applied_negatives: float


def main(
    bundle: Annotated[Path, typer.Argument(help="Bundle folder, NAME/VERSION.")],
    run: Annotated[Path, typer.Option(help="Training run that it was made from.")],
    data: Annotated[Path, typer.Option(help="Folder that the run's data lie in.")],
    images: Annotated[int, typer.Option(min=1, help="Test images.")] = 64,
    published_steps: Annotated[
        list[int] | None, typer.Option(help="Of the published procedure; 1000 and 5000.")
    ] = None,
    solver: Annotated[Literal["adam", "lbfgs"], typer.Option(help="Ours.")] = "lbfgs",
    steps: Annotated[int, typer.Option(min=1, help="Ours, at most.")] = 200,
    threads: Annotated[int, typer.Option(min=1, help="Threads within an operator, for both.")] = os.cpu_count() or 1,
    out: Annotated[Path, typer.Option(help="Folder of the results.")] = Path(__file__).parent / "results",
) -> None:
    """Measure the time to the published inversion's final loss."""
    torch.set_num_threads(threads)
    loaded, model = load_bundle(bundle), load_trained_model(run)
    engine = open_engine(loaded, EngineSettings("cpu", threads))
    chosen = true_positives(engine, loaded, Run.open(run).configuration.data.load(data), "test", images)
    chosen_solver = bundle_pb2.Solver.Value(f"SOLVER_{solver.upper()}")
    eager_ms, step_ms, open_ms = timings(engine, model, loaded, chosen, chosen_solver)
    own = starting(chosen, chosen.guess, loaded, ours_rates(loaded), chosen_solver)
    losses, own_ends = descend(engine, own, steps)
    peers = published(engine, loaded, chosen, sorted(set(published_steps or [1000, 5000])))
    rows = [
        {
            "published_steps": count,
            "published": asdict(quality(engine, loaded, chosen, z)),
            "published_seconds": count * eager_ms / 1000,
            **reached(losses, final, step_ms, open_ms, count * eager_ms),
        }
        for count, (final, z) in peers.items()
    ]
    defaults = loaded.description.inversion
    served_solver = defaults.default_solver or bundle_pb2.SOLVER_ADAM
    served = starting(chosen, chosen.guess, loaded, ours_rates(loaded), served_solver)
    _, served_ends = descend(engine, served, defaults.default_steps)
    report = {
        **conditions(threads, "torch", "onnxruntime", folders={data: "DATA"}),
        "bundle": f"{bundle.parent.name}/{bundle.name}",
        "images": len(chosen.x),
        "solver": solver,
        "eager_ms_per_step": eager_ms,
        "engine_ms_per_step": step_ms,
        "open_ms": open_ms,
        "rows": rows,
        "ours": {"steps": steps, **asdict(quality(engine, loaded, chosen, codes(own_ends)))},
        "as_served": {
            "solver": bundle_pb2.Solver.Name(served_solver).removeprefix("SOLVER_").lower(),
            "steps": defaults.default_steps,
            **asdict(quality(engine, loaded, chosen, codes(served_ends))),
        },
        "loss_by_step": losses.mean(1).tolist(),
    }
    write_results(out, f"time_to_quality-{bundle.parent.name}", report, page(report))


def true_positives(engine: Engine, bundle: LoadedBundle, data: DataSplit, part: Split, count: int) -> Images:
    """The first images of a part that the classifier rightly calls positive: those with a mask, if any has one."""
    threshold = bundle.description.classification.decision_threshold
    positives = [image for image in labelled_images(data, part, bundle.description.image) if image.positive]
    marked = [image for image in positives if image.mask is not None]
    x, guess, targets, masks = [], [], [], []
    for image in marked or positives:
        opened = run_open(engine, image.film)
        target = logistic(float(opened["logit"][0]))
        if target >= threshold:
            x.append(opened["x"])
            guess.append(opened["z"])
            targets.append(target)
            masks += [image.mask] if image.mask is not None else []
        if len(x) == count:
            break
    mask = np.stack(masks) if masks else None
    return Images(np.concatenate(x), np.concatenate(guess), np.array(targets, np.float32), mask)


def starting(
    images: Images, z: FloatArray, bundle: LoadedBundle, rates: FloatArray, solver: bundle_pb2.Solver
) -> list[InversionState]:
    """Inversions of the images from these codes [N, D], a batch of one each."""
    inversion = bundle.description.inversion
    row = Row(inversion.maximum_steps, inversion.default_reconstruction_weight)
    return [
        Solver(inversion).init(row, z[place, np.newaxis], images.x[place, np.newaxis], target, rates, solver)[1]
        for place, target in enumerate(images.target)
    ]


def descend(engine: Engine, states: list[InversionState], steps: int) -> tuple[FloatArray, list[InversionState]]:
    """The loss [steps, N] that each step found, and the states at the end, from which more steps go on."""
    losses, ends = [], []
    for first in range(0, len(states), TOGETHER):
        part = states[first : first + TOGETHER]
        run = Runs(engine, part)
        losses.append([total(part, run.advance(1)) for _ in range(steps)])
        ends += run.states(range(len(part))).values()
    return np.concatenate(losses, 1), ends


def codes(states: list[InversionState]) -> FloatArray:
    """[N, D] where they are."""
    return np.concatenate([state.z for state in states])


def total(states: list[InversionState], losses: Losses) -> FloatArray:
    """λ · MSE + BCE, [N]."""
    weight = np.concatenate([state.reconstruction_weight for state in states])
    value: FloatArray = weight * losses.reconstruction + losses.classification
    return value


def published(
    engine: Engine, bundle: LoadedBundle, images: Images, counts: list[int]
) -> dict[int, tuple[FloatArray, FloatArray]]:
    """By the number of steps, the final losses [N] and codes [N, D] of the published procedure."""
    latent = bundle.description.latent
    start = np.zeros_like(images.guess)
    random = np.random.default_rng(0)
    start[:, latent.z1_size :] = random.standard_normal((len(start), latent.z2_size), np.float32)
    rates = np.full((1, start.shape[1]), PUBLISHED_RATE, np.float32)
    states = starting(images, start, bundle, rates, bundle_pb2.SOLVER_ADAM)
    ends: dict[int, tuple[list[FloatArray], list[FloatArray]]] = {count: ([], []) for count in counts}
    for first in range(0, len(states), TOGETHER):
        part = states[first : first + TOGETHER]
        together = concatenate(part)
        run, elsewhere, taken = engine.start(together), engine.start(together), 0
        for count in counts:
            run.advance(count - taken)
            taken = count
            z = run.state().z
            ends[count][0].append(total(part, elsewhere.gradient(z)[0]))
            ends[count][1].append(z)
    return {count: (np.concatenate(losses), np.concatenate(codes)) for count, (losses, codes) in ends.items()}


def timings(
    engine: Engine, model: TrainedModel, bundle: LoadedBundle, images: Images, solver: bundle_pb2.Solver
) -> tuple[float, float, float]:
    """Milliseconds of a step of PyTorch eager, of a step of ours, and of OPEN, one image at a time; taken in turn."""
    alone = Images(images.x[:1], images.guess[:1], images.target[:1], None)
    state = starting(alone, alone.guess, bundle, ours_rates(bundle), solver)
    eager = EagerInversion(model, state[0], torch.device("cpu"))
    own = Runs(engine, state)
    film = Film(np.random.default_rng(0).uniform(0, 255, (256, 256)).astype(np.float32))
    calls = (lambda: eager.advance(TIMED_STEPS), lambda: own.advance(TIMED_STEPS), lambda: run_open(engine, film))
    taken: list[list[float]] = [[], [], []]
    for repeat in range(6):
        for call, times in zip(calls, taken, strict=True):
            time.sleep(PAUSE)
            before = time.perf_counter()
            call()
            if repeat:
                times.append(1000 * (time.perf_counter() - before))
    eager_ms, own_ms, open_ms = (float(np.median(times)) for times in taken)
    return eager_ms / TIMED_STEPS, own_ms / TIMED_STEPS, open_ms


def ours_rates(bundle: LoadedBundle) -> FloatArray:
    """The learning rates of the latents, as served."""
    return learning_rates(bundle.description, bundle.description.inversion.default_learning_rate, guessed=True)


def reached(
    losses: FloatArray, final: FloatArray, step_ms: float, open_ms: float, published_ms: float
) -> dict[str, float | None]:
    """After how many of our steps the loss was that of the published procedure within 2 %, image by image."""
    within = losses <= WITHIN * final
    share = float(within.any(0).mean())
    counts = within.argmax(0)[within.any(0)] + 1
    if not len(counts):
        return {"reached": share, "steps": None, "milliseconds": None, "ratio": None}
    # Images that never come so far count with all the steps.
    every = np.where(within.any(0), within.argmax(0) + 1, len(losses))
    milliseconds = open_ms + float(every.mean()) * step_ms
    return {
        "reached": share,
        "steps": float(every.mean()),
        "milliseconds": milliseconds,
        "ratio": published_ms / milliseconds,
    }


def quality(engine: Engine, bundle: LoadedBundle, images: Images, z: FloatArray) -> Quality:
    """What the CLOSE graph makes of the codes."""
    threshold = bundle.description.classification.decision_threshold
    weight = bundle.description.inversion.default_reconstruction_weight
    rows, places = [], []
    for row in range(len(z)):
        x = images.x[row : row + 1]
        closed = engine.run(bundle_pb2.GRAPH_ROLE_CLOSE, {"x": x, "z": z[row : row + 1]})
        mse = float(np.mean(np.square(closed["reconstruction"] - x)))
        logit, target = float(closed["reconstruction_logit"][0]), float(images.target[row])
        rows.append(
            (
                weight * mse + float(np.logaddexp(0, logit)) - target * logit,
                mse,
                logistic(float(closed["negative_realization_logit"][0])) < threshold,
                logistic(float(closed["applied_negative_logit"][0])) < threshold,
            )
        )
        if images.mask is not None:
            map_ = saliency((closed["reconstruction"] - closed["negative_realization"])[0, 0])
            mask = images.mask[row]
            places.append((average_precision(map_, mask), pointing_game(map_, mask)))
    loss, mse, negatives, applied = np.mean(rows, 0).tolist()
    precision, pointing = np.mean(places, 0).tolist() if places else (None, None)
    return Quality(loss, mse, precision, pointing, negatives, applied)


def page(report: Mapping[str, object]) -> str:
    """The report as a page."""
    rows: list[dict[str, object]] = report["rows"]  # type: ignore[assignment]
    served: dict[str, object] = report["as_served"]  # type: ignore[assignment]
    ours: dict[str, object] = report["ours"]  # type: ignore[assignment]

    def cells(quality: Mapping[str, object]) -> str:
        names = ("loss", "reconstruction_mse", "average_precision", "pointing", "negatives", "applied_negatives")
        return " | ".join(f"{quality[name]:.3g}" for name in names)

    lines = [
        f"# Time to the published inversion's final loss: {report['bundle']}, {report['images']} test images",
        "",
        f"{machine(report)}. A step of PyTorch eager takes {report['eager_ms_per_step']:.1f} ms, one of ours "
        f"{report['engine_ms_per_step']:.1f} ms, the start {report['open_ms']:.1f} ms, one image at a time.",
        "",
        f"    {report['command']}",
        "",
        f"| published steps | its time, s | our steps ({report['solver']}) to its loss within 2 % | images that come "
        "so far | our time, ms | ratio |",
        "|---:|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        if row["steps"] is None:
            lines.append(f"| {row['published_steps']:,} | {row['published_seconds']:.1f} | not reached | 0 % | | |")
            continue
        lines.append(
            f"| {row['published_steps']:,} | {row['published_seconds']:.1f} | {row['steps']:.1f} | "
            f"{row['reached']:.0%} | {row['milliseconds']:.0f} | {row['ratio']:.0f} |"
        )
    lines += [
        "",
        "| where it ends | loss | MSE | average precision | pointing | negatives negative | applied negatives "
        "negative |",
        "|---|---:|---:|---:|---:|---:|---:|",
        *(f"| published, {row['published_steps']:,} steps | {cells(row['published'])} |" for row in rows),  # type: ignore[arg-type]
        f"| ours, {ours['steps']} steps of {report['solver']} | {cells(ours)} |",
        f"| as served, {served['steps']} steps of {served['solver']} | {cells(served)} |",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    typer.run(main)
