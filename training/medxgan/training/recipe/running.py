"""A plan, a person's yes, a search, and the training."""

import json
import sys
import time
from pathlib import Path
from typing import Any

import typer
from pydantic import TypeAdapter
from rich.console import Console
from rich.table import Table

from medxgan.training import processes
from medxgan.training.configuration import read_stated
from medxgan.training.data.medmnist import is_medmnist
from medxgan.training.data.samples import DataSplit
from medxgan.training.data.shards import MANIFEST, Manifest
from medxgan.training.data.source import DataConfig, ShardsData
from medxgan.training.recipe.budget import RecipeError
from medxgan.training.recipe.plan import FILE, Plan
from medxgan.training.recipe.planning import make_plan
from medxgan.training.recipe.search import search_weights
from medxgan.training.runs import Run
from medxgan.training.train_generator import train_generator

CALIBRATION_SHARE = 0.15
"""Of the training images, where the configuration states none and the set has no such part."""

PICKLED = frozenset({".pt", ".pt2", ".pth", ".ckpt", ".pkl"})
"""What PyTorch saves otherwise; `torch.export.load` unpickles, too."""

_DATA: TypeAdapter[DataConfig] = TypeAdapter(DataConfig)


def train_by_recipe(
    classifier: str, config: Path, data: Path, out: Path, *, budget: float | None, agreed: bool, console: Console
) -> Run:
    """Make a plan, show it, and carry it out; goes on with the plan of the run folder where there is one.

    What is asked for must then be what was asked for at first; a budget may be left out.

    Args:
        classifier: an ONNX file, or package.module:factory.
        config: what only a person knows, and what is to be otherwise than the recipe has it.
        data: the images, where the configuration has no `data` section; else the folder that its paths start from.
        out: the run folder.
        budget: hours that all of it may take; None for as many as it takes.
        agreed: whether nobody is asked.
        console: where the plan is shown.

    Raises:
        RecipeError: there is no recipe for it, or the run folder's plan is of something else.
        typer.Abort: the person says no.
        pydantic.ValidationError: a key of the configuration is unknown, missing or out of range.
        DataError, RunError, ProcessesError, FileNotFoundError: as of a training.
    """
    if Path(classifier).suffix in PICKLED:
        raise RecipeError(
            f"--classifier: {Path(classifier).name} is read by unpickling, which runs whatever code is in it: export "
            "it to ONNX, or name package.module:factory, with the weights as safetensors in external_classifier.weights"
        )
    stated = read_stated(config, classifier)
    root = data if "data" in stated else Path()
    if (out / FILE).exists():
        _check_same(out / FILE, _asked(stated, data, budget))
        console.print(f"Goes on with the plan of {out / FILE}.", highlight=False, soft_wrap=True)
        return train_generator(Run.open(out).configuration, root, out)
    if processes.are_started():
        raise RecipeError("--classifier: let one process make the plan; torchrun can then go on with its run folder")
    started = time.perf_counter()
    asked = _asked(stated, data, budget)
    stated["data"] = _with_calibration(stated.get("data") or _section(data))
    with console.status("Reading the images, and training for a few steps to see what it costs"):
        section = _DATA.validate_python(stated["data"])
        split = section.load(root)
        images = len(split.train)
        if isinstance(section, ShardsData):
            images = sum(shard.rows for shard in Manifest.read(root / section.path).train)
        plan = make_plan(stated, split, images, None if budget is None else started + 3600 * budget)
    _show(plan, console)
    if not agreed:
        if not sys.stdin.isatty():
            raise RecipeError("--yes: expected it, as there is no terminal to ask for consent")
        typer.confirm("Go on?", default=True, abort=True)
    plan = _searched(plan, root, split, isinstance(section, ShardsData), console)
    Run.create(out, plan.configuration)
    plan.save(out, asked)
    run = train_generator(plan.configuration, root, out)
    taken = time.perf_counter() - started
    plan.save(out, asked, taken)
    console.print(f"Took {taken / 60:.0f} minutes; {plan.seconds / 60:.0f} were estimated.", highlight=False)
    return run


def _asked(stated: dict[str, Any], data: Path, budget: float | None) -> dict[str, Any]:
    """What a plan is made of, by name, as JSON has it."""
    set_of_images = {} if "data" in stated else {"--data": data.resolve()}
    asked: dict[str, Any] = {**_flat(stated), **set_of_images, "--budget": budget}
    return {name: json.loads(json.dumps(value, default=str)) for name, value in asked.items()}


def _check_same(file: Path, asked: dict[str, Any]) -> None:
    """See that a plan was made of what is asked for now.

    Raises:
        RecipeError: it was not; the message says what differs.
    """
    was = json.loads(file.read_text(encoding="utf-8")).get("asked")
    if was is None:  # of a version that did not keep it
        return
    if asked["--budget"] is None:
        asked = asked | {"--budget": was["--budget"]}
    differing = [
        f"{name} was {was.get(name)!r} and is {asked.get(name)!r}"
        for name in sorted(was.keys() | asked.keys())
        if was.get(name) != asked.get(name)
    ]
    if differing:
        raise RecipeError(f"{file}: was planned otherwise: {'; '.join(differing)}. Choose another --out")


def _flat(section: dict[str, Any], path: str = "") -> dict[str, Any]:
    """The leaves of nested tables by their path: "external_classifier.source"."""
    leaves: dict[str, Any] = {}
    for key, value in section.items():
        leaves |= _flat(value, f"{path}{key}.") if isinstance(value, dict) else {f"{path}{key}": value}
    return leaves


def _section(data: Path) -> dict[str, Any]:
    """The `data` section for a set that is named alone.

    Raises:
        RecipeError: it can't be told what it is.
    """
    data = data.resolve()
    if is_medmnist(data):
        return {"kind": "medmnist", "path": str(data)}
    if data.is_file() and data.suffix == ".npz":
        return {"kind": "npz", "path": str(data)}
    if (data / MANIFEST).exists():
        return {"kind": "shards", "path": str(data)}
    raise RecipeError(f"--data: expected an .npz file or a folder of shards, or a section [data] in --config: {data}")


def _with_calibration(section: dict[str, Any]) -> dict[str, Any]:
    """The section with patients to calibrate on, where its kind has none of its own."""
    if section.get("kind") in {"medmnist", "shards"}:
        return section
    return {"calibration_share": CALIBRATION_SHARE} | section


def _show(plan: Plan, console: Console) -> None:
    table = Table(show_header=False, box=None)
    for line in plan.lines():
        table.add_row(*line)
    console.print(table, highlight=False)


def _searched(plan: Plan, root: Path, split: DataSplit, streamed: bool, console: Console) -> Plan:
    """The plan with the weights that a search found, where there is one."""
    if not plan.searches or split.calibration is None:
        return plan
    configuration, found = search_weights(
        plan.configuration,
        root,
        None if streamed else split,
        split.calibration,
        lambda variant: console.print(f"search: {variant}", highlight=False),
    )
    for each in found:
        console.print(
            f"{each.variant}: {each.flipped:.0%} called negative, {each.unexplained:.2f} unexplained, "
            f"{each.changed:.2f} changed",
            highlight=False,
        )
    return plan.with_search(configuration, found)
