"""Time to the published inversion's final loss: the published procedure in PyTorch against what is served.

    python benchmarks/time_to_quality.py models/chest/4 --run training/weights/chest-128 --data DATA

The published procedure (Dravid et al., medXGAN, CVPR-W 2022) starts at z1 = 0 and a random z2 and takes 1,000 steps of
Adam with a learning rate of 0.01, or 5,000. Ours starts at the encoder's guess and takes steps by the bundle's solver,
or another. Both have the same weights, loss and images: test images with a mask that the classifier rightly calls
positive.

The losses of both come from the engine, which takes PyTorch's steps to rounding (`inversion_step.py` checks that). The
time of the published procedure is its number of steps times a step of PyTorch eager, one image at a time, measured here
beside a step of the engine; ours counts the encoder too. Writes time_to_quality-NAME.json and .md.
"""

import os
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
import typer
from inversion_step import EagerInversion
from measuring import cpu_model, versions, write_results
from numpy.typing import NDArray

from medxgan.bundle import LoadedBundle, load_bundle
from medxgan.evaluation.metrics.localisation import average_precision, pointing_game
from medxgan.evaluation.saliency import saliency
from medxgan.server.engine.port import Engine, FloatArray, InversionRun, InversionState, Losses
from medxgan.server.engine.selection import open_engine
from medxgan.server.explanation.opening import run_open
from medxgan.server.explanation.scores import logistic
from medxgan.server.images.film import Film
from medxgan.server.inversion.lbfgs import LbfgsRun, LbfgsState
from medxgan.training.data.samples import LabelledImages
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
    """Test images, and what OPEN makes of them: x [N, 1, S, S], guess [N, D], target [N], mask [N, S, S]."""

    x: FloatArray
    guess: FloatArray
    target: FloatArray
    mask: NDArray[np.bool_]


@dataclass(frozen=True)
class Quality:
    """Means over the images, of where an inversion ended.

    Attributes:
        loss: λ · MSE + BCE.
        reconstruction_mse: its first part, without λ.
        average_precision: of the difference map against the mask.
        pointing: share of images whose difference is strongest on the mask.
        negatives: share of negative realizations that the classifier calls negative.
        applied_negatives: the same of the images less the difference.
    """

    loss: float
    reconstruction_mse: float
    average_precision: float
    pointing: float
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
    engine = open_engine(loaded, "cpu", threads)
    chosen = positives_with_mask(engine, loaded, Run.open(run).configuration.data.load(data).test, images)
    eager_ms, step_ms, open_ms = timings(engine, model, loaded, chosen, solver)
    ours = state_at(chosen, chosen.guess, loaded, ours_rate(loaded))
    losses, own_state = descend(engine, ours, solver, steps)
    wanted = sorted(set(published_steps or [1000, 5000]))
    peers = published(engine, loaded, chosen, wanted)
    defaults = loaded.description.inversion
    rows = [
        {
            "published_steps": count,
            "published": asdict(quality(engine, loaded, chosen, z)),
            "published_seconds": count * eager_ms / 1000,
            **reached(losses, final, step_ms, open_ms, count * eager_ms),
        }
        for count, (final, z) in peers.items()
    ]
    served_losses, served_state = descend(engine, ours, solver_name(defaults.default_solver), defaults.default_steps)
    report = {
        "command": " ".join(["python", "benchmarks/time_to_quality.py", *sys.argv[1:]]),
        "bundle": f"{bundle.parent.name}/{bundle.name}",
        "images": len(chosen.x),
        "solver": solver,
        "eager_ms_per_step": eager_ms,
        "engine_ms_per_step": step_ms,
        "open_ms": open_ms,
        "rows": rows,
        "ours": {"steps": steps, **asdict(quality(engine, loaded, chosen, own_state))},
        "as_served": {
            "solver": solver_name(defaults.default_solver),
            "steps": defaults.default_steps,
            "loss_before_the_last_step": float(served_losses[-1].mean()),
            **asdict(quality(engine, loaded, chosen, served_state)),
        },
        "loss_by_step": losses.mean(1).tolist(),
        "cpu": cpu_model(),
        "threads": threads,
        "load_average": os.getloadavg()[0],
        "versions": versions("torch", "onnxruntime"),
    }
    write_results(out, f"time_to_quality-{bundle.parent.name}", report, page(report))


def positives_with_mask(engine: Engine, bundle: LoadedBundle, test: LabelledImages, count: int) -> Images:
    """The first images with a mask that the classifier rightly calls positive."""
    threshold = bundle.description.classification.decision_threshold
    side = bundle.description.image.height
    found: list[tuple[FloatArray, FloatArray, float, NDArray[np.bool_]]] = []
    for row, mask in enumerate(test.masks if test.masks is not None else []):
        opened = run_open(engine, Film(test.images[row].astype(np.float32)))
        target = logistic(float(opened["logit"][0]))
        small = shrunk(mask, side)
        if test.labels[row] and target >= threshold and small.any():
            found.append((opened["x"], opened["z"], target, small))
        if len(found) == count:
            break
    x, guess, targets, masks = zip(*found, strict=True)
    return Images(np.concatenate(x), np.concatenate(guess), np.array(targets, np.float32), np.stack(masks))


def shrunk(mask: NDArray[np.generic], side: int) -> NDArray[np.bool_]:
    """A square mask at the size of x: where more than half of a pixel is in it."""
    reduction = len(mask) // side
    share = (mask > 0).reshape(side, reduction, side, reduction).mean((1, 3))
    small: NDArray[np.bool_] = share > 0.5
    return small


def ours_rate(bundle: LoadedBundle) -> FloatArray:
    """[D] the learning rate of each latent, as served."""
    inversion, latent = bundle.description.inversion, bundle.description.latent
    rate = np.full(latent.z1_size + latent.z2_size, inversion.default_learning_rate, np.float32)
    if inversion.HasField("pathology_rate"):
        rate[latent.z1_size :] *= inversion.pathology_rate
    return rate


def state_at(images: Images, z: FloatArray, bundle: LoadedBundle, rate: FloatArray) -> InversionState:
    """Inversions of the images from these codes [N, D]."""
    rows = len(z)
    return InversionState(
        z=z.astype(np.float32),
        first_moment=np.zeros_like(z, np.float32),
        second_moment=np.zeros_like(z, np.float32),
        step=np.zeros(rows, np.float32),
        image=images.x,
        target=images.target,
        learning_rate=np.tile(rate, (rows, 1)).astype(np.float32),
        reconstruction_weight=np.full(rows, bundle.description.inversion.default_reconstruction_weight, np.float32),
    )


def descend(engine: Engine, state: InversionState, solver: str, steps: int) -> tuple[FloatArray, FloatArray]:
    """The loss [steps, N] that each step found, and the codes [N, D] at the end."""
    losses, codes = [], []
    for first in range(0, len(state.z), TOGETHER):
        part = InversionState(**{name: values[first : first + TOGETHER] for name, values in vars(state).items()})
        run = started(engine, part, solver)
        losses.append([total(part, run.advance(1)) for _ in range(steps)])
        codes.append(run.state().z)
    return np.concatenate(losses, 1), np.concatenate(codes)


def started(engine: Engine, state: InversionState, solver: str) -> InversionRun:
    """A run of the solver of that name."""
    return LbfgsRun(engine, LbfgsState.of(state)) if solver == "lbfgs" else engine.start(state)


def total(state: InversionState, losses: Losses) -> FloatArray:
    """λ · MSE + BCE, [N]."""
    value: FloatArray = state.reconstruction_weight * losses.reconstruction + losses.classification
    return value


def published(
    engine: Engine, bundle: LoadedBundle, images: Images, counts: list[int]
) -> dict[int, tuple[FloatArray, FloatArray]]:
    """By the number of steps, the final losses [N] and codes [N, D] of the published procedure."""
    latent = bundle.description.latent
    start = np.zeros_like(images.guess)
    random = np.random.default_rng(0)
    start[:, latent.z1_size :] = random.standard_normal((len(start), latent.z2_size), np.float32)
    rate = np.full(start.shape[1], PUBLISHED_RATE, np.float32)
    state = state_at(images, start, bundle, rate)
    ends: dict[int, tuple[list[FloatArray], list[FloatArray]]] = {count: ([], []) for count in counts}
    for first in range(0, len(start), TOGETHER):
        part = InversionState(**{name: values[first : first + TOGETHER] for name, values in vars(state).items()})
        run, taken = engine.start(part), 0
        for count in counts:
            run.advance(count - taken)
            taken = count
            z = run.state().z
            found, _ = engine.start(replace(part, z=z)).gradient(z)
            ends[count][0].append(total(part, found))
            ends[count][1].append(z)
    return {count: (np.concatenate(losses), np.concatenate(codes)) for count, (losses, codes) in ends.items()}


def timings(
    engine: Engine, model: TrainedModel, bundle: LoadedBundle, images: Images, solver: str
) -> tuple[float, float, float]:
    """Milliseconds of a step of PyTorch eager, of a step of ours, and of OPEN, one image at a time; taken in turn."""
    alone = Images(images.x[:1], images.guess[:1], images.target[:1], images.mask[:1])
    state = state_at(alone, alone.guess, bundle, ours_rate(bundle))
    eager = EagerInversion(model, state, torch.device("cpu"))
    own = started(engine, state, solver)
    film = Film(np.random.default_rng(0).uniform(0, 255, (256, 256)).astype(np.float32))
    calls = (lambda: eager.advance(TIMED_STEPS), lambda: own.advance(TIMED_STEPS), lambda: run_open(engine, film))
    taken: list[list[float]] = [[], [], []]
    for repeat in range(6):
        for call, times in zip(calls, taken, strict=True):
            time.sleep(0.05)
            before = time.perf_counter()
            call()
            if repeat:
                times.append(1000 * (time.perf_counter() - before))
    eager_ms, own_ms, open_ms = (float(np.median(times)) for times in taken)
    return eager_ms / TIMED_STEPS, own_ms / TIMED_STEPS, open_ms


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
    rows = []
    for row in range(len(z)):
        x = images.x[row : row + 1]
        closed = engine.run(bundle_pb2.GRAPH_ROLE_CLOSE, {"x": x, "z": z[row : row + 1]})
        map_ = saliency((closed["reconstruction"] - closed["negative_realization"])[0, 0])
        mse = float(np.mean(np.square(closed["reconstruction"] - x)))
        logit, target = float(closed["reconstruction_logit"][0]), float(images.target[row])
        rows.append(
            (
                weight * mse + float(np.logaddexp(0, logit)) - target * logit,
                mse,
                average_precision(map_, images.mask[row]),
                pointing_game(map_, images.mask[row]),
                logistic(float(closed["negative_realization_logit"][0])) < threshold,
                logistic(float(closed["applied_negative_logit"][0])) < threshold,
            )
        )
    return Quality(*np.mean(rows, 0).tolist())


def solver_name(solver: bundle_pb2.Solver) -> str:
    """As in a configuration."""
    return "lbfgs" if solver == bundle_pb2.SOLVER_LBFGS else "adam"


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
        f"{report['cpu']}, {report['threads']} threads; load average {report['load_average']:.1f}; "
        f"{report['versions']}. A step of PyTorch eager takes {report['eager_ms_per_step']:.1f} ms, one of ours "
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
