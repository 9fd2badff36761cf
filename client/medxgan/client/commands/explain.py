"""`medxgan explain`: pictures, a panel and a report for each image."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from medxgan.client.commands.connection import (
    DEFAULT_MODELS,
    ModelsOption,
    Provider,
    ProviderOption,
    ServerOption,
    connect,
)
from medxgan.client.commands.folders import output_folders
from medxgan.client.commands.terminal import FAILED, complain, known_errors


class Method(StrEnum):
    """How an image is explained."""

    MEDXGAN = "medxgan"
    GRAD_CAM = "grad-cam"
    GRADIENT = "gradient"
    GUIDED_BACKPROPAGATION = "guided-backpropagation"


def explain(
    context: typer.Context,
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE...", help="PNG, JPEG, TIFF or DICOM files.")],
    model: Annotated[str, typer.Option(help="Name of the model; needed where several are served.")] = "",
    version: Annotated[str, typer.Option(help="Version of the model; the highest if left out.")] = "",
    server: ServerOption = None,
    models: ModelsOption = DEFAULT_MODELS,
    provider: ProviderOption = Provider.AUTO,
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Where the files go; a folder for each image where there are several.")
    ] = Path("out"),
    steps: Annotated[int | None, typer.Option(help="Gradient steps; the bundle's default if left out.")] = None,
    learning_rate: Annotated[
        float | None, typer.Option(help="Adam's learning rate; the bundle's default if left out.")
    ] = None,
    reconstruction_weight: Annotated[
        float | None,
        typer.Option(help="Weight of the squared error against the class term; the bundle's default if left out."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**64 - 1, help="Seed of the random start.")] = 0,
    method: Annotated[Method, typer.Option(help="The inversion, or an attribution by gradients.")] = Method.MEDXGAN,
) -> None:
    """Explain images: the same patient without the pathology, and what differs."""
    settings = {"steps": steps, "learning-rate": learning_rate, "reconstruction-weight": reconstruction_weight}
    if method is not Method.MEDXGAN:
        for name, value in settings.items():
            if value is not None:
                raise typer.BadParameter("is for --method medxgan", param_hint=f"--{name}")

    from medxgan.client.commands.one_image import InversionOptions, attribute_image, explain_image
    from medxgan.client.errors import MedxganClientError
    from medxgan.client.results import AttributionMethod

    panels: list[Path] = []
    with known_errors(), connect(context, server, models, provider) as client:
        # Asked once: every image is explained by the same version, and an unknown model is heard of before any work.
        description = client.model(model, version)
        for image, folder in zip(images, output_folders(images, out), strict=True):
            try:
                if method is Method.MEDXGAN:
                    options = InversionOptions(steps, learning_rate, reconstruction_weight, seed)
                    panel, table = explain_image(client, description, image, folder, options)
                else:
                    panel, table = attribute_image(client, description, image, folder, AttributionMethod[method.name])
            except MedxganClientError as error:
                complain(f"{image}: {error}")
            except OSError as error:
                complain(f"{error.filename or image}: {error.strerror or error}")
            else:
                panels.append(panel)
                Console().print(table)
                typer.echo(panel)
    if len(panels) < len(images):
        raise typer.Exit(FAILED)
