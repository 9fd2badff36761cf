"""From one server to a thousand copies: what load, bursts, priorities, batches and autoscaling make of measured times.

    python benchmarks/scale.py calibrate models/chest/9     what the parts of an explanation take on this machine
    python benchmarks/scale.py check models/chest/9         that, and the simulation against real servers
    python benchmarks/scale.py replay chest                 the simulation against what load.py had measured before
    python benchmarks/scale.py curves chest                 latency and cost curves of what was calibrated

`calibrate` times the engine's OPEN, blocks of gradient steps by the size of the batch and CLOSE, how copies slow one
another down, and of a real server what remains. `check` calibrates anew, asks a real `medxgan serve --replicas N
--threads 1` by chance (Poisson) at shares of the simulated capacity, and gives the simulation the very same arrivals:
for a machine that nothing else works on. `curves` simulates fleets under load (SimPy). Writes calibration-NAME.json,
scale-check-NAME.json and .md, scale-replay-NAME.json and .md, scale-NAME.json, .md and .png.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from load_targets import sample_pictures
from measuring import conditions, write_results
from simulation import experiments, pages
from simulation.calibration import Calibration
from simulation.check import COPIES
from simulation.check import check as check_servers
from simulation.drawing import draw
from simulation.measurement import calibrate as measure
from simulation.replay import replay

RESULTS = Path(__file__).parent / "results"

app = typer.Typer(no_args_is_help=True, add_completion=False)

Bundle = Annotated[Path, typer.Argument(help="Bundle folder, NAME/VERSION.")]
Rounds = Annotated[int, typer.Option(min=1, help="In which everything is timed once.")]
Out = Annotated[Path, typer.Option(help="Folder of the results.")]


@app.command()
def calibrate(bundle: Bundle, rounds: Rounds = 9, out: Out = RESULTS) -> Calibration:
    """Measure what the parts of an explanation take on this machine."""
    found = measure(bundle, sample_pictures(), rounds)
    found.write(out / f"calibration-{bundle.parent.name}.json")
    print(found.model_dump_json(indent=2))
    return found


@app.command()
def check(
    bundle: Bundle,
    rounds: Rounds = 9,
    seconds: Annotated[float, typer.Option(min=1, help="Of each load.")] = 60.0,
    copies: Annotated[list[int] | None, typer.Option(min=1, help="Of the model; may be repeated.")] = None,
    out: Out = RESULTS,
) -> None:
    """Calibrate, and compare the simulation with real servers: some fifteen minutes."""
    name = bundle.parent.name
    calibration = calibrate(bundle, rounds, out)
    checked = check_servers(bundle, calibration, sample_pictures(), seconds, copies or COPIES)
    report = {
        **conditions(1, "onnxruntime", "grpcio", "simpy"),
        "model": calibration.model,
        "seconds": seconds,
        "calibration": calibration.model_dump(),
        "checked": [{**asdict(each), "ratios": each.ratios} for each in checked],
    }
    write_results(out, f"scale-check-{name}", report, pages.check_page(report, checked))


@app.command("replay")
def replay_load(
    name: Annotated[str, typer.Argument(help="Of the bundle that was calibrated, and put under load by load.py.")],
    out: Out = RESULTS,
) -> None:
    """Compare the simulation with what load.py measured of a server as it comes, from calibration-NAME.json."""
    calibration = Calibration.read(out / f"calibration-{name}.json")
    measured = json.loads((out / f"load-{name}.json").read_text(encoding="utf-8"))
    replayed = replay(measured, calibration, "medxgan", measured["threads"])
    report = {
        **conditions(1, "simpy"),
        "model": calibration.model,
        "measured_on": {key: measured[key] for key in ("command", "bundle", "cpu", "cores", "load_average")},
        "replayed": [{**asdict(each), "ratios": each.ratios} for each in replayed],
    }
    write_results(out, f"scale-replay-{name}", report, pages.replay_page(report, replayed))


@app.command()
def curves(
    name: Annotated[str, typer.Argument(help="Of the bundle that was calibrated.")],
    requests: Annotated[int, typer.Option(min=100, help="In each run; of 1,000 copies five times as many.")] = 20_000,
    films: Annotated[float, typer.Option(min=1, help="A day.")] = 1_000_000.0,
    p95: Annotated[float, typer.Option(min=0.001, help="Seconds within which 95 % shall be answered.")] = 1.0,
    prices: Annotated[list[float] | None, typer.Option(min=0, help="Of a core for an hour; may be repeated.")] = None,
    out: Out = RESULTS,
) -> None:
    """Simulate fleets under load, from calibration-NAME.json: half an hour or more."""
    calibration = Calibration.read(out / f"calibration-{name}.json")
    study = experiments.Study(calibration, requests)
    tables: dict[str, list[experiments.Row]] = {}
    for title, found in (
        ("plan", lambda: experiments.planned(study, films, p95)),
        ("autoscaling", lambda: experiments.autoscaled(study, films)),
        ("under load", lambda: experiments.under_load(study)),
        ("balancing", lambda: experiments.balanced(study)),
        ("bursts", lambda: experiments.in_bursts(study)),
        ("priorities", lambda: experiments.with_priorities(study)),
        ("batches", lambda: experiments.by_batch(study)),
        ("assumed devices", lambda: experiments.by_free_share(study)),
    ):
        tables[title] = found()
        print(title, flush=True)
    for row in (row for row in tables["plan"] if "core_seconds_each" in row):
        for price in experiments.price_table(float(row["core_seconds_each"]), prices or (0.01, 0.02, 0.05, 0.1)):
            tables.setdefault("prices", []).append({"when": row["when"], **price})
    report = {
        **conditions(1, "simpy", "numpy"),
        "model": calibration.model,
        "measured_on": calibration.conditions,
        "of_server": study.of_server,
        "films": films,
        "p95": p95,
        "tables": tables,
    }
    write_results(out, f"scale-{name}", report, pages.curves_page(report, tables))
    draw(tables, out / f"scale-{name}.png")


if __name__ == "__main__":
    app()
