"""The command `medxgan export-triton`."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from medxgan.bundle import BundleError
from medxgan.server.errors import MedxganError
from medxgan.server.triton.repository import write_repository


def export_triton(
    models: Annotated[Path, typer.Argument(help="Folder of the bundles, NAME/VERSION/.", file_okay=False)],
    out: Annotated[Path, typer.Option("--out", help="Folder of the model repository to write.", file_okay=False)],
    maps: Annotated[
        list[str] | None, typer.Option("--map", help="A map, such as grad_cam, to have a model NAME.MAP of; repeat it.")
    ] = None,
    progress: Annotated[
        bool, typer.Option(help="Whether to write models NAME.progress too, which stream how far they are.")
    ] = True,
) -> None:
    """Write bundles as a model repository of NVIDIA Triton, whose Python backend then runs them.

    Triton's Python needs medxgan with the extra server: see docs/portability.md.
    """
    console = Console(stderr=True)
    try:
        names = write_repository(models, out, maps or [], progress=progress)
    except (BundleError, FileExistsError, MedxganError) as error:
        console.print(f"Error: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(1) from error
    console.print(f"Wrote {out}: {', '.join(names)}.", markup=False, highlight=False, soft_wrap=True)
