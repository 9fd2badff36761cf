"""Adam and L-BFGS by the number of steps: the loss, and whether the explanation is any better for it.

    python benchmarks/solvers.py models/chest/4 --data DATA

On calibration images with a mask that the classifier rightly calls positive, from the encoder's guess, as served but
for solver and steps. Writes solvers-NAME.json and .md.
"""

import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from measuring import conditions, machine, write_results
from time_to_quality import descend, ours_rates, positives_with_mask, quality, starting

from medxgan.bundle import load_bundle
from medxgan.evaluation.images import data_of_bundle
from medxgan.server.engine.selection import open_engine
from medxgan.v1.bundle_pb2 import SOLVER_ADAM, SOLVER_LBFGS

STEPS = (5, 8, 10, 12, 20, 50, 100)
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
    engine = open_engine(loaded, "cpu", threads)
    split = data_of_bundle(loaded.description).load(data)
    chosen = positives_with_mask(engine, loaded, split, "calibration", images)
    rows = [{"solver": "", "steps": 0, **asdict(quality(engine, loaded, chosen, chosen.guess))}]
    for name, solver in SOLVERS.items():
        for steps in STEPS:
            _, z = descend(engine, starting(chosen, chosen.guess, loaded, ours_rates(loaded), solver), steps)
            rows.append({"solver": name, "steps": steps, **asdict(quality(engine, loaded, chosen, z))})
            print(rows[-1], flush=True)
    report = {
        **conditions(threads, "onnxruntime", folders={data: "DATA"}),
        "bundle": f"{bundle.parent.name}/{bundle.name}",
        "images": len(chosen.x),
        "rows": rows,
    }
    write_results(out, f"solvers-{bundle.parent.name}", report, _page(report, rows))


def _page(report: Mapping[str, object], rows: list[dict[str, object]]) -> str:
    lines = [
        f"# Solvers by their steps: {report['bundle']}, {report['images']} calibration positives with a mask",
        "",
        f"{machine(report)}.",
        "",
        f"    {report['command']}",
        "",
        f"| solver | steps | {' | '.join(COLUMNS.values())} |",
        "|---|---:|" + "---:|" * len(COLUMNS),
    ]
    lines += [
        f"| {row['solver'] or 'the guess'} | {row['steps']} | {' | '.join(f'{row[name]:.3g}' for name in COLUMNS)} |"
        for row in rows
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    typer.run(main)
