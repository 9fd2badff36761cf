"""The command `medxgan audit`."""

from pathlib import Path
from typing import Annotated

import typer

from medxgan.server.errors import AuditError
from medxgan.server.telemetry.audit import verify

audit_app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)


@audit_app.callback()
def root() -> None:
    """What a server noted of who asked for what."""


@audit_app.command("verify")
def verify_trail(
    file: Annotated[Path, typer.Argument(help="Audit trail that `medxgan serve --audit` wrote.")],
    last_hash: Annotated[
        str, typer.Option(help="A hash that the trail held at an earlier time: it has to be in it still.")
    ] = "",
) -> None:
    """Check that no line of an audit trail was changed, taken out or put in.

    Ends with status 1, naming the first line that is not as it was written. That the end was not cut off, nor all of it
    written anew, is shown by a hash that was noted elsewhere: --last-hash.
    """
    try:
        found = verify(file, last_hash)
        if found.broken is not None:
            number, reason = found.broken
            raise AuditError(f"{file}: line {number}: {reason}; {found.records} lines before it are whole")
        if last_hash and not found.holds_noted:
            raise AuditError(f"{file}: no line has the hash {last_hash}: its end was cut off, or it was written anew")
    except AuditError as error:
        typer.echo(f"medxgan audit: {error}", err=True)
        raise typer.Exit(1) from error
    typer.echo(f"{found.records} records, whole; the last has the hash {found.last_hash}")
