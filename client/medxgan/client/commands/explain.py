"""`medxgan explain`: pictures, a panel and a report for each image."""

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
from medxgan.client.commands.methods import Method, refuse_foreign_options
from medxgan.client.commands.terminal import FAILED, complain, known_errors


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
    method: Annotated[
        Method, typer.Option(help="The counterpart without pathology, a method of attribution, or all of these.")
    ] = Method.MEDXGAN,
    steps: Annotated[
        int | None,
        typer.Option(min=0, help="Gradient steps of the inversion; the bundle's default if left out."),
    ] = None,
    learning_rate: Annotated[
        float | None, typer.Option(help="Adam's learning rate; the bundle's default if left out.")
    ] = None,
    reconstruction_weight: Annotated[
        float | None,
        typer.Option(help="Weight of the squared error against the class term; the bundle's default if left out."),
    ] = None,
    restarts: Annotated[
        int | None,
        typer.Option(min=0, help="Inversions from different starts; 2 or more tell how uncertain the difference is."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**64 - 1, help="Seed of the inversion's random starts.")] = 0,
    frames: Annotated[
        int | None,
        typer.Option(min=0, help="Pictures of the way from negative to positive, as trajectory.gif; none if left out."),
    ] = None,
    target: Annotated[
        int | None,
        typer.Option(min=0, help="Index of the classifier's output to attribute; the positive class if left out."),
    ] = None,
    path_steps: Annotated[
        int | None, typer.Option(min=0, help="Points of the path of integrated gradients; 50 if left out.")
    ] = None,
    baseline: Annotated[
        float | None,
        typer.Option(help="Grey level from which integrated gradients begin, -1 to 1; -1 (black) if left out."),
    ] = None,
    window: Annotated[
        int | None, typer.Option(min=0, help="Side of the occluding window in pixels; an eighth of S if left out.")
    ] = None,
    stride: Annotated[
        int | None, typer.Option(min=0, help="Pixels between windows; half a window if left out.")
    ] = None,
    occlusion_level: Annotated[
        float | None, typer.Option(help="Grey level of the window, -1 to 1; -1 (black) if left out.")
    ] = None,
) -> None:
    """Explain images: the same patient without the pathology, and what differs; or what the score depends on."""
    refuse_foreign_options(context, method)

    from medxgan.client.commands.one_image import (
        AttributionOptions,
        InversionOptions,
        attribute_image,
        compare_methods,
        explain_image,
    )
    from medxgan.client.errors import MedxganClientError
    from medxgan.client.results import AttributionMethod, IntegratedGradientsSettings, OcclusionSettings

    inversion = InversionOptions(steps, learning_rate, reconstruction_weight, restarts, seed)
    options = AttributionOptions(
        target,
        IntegratedGradientsSettings(path_steps, baseline),
        OcclusionSettings(window, stride, occlusion_level),
        inversion,
    )
    panels: list[Path] = []
    with known_errors(), connect(context, server, models, provider) as client:
        # Asked once: every image is explained by the same version, and an unknown model is heard of before any work.
        description = client.model(model, version)
        for image, folder in zip(images, output_folders(images, out), strict=True):
            try:
                match method:
                    case Method.MEDXGAN:
                        panel, table = explain_image(client, description, image, folder, inversion, frames)
                    case Method.ALL:
                        panel, table = compare_methods(client, description, image, folder, options)
                    case _:
                        single = AttributionMethod[method.name]
                        panel, table = attribute_image(client, description, image, folder, single, options)
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
