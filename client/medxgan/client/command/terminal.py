"""How the command speaks: results on standard output, progress and errors on standard error."""

from collections.abc import Iterator
from contextlib import contextmanager

import typer
from rich.console import Console

FAILED, USAGE = 1, 2
"""Exit codes: something failed; the command was not used as it must be."""


def standard_error() -> Console:
    """A console on standard error as it is now."""
    return Console(stderr=True)


def complain(message: str) -> None:
    """Print an error."""
    typer.secho(f"error: {message}", fg=typer.colors.RED, err=True)


@contextmanager
def known_errors() -> Iterator[None]:
    """End the command with a sentence, not a traceback, where what went wrong is known."""
    from medxgan.client.command.embedded import EmbeddedServerError
    from medxgan.client.command.install import InstallError
    from medxgan.client.errors import MedxganClientError, MissingExtraError
    from medxgan.client.studies.errors import StudyError

    try:
        yield
    except MissingExtraError as error:
        complain(str(error))
        raise typer.Exit(USAGE) from error
    except (EmbeddedServerError, InstallError, MedxganClientError, StudyError) as error:
        complain(str(error))
        raise typer.Exit(FAILED) from error
