"""The commands `medxgan export`, `medxgan export-classifier` and `medxgan export-onnx`."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError
from rich.console import Console

from medxgan.bundle import BundleError
from medxgan.export.bundle import export_bundle
from medxgan.export.errors import ExportError
from medxgan.export.one_file import write_one_file
from medxgan.export.sealing import export_measured_run
from medxgan.training.configuration import ConfigurationError, load_served_classifier
from medxgan.training.load_classifier import ClassifierSourceError
from medxgan.training.runs import RunError
from medxgan.training.served_classifier import served_classifier

Out = Annotated[Path, typer.Option("--out", help="Folder of the bundle to write: models/NAME/VERSION.")]


def export(
    run: Annotated[Path, typer.Argument(help="Folder of the training run.", exists=True, file_okay=False)], out: Out
) -> None:
    """Write the bundle of a training run that has been evaluated: graphs that need no PyTorch, checked against it."""
    _export(lambda: export_measured_run(run, out), out)


def export_classifier(
    config: Annotated[Path, typer.Option(help="TOML file with the sections image, classes and card.", dir_okay=False)],
    out: Out,
    source: Annotated[
        str | None,
        typer.Argument(
            help="package.module:factory, or an ONNX file; by default as the file's section external_classifier says."
        ),
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(help="State dict as safetensors, for a factory.", dir_okay=False)
    ] = None,
) -> None:
    """Write a model bundle from a classifier that was trained elsewhere: it can be attributed without a generator."""

    def write() -> None:
        export_bundle(served_classifier(load_served_classifier(config, source, weights)), out)

    try:
        _export(write, out)
    except ValidationError as error:
        problems = "; ".join(
            # What concerns two sections names them itself.
            "".join(f"{key}: " for key in [".".join(map(str, item["loc"]))] if key)
            + item["msg"].removeprefix("Value error, ")
            for item in error.errors()
        )
        raise _failure(f"{config}: {problems}") from error
    except ConfigurationError as error:
        raise _failure(str(error)) from error
    except FileNotFoundError as error:
        raise _failure(f"no such file: {error.filename}") from error


def export_onnx(
    bundle: Annotated[Path, typer.Argument(help="Folder of the bundle: models/NAME/VERSION.", file_okay=False)],
    out: Annotated[Path, typer.Option("--out", help="File to write, such as explain.onnx.", dir_okay=False)],
    defaults: Annotated[
        bool,
        typer.Option(help="Whether settings may be left out; not every runtime takes an input that has a default."),
    ] = True,
) -> None:
    """Write a bundle's whole explanation as one ONNX file, the inversion a loop in it, for runtimes without medxgan.

    A server of the bundle is faster, and the only way to its other maps: see docs/portability.md.
    """
    console = Console(stderr=True)
    try:
        with console.status("Writing one file that agrees with the bundle's graphs"):
            write_one_file(bundle, out, with_defaults=defaults)
    except (BundleError, ExportError) as error:
        raise _failure(str(error)) from error
    size = out.stat().st_size / 2**20
    console.print(f"Wrote {out}, {size:.1f} MiB.", markup=False, highlight=False, soft_wrap=True)


def _export(write: Callable[[], None], out: Path) -> None:
    console = Console(stderr=True)
    try:
        with console.status("Writing graphs that agree with PyTorch"):
            write()
    except (BundleError, RunError, ClassifierSourceError, ExportError) as error:
        raise _failure(str(error)) from error
    console.print(f"Wrote {out}: every graph agrees with PyTorch.", markup=False, highlight=False, soft_wrap=True)


def _failure(message: str) -> typer.Exit:
    Console(stderr=True).print(f"Error: {message}", style="red", markup=False, highlight=False, soft_wrap=True)
    return typer.Exit(1)
