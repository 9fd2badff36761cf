"""The training room's share of the `medxgan` command."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.markup import escape

from medxgan.training.configuration import ConfigurationError, load_configuration, load_data_section
from medxgan.training.data.errors import DataError
from medxgan.training.data.shards import Shard, ShardWriter
from medxgan.training.processes import ProcessesError, is_first, leave
from medxgan.training.recipe import RecipeError, train_by_recipe
from medxgan.training.runs import Run, RunError
from medxgan.training.train_classifier import train_classifier
from medxgan.training.train_encoder import train_encoder
from medxgan.training.train_generator import train_generator
from medxgan.training.train_refinement import train_refinement

Config = Annotated[Path, typer.Option("--config", help="TOML file that describes the training.", dir_okay=False)]
Out = Annotated[Path, typer.Option("--out", help="Run folder; made, or gone on with.", file_okay=False)]
DataRoot = Annotated[Path, typer.Option("--data", help="Folder that paths of the data section start from.")]

train = typer.Typer(help="Train a classifier, a generator, an encoder or its refinement.", no_args_is_help=True)


@train.command("classifier")
def classifier_command(config: Config, out: Out, data: DataRoot = Path("data")) -> None:
    """Train the classifier that will be explained."""
    _train(lambda: train_classifier(load_configuration(config), data, out), config)


@train.command("generator")
def generator_command(
    config: Config,
    out: Out,
    data: DataRoot = Path("data"),
    classifier: Annotated[
        str | None,
        typer.Option(
            help="ONNX file or package.module:factory of a classifier from elsewhere: sizes, steps and weights are "
            "then chosen for it, and --data may name the set itself."
        ),
    ] = None,
    budget: Annotated[
        float | None, typer.Option(min=0, help="With --classifier: hours that all of it may take on this machine.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="With --classifier: go on without asking.")] = False,
) -> None:
    """Train the generator (and encoder) against the run's classifier; goes on from the last checkpoint."""
    if classifier is None:
        for name, given in (("--budget", budget is not None), ("--yes", yes)):
            if given:
                raise _failure(ValueError(f"{name}: expected together with --classifier"))
        _train(lambda: train_generator(load_configuration(config), data, out), config)
        return
    console = Console(stderr=True)
    _train(lambda: train_by_recipe(classifier, config, data, out, budget=budget, agreed=yes, console=console), config)


@train.command("encoder")
def encoder_command(config: Config, out: Out, data: DataRoot = Path("data")) -> None:
    """Train an encoder alone, against the run's generator."""
    _train(lambda: train_encoder(load_configuration(config), data, out), config)


@train.command("refinement")
def refinement_command(config: Config, out: Out, data: DataRoot = Path("data")) -> None:
    """Train passes that refine the encoder's guess, so that fewer steps do; goes on from the last checkpoint."""
    _train(lambda: train_refinement(load_configuration(config), data, out), config)


data = typer.Typer(help="Make data ready for training.", no_args_is_help=True)


@data.callback()
def _data() -> None:
    """Make data ready for training."""


@data.command("shard")
def shard_command(
    config: Annotated[
        list[Path],
        typer.Option(
            "--config",
            help="TOML file whose data section to read; several times for a set that comes in portions, which are read "
            "one at a time.",
            dir_okay=False,
        ),
    ],
    out: Annotated[Path, typer.Option("--out", help="Folder of the shards; made.", file_okay=False)],
    data_root: DataRoot = Path("data"),
    rows: Annotated[int, typer.Option("--rows", min=1, help="Images a shard, at most.")] = 1000,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the order that images are dealt out in.")] = 0,
) -> None:
    """Write a set of any other kind as shards, for a training that does not hold it in memory: kind = "shards".

    Its parts are made as the data section says; patients stay on one side.
    """
    try:
        writer = ShardWriter(out, rows, seed)
        for file in config:
            writer.add(load_data_section(file).load(data_root))
        manifest = writer.finish()
    except ValidationError as error:
        raise _failure(ValueError(_problems(file, error))) from error
    except (ConfigurationError, DataError, FileNotFoundError) as error:
        raise _failure(error) from error
    for part in ("train", "calibration", "test"):
        shards: tuple[Shard, ...] = getattr(manifest, part)
        Console().print(f"{part}: {sum(shard.rows for shard in shards)} images in {len(shards)} shards")


def _train(training: Callable[[], Run], config: Path) -> None:
    try:
        run = training()
    except ValidationError as error:
        raise _failure(ValueError(_problems(config, error))) from error
    except (ConfigurationError, RunError, DataError, ProcessesError, RecipeError, FileNotFoundError) as error:
        raise _failure(error) from error
    if is_first():
        Console().print(f"{run.folder}")
    leave()


def _problems(config: Path, error: ValidationError) -> str:
    problems = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
    return f"{config}: {problems}"


def _failure(error: Exception) -> typer.Exit:
    Console(stderr=True).print(f"[red]error:[/red] {escape(str(error))}", highlight=False, soft_wrap=True)
    return typer.Exit(1)
