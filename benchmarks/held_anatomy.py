"""Whether z1 held near the encoder's guess stops further steps from making explanations worse.

    python benchmarks/held_anatomy.py models/chest/9 --data DATA

To the loss of L-BFGS comes weight · mean((z1 - z1 of the guess)²). On calibration images that the classifier rightly
calls positive, as in `solvers.py`; its columns. Writes held_anatomy-NAME.json and .md.
"""

import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from measuring import conditions, machine, write_results
from solvers import COLUMNS
from time_to_quality import TOGETHER, codes, ours_rates, quality, starting, true_positives

from medxgan.bundle import load_bundle
from medxgan.evaluation.images import data_of_bundle
from medxgan.server.engine.port import Engine, FloatArray, InversionRun, InversionState, Losses
from medxgan.server.engine.selection import open_engine
from medxgan.server.engine.settings import EngineSettings
from medxgan.server.inversion.runs import Runs
from medxgan.v1.bundle_pb2 import SOLVER_LBFGS

WEIGHTS = (0.0, 0.03, 0.1, 0.3, 1.0)
STEPS = (12, 20, 50)


class Held:
    """An engine whose loss holds z1 near where its row started: of L-BFGS, whose steps are taken on the host.

    Args:
        engine: computes the loss.
        weight: of what is added to it.
        z1_size: latents of the anatomy, the first.
    """

    def __init__(self, engine: Engine, weight: float, z1_size: int) -> None:
        self._engine = engine
        self._weight = weight
        self._z1_size = z1_size

    def start(self, state: InversionState) -> "HeldRun":
        """A batch of rows before their first step."""
        return HeldRun(self._engine.start(state), state.z[:, : self._z1_size], self._weight)


class HeldRun:
    """The rows of one batch. They are held near `anatomy` [B, z1_size]."""

    def __init__(self, run: InversionRun, anatomy: FloatArray, weight: float) -> None:
        self._run = run
        self._anatomy = anatomy
        self._weight = weight

    def gradient(self, z: FloatArray) -> tuple[Losses, FloatArray]:
        """The losses, what is added being part of the classification's, and the gradient."""
        losses, gradient = self._run.gradient(z)
        size = self._anatomy.shape[1]
        away = z[:, :size] - self._anatomy
        gradient = gradient.copy()
        gradient[:, :size] += np.float32(2 * self._weight / size) * away
        held = np.float32(self._weight) * np.square(away).mean(1)
        return Losses(losses.reconstruction, losses.classification + held), gradient


def main(
    bundle: Annotated[Path, typer.Argument(help="Bundle folder, NAME/VERSION.")],
    data: Annotated[Path, typer.Option(help="Folder that the bundle's data lie in.")],
    images: Annotated[int, typer.Option(min=1, help="Most images.")] = 40,
    shares: Annotated[list[float] | None, typer.Option(help="Of the learning rate for z2; 1, 0.1, 0.")] = None,
    weights: Annotated[list[float] | None, typer.Option(help="Of what is added; 0, 0.03, 0.1, 0.3, 1.")] = None,
    threads: Annotated[int, typer.Option(min=1, help="Threads within an operator.")] = os.cpu_count() or 1,
    out: Annotated[Path, typer.Option(help="Folder of the results.")] = Path(__file__).parent / "results",
) -> None:
    """Compare weights by the steps."""
    loaded = load_bundle(bundle)
    engine = open_engine(loaded, EngineSettings("cpu", threads))
    chosen = true_positives(engine, loaded, data_of_bundle(loaded.description).load(data), "calibration", images)
    rows = [{"weight": None, "share": None, "steps": 0, **asdict(quality(engine, loaded, chosen, chosen.guess))}]
    for share in shares or (1.0, 0.1, 0.0):
        loaded.description.inversion.pathology_rate = share
        for weight in weights or WEIGHTS:
            held = Held(engine, weight, loaded.description.latent.z1_size)
            states = starting(chosen, chosen.guess, loaded, ours_rates(loaded), SOLVER_LBFGS)
            for steps, z in zip(STEPS, _codes_by_steps(held, states), strict=True):
                found = asdict(quality(engine, loaded, chosen, z))
                rows.append({"weight": weight, "share": share, "steps": steps, **found})
                print(rows[-1], flush=True)
    report = {
        **conditions(threads, "onnxruntime", folders={data: "DATA"}),
        "bundle": f"{bundle.parent.name}/{bundle.name}",
        "images": len(chosen.x),
        "rows": rows,
    }
    write_results(out, f"held_anatomy-{bundle.parent.name}", report, _page(report, rows))


def _codes_by_steps(engine: Held, states: list[InversionState]) -> list[FloatArray]:
    """[N, D] after each of `STEPS`."""
    found: list[list[InversionState]] = [[] for _ in STEPS]
    for first in range(0, len(states), TOGETHER):
        part = states[first : first + TOGETHER]
        run = Runs(engine, part)  # type: ignore[arg-type]
        for there, steps in zip(found, np.diff(STEPS, prepend=0).tolist(), strict=True):
            run.advance(steps)
            there += run.states(range(len(part))).values()
    return [codes(there) for there in found]


def _page(report: Mapping[str, object], rows: list[dict[str, object]]) -> str:
    lines = [
        f"# z1 held near the guess: {report['bundle']}, {report['images']} calibration positives with a mask",
        "",
        f"{machine(report)}.",
        "",
        f"    {report['command']}",
        "",
        f"| share of the rate for z2 | weight | steps of L-BFGS | {' | '.join(COLUMNS.values())} |",
        "|---:|---:|---:|" + "---:|" * len(COLUMNS),
    ]
    for row in rows:
        what = f"{row['share']:g} | {row['weight']:g}" if row["steps"] else "the guess |"
        lines.append(f"| {what} | {row['steps']} | {' | '.join(f'{row[name]:.3g}' for name in COLUMNS)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    typer.run(main)
