"""The training room's share of the `medxgan` command."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError
from rich.console import Console

from medxgan.training.configuration import TrainingConfig, load_configuration
from medxgan.training.data.errors import DataError
from medxgan.training.processes import ProcessesError, is_first, leave
from medxgan.training.runs import Run, RunError
from medxgan.training.train_classifier import train_classifier
from medxgan.training.train_encoder import train_encoder
from medxgan.training.train_generator import train_generator

Config = Annotated[Path, typer.Option("--config", help="TOML file that describes the training.", dir_okay=False)]
Out = Annotated[Path, typer.Option("--out", help="Run folder; made, or gone on with.", file_okay=False)]
DataRoot = Annotated[Path, typer.Option("--data", help="Folder that paths of the data section start from.")]

train = typer.Typer(help="Train a classifier, a generator or an encoder.", no_args_is_help=True)


@train.command("classifier")
def classifier_command(config: Config, out: Out, data: DataRoot = Path("data")) -> None:
    """Train the classifier that will be explained."""
    _train(train_classifier, config, data, out)


@train.command("generator")
def generator_command(config: Config, out: Out, data: DataRoot = Path("data")) -> None:
    """Train the generator (and encoder) against the run's classifier; goes on from the last checkpoint."""
    _train(train_generator, config, data, out)


@train.command("encoder")
def encoder_command(config: Config, out: Out, data: DataRoot = Path("data")) -> None:
    """Train an encoder alone, against the run's generator."""
    _train(train_encoder, config, data, out)


def _train(training: Callable[[TrainingConfig, Path, Path], Run], config: Path, data: Path, out: Path) -> None:
    try:
        run = training(load_configuration(config), data, out)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
        raise _failure(ValueError(f"{config}: {problems}")) from error
    except (RunError, DataError, ProcessesError, FileNotFoundError) as error:
        raise _failure(error) from error
    if is_first():
        Console().print(f"{run.folder}")
    leave()


def _failure(error: Exception) -> typer.Exit:
    Console(stderr=True).print(f"[red]error:[/red] {error}", highlight=False)
    return typer.Exit(1)
