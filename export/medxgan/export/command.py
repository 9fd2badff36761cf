"""The command `medxgan export`."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from medxgan.export.bundle import export_bundle
from medxgan.export.errors import ExportError
from medxgan.training.runs import RunError, load_trained_model


def export(
    run: Annotated[Path, typer.Argument(help="Folder of the training run.", exists=True, file_okay=False)],
    out: Annotated[Path, typer.Option(help="Folder of the bundle to write: models/NAME/VERSION.")],
) -> None:
    """Write a model bundle from a training run: graphs that need no PyTorch, checked against PyTorch."""
    console = Console(stderr=True)
    try:
        with console.status("Tracing gradients, writing graphs and comparing them with PyTorch"):
            export_bundle(load_trained_model(run), out)
    except (RunError, ExportError) as error:
        console.print(f"Error: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(1) from error
    console.print(f"Wrote {out}: every graph agrees with PyTorch.", markup=False, highlight=False, soft_wrap=True)
