"""Adam and L-BFGS by the number of steps: the loss, and whether the explanation is any better for it.

    python benchmarks/solvers.py models/chest/9 --data DATA

On calibration images that the classifier rightly calls positive (those with a mask, where the data have masks), from
the encoder's guess, as served but for the solver, its steps, and the share of the learning rate that z2 moves by.
Writes solvers-NAME.json and .md.
"""

import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from measuring import conditions, machine, write_results
from time_to_quality import codes, descend, ours_rates, quality, starting, true_positives

from medxgan.bundle import load_bundle
from medxgan.evaluation.images import data_of_bundle
from medxgan.server.engine.selection import open_engine
from medxgan.server.engine.settings import EngineSettings
from medxgan.v1.bundle_pb2 import SOLVER_ADAM, SOLVER_LBFGS

STEPS = (5, 8, 10, 12, 20, 50)
PATHOLOGY_RATES = (1.0, 0.1, 0.0)
SOLVERS = {"Adam": SOLVER_ADAM, "L-BFGS": SOLVER_LBFGS}
COLUMNS = {
    "loss": "loss",
    "reconstruction_mse": "MSE",
    "average_precision": "average precision",
    "pointing": "pointing",
    "negatives": "negatives negative",
    "applied_negatives": "image less the difference negative",
}


def main(
    bundle: Annotated[Path, typer.Argument(help="Bundle folder, NAME/VERSION.")],
    data: Annotated[Path, typer.Option(help="Folder that the bundle's data lie in.")],
    images: Annotated[int, typer.Option(min=1, help="Most images.")] = 200,
    threads: Annotated[int, typer.Option(min=1, help="Threads within an operator.")] = os.cpu_count() or 1,
    out: Annotated[Path, typer.Option(help="Folder of the results.")] = Path(__file__).parent / "results",
) -> None:
    """Compare the solvers by their steps."""
    loaded = load_bundle(bundle)
    engine = open_engine(loaded, EngineSettings("cpu", threads))
    split = data_of_bundle(loaded.description).load(data)
    chosen = true_positives(engine, loaded, split, "calibration", images)
    rows = [{"solver": "", "pathology_rate": None, "steps": 0, **asdict(quality(engine, loaded, chosen, chosen.guess))}]
    for name, solver in SOLVERS.items():
        for share in PATHOLOGY_RATES:
            loaded.description.inversion.pathology_rate = share
            states = starting(chosen, chosen.guess, loaded, ours_rates(loaded), solver)
            for steps, taken in zip(STEPS, np.diff(STEPS, prepend=0).tolist(), strict=True):
                states = descend(engine, states, taken)[1]
                found = asdict(quality(engine, loaded, chosen, codes(states)))
                rows.append({"solver": name, "pathology_rate": share, "steps": steps, **found})
                print(rows[-1], flush=True)
    report = {
        **conditions(threads, "onnxruntime", folders={data: "DATA"}),
        "bundle": f"{bundle.parent.name}/{bundle.name}",
        "images": len(chosen.x),
        "rows": rows,
    }
    write_results(out, f"solvers-{bundle.parent.name}", report, _page(report, rows))


def _page(report: Mapping[str, object], rows: list[dict[str, object]]) -> str:
    columns = {name: title for name, title in COLUMNS.items() if rows[0][name] is not None}
    marked = " with a mask" if "pointing" in columns else ""
    lines = [
        f"# Solvers by their steps: {report['bundle']}, {report['images']} calibration positives{marked}",
        "",
        f"{machine(report)}.",
        "",
        f"    {report['command']}",
        "",
        f"| solver | share of the rate for z2 | steps | {' | '.join(columns.values())} |",
        "|---|---:|---:|" + "---:|" * len(columns),
    ]
    for row in rows:
        what = f"{row['solver']} | {row['pathology_rate']:g}" if row["solver"] else "the guess |"
        lines.append(f"| {what} | {row['steps']} | {' | '.join(f'{row[name]:.3g}' for name in columns)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    typer.run(main)
