"""`medxgan explain`: pictures, a panel and a report for each image."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console

from medxgan.client.command.connection import (
    Access,
    AuthorityOption,
    CertificateOption,
    KeyOption,
    ModelsOption,
    Provider,
    ProviderOption,
    ServerOption,
    TlsOption,
    TokenFileOption,
    connect,
)
from medxgan.client.command.folders import output_folders
from medxgan.client.command.terminal import FAILED, complain, known_errors

if TYPE_CHECKING:
    from medxgan.client.client import Client
    from medxgan.client.geometry import PixelSpacing
    from medxgan.client.results import ModelDescription


def explain(
    context: typer.Context,
    images: Annotated[
        list[str],
        typer.Argument(
            metavar="IMAGE...",
            help="PNG, JPEG, TIFF or DICOM files; or studies: folders, DICOMDIRs, or DICOMweb addresses such as "
            "https://archive/dicom-web/studies/UID, whose films are explained one by one.",
        ),
    ],
    model: Annotated[str, typer.Option(help="Name of the model; the server's default if left out.")] = "",
    version: Annotated[str, typer.Option(help="Version of the model; the highest if left out.")] = "",
    server: ServerOption = None,
    models: ModelsOption = None,
    provider: ProviderOption = Provider.AUTO,
    tls: TlsOption = False,
    tls_authority: AuthorityOption = None,
    tls_certificate: CertificateOption = None,
    tls_key: KeyOption = None,
    token_file: TokenFileOption = None,
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Where the files go; a folder for each image where there are several.")
    ] = Path("out"),
    method: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="medxgan, the counterpart without pathology; or a map, such as grad-cam, integrated-gradients, "
            "occlusion, evidence; or all. May be given several times: all come from one inversion. If left out: "
            "medxgan, or the default maps of a model without a generator.",
            show_default=False,
        ),
    ] = None,
    frame: Annotated[
        int | None, typer.Option(min=1, help="Frame of a multi-frame file, from 1; the only one if left out.")
    ] = None,
    pixel_spacing: Annotated[
        str | None,
        typer.Option(
            metavar="ROW,COLUMN",
            help="Distances between rows and between columns in mm, of a PNG, JPEG or TIFF; DICOM states its own.",
        ),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(min=0, help="Gradient steps of the inversion; the bundle's default if left out."),
    ] = None,
    solver: Annotated[
        Literal["adam", "lbfgs"] | None,
        typer.Option(help="How the inversion brings its loss down; the bundle's default if left out."),
    ] = None,
    learning_rate: Annotated[
        float | None,
        typer.Option(help="How far its first step moves each latent; the bundle's default if left out."),
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
    trajectory: Annotated[
        int | None,
        typer.Option(
            min=0,
            metavar="PICTURES",
            help="Pictures of the way from negative to positive, as trajectory.gif; none if left out.",
        ),
    ] = None,
    target: Annotated[
        str, typer.Option(metavar="CLASS", help="Class to explain, by name; the positive class if left out.")
    ] = "",
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
    stat: Annotated[
        bool, typer.Option("--stat", help="Urgent: goes before others where requests wait. It changes no result.")
    ] = False,
    film_size: Annotated[
        bool, typer.Option("--film-size", help="Also write each map at the size of the film, as NAME-film.png.")
    ] = False,
    name_files: Annotated[
        bool, typer.Option("--name-files", help="Name the file in explanation.json; else its SHA-256 alone is there.")
    ] = False,
    archive_user: Annotated[
        str | None, typer.Option(metavar="NAME", help="For HTTP's basic authentication at archives of DICOMweb.")
    ] = None,
    archive_password_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="File with the password of --archive-user.")
    ] = None,
) -> None:
    """Explain images: the same patient without the pathology, and what differs; or what the score depends on."""
    from medxgan.client.command.chosen_maps import choose_maps, refuse_foreign_options
    from medxgan.client.command.one_image import Wish, explain_image
    from medxgan.client.command.studies import images_of
    from medxgan.client.errors import MedxganClientError
    from medxgan.client.pictures.files import remove_own_files
    from medxgan.client.results import (
        IntegratedGradientsSettings,
        InversionSettings,
        OcclusionSettings,
        Settings,
    )
    from medxgan.client.studies.errors import StudyError
    from medxgan.client.vocabulary import Priority, Solver

    spacing = None if pixel_spacing is None else _spacing(pixel_spacing)
    settings = Settings(
        target_class=target,
        seed=seed,
        inversion=InversionSettings(
            steps, learning_rate, reconstruction_weight, restarts, None if solver is None else Solver(solver)
        ),
        integrated_gradients=IntegratedGradientsSettings(path_steps, baseline),
        occlusion=OcclusionSettings(window, stride, occlusion_level),
    )
    access = Access(tls, tls_authority, tls_certificate, tls_key, token_file)
    sheets: list[Path] = []
    with known_errors():
        # Read before anything is asked: a study that can't be read is heard of at once.
        files = images_of(images, archive_user, archive_password_file, several_frames=frame is not None)
    with known_errors(), connect(context, server, models, provider, access, model) as client:
        # Asked once: every image is explained by the same version, and an unknown model is heard of before any work.
        description = _describe(client, model, version)
        chosen = choose_maps(method or [], description, target=target, restarts=restarts or 1)
        refuse_foreign_options(context, chosen, description)
        priority = Priority.STAT if stat else Priority.ROUTINE
        wish = Wish(chosen, settings, trajectory, priority, frame, spacing, film_size, name_files)
        for image, folder in zip(files, output_folders([Path(each.name) for each in files], out), strict=True):
            try:
                # First: where this image fails, there must be no pictures of another patient to take for it.
                remove_own_files(out)
                remove_own_files(folder)
                sheet, table = explain_image(client, description, image, folder, wish)
            except (MedxganClientError, StudyError) as error:
                complain(f"{image.label}: {error}")
            except OSError as error:
                complain(f"{error.filename or image.label}: {error.strerror or error}")
            else:
                sheets.append(sheet)
                Console().print(table)
                typer.echo(sheet)
    if len(sheets) < len(files):
        raise typer.Exit(FAILED)


def _describe(client: "Client", model: str, version: str) -> "ModelDescription":
    """The model to use; where none was named and the server has no default, the error lists what there is."""
    from medxgan.client.errors import InvalidRequestError, MedxganClientError, NotFoundError, UnsupportedError

    try:
        return client.model(model, version)
    except (InvalidRequestError, NotFoundError, UnsupportedError) as error:
        served = client.models()
        if model or any(entry.is_default for entry in served):
            raise
        names = ", ".join(dict.fromkeys(entry.model.name for entry in served)) or "none"
        raise MedxganClientError(f"the server has no default model; name one with --model: {names}") from error


def _spacing(text: str) -> "PixelSpacing":
    from medxgan.client.geometry import PixelSpacing

    try:
        row, column = (float(part) for part in text.split(","))
    except ValueError as error:
        raise typer.BadParameter(f"expected ROW,COLUMN in mm, got {text!r}", param_hint="--pixel-spacing") from error
    return PixelSpacing(row, column)
