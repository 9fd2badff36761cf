"""The command `medxgan web`."""

import logging
import webbrowser
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
import uvicorn

from medxgan.client.async_client import AsyncClient
from medxgan.client.client import Client
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
    reached,
)
from medxgan.client.command.terminal import known_errors
from medxgan.client.loopback import is_loopback, keeps_films_private
from medxgan.web.application import reading_room
from medxgan.web.archive import StudyArchive
from medxgan.web.errors import ReportError
from medxgan.web.reports.report_folder import ReportFolder
from medxgan.web.settings import MEGABYTE, Limits, RoomSettings

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
DEFAULTS = Limits()


def web(
    context: typer.Context,
    server: ServerOption = None,
    models: ModelsOption = None,
    provider: ProviderOption = Provider.AUTO,
    tls: TlsOption = False,
    tls_authority: AuthorityOption = None,
    tls_certificate: CertificateOption = None,
    tls_key: KeyOption = None,
    token_file: TokenFileOption = None,
    address: Annotated[
        str, typer.Option(metavar="HOST:PORT", envvar="MEDXGAN_WEB_ADDRESS", help="Where browsers reach this.")
    ] = "127.0.0.1:8080",
    host_name: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A name by which browsers reach it beyond loopback. May be given again."),
    ] = None,
    certificate: Annotated[
        Path | None, typer.Option(metavar="FILE", help="This reading room's certificate (PEM): browsers speak TLS.")
    ] = None,
    certificate_key: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The key (PEM) of that certificate.")
    ] = None,
    access_token_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            envvar="MEDXGAN_WEB_ACCESS_TOKEN_FILE",
            help="File with the token that a person signs in with. Without it nobody is asked.",
        ),
    ] = None,
    own_tokens: Annotated[
        bool,
        typer.Option(
            "--own-tokens",
            help="Everyone signs in with a token of their own of the medxgan server, which hears who asks.",
        ),
    ] = False,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Do without TLS or without a token beyond loopback, as behind a proxy.")
    ] = False,
    behind_tls: Annotated[
        bool, typer.Option("--behind-tls", help="A proxy before this speaks TLS with browsers: cookies are Secure.")
    ] = False,
    folder: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="A folder of explanations, such as `medxgan explain` writes: the gallery."),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="What `medxgan evaluate --report` or `medxgan cohort --out` wrote: a table of its films.",
        ),
    ] = None,
    report_films: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="The films of --report, found by their names: everyone who comes in may open them."
        ),
    ] = None,
    gateway: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            envvar="MEDXGAN_WEB_GATEWAY",
            help="The status page of a gateway, http://127.0.0.1:9464: everyone who comes in may open its films.",
        ),
    ] = None,
    gateway_token_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="File with the token that the gateway asks of those who read its films."),
    ] = None,
    archive: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            envvar="MEDXGAN_WEB_ARCHIVE",
            help="An archive's DICOMweb, https://archive/dicom-web: everyone who comes in may open its studies.",
        ),
    ] = None,
    archive_user: Annotated[
        str | None, typer.Option(metavar="NAME", help="For HTTP's basic authentication at the archive.")
    ] = None,
    archive_password_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="File with the password of --archive-user.")
    ] = None,
    sample: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="A film that everyone who comes in may open. May be given several times."),
    ] = None,
    film_megabytes: Annotated[int, typer.Option(min=1, help="Size of a file that may come in.")] = DEFAULTS.film_bytes
    // MEGABYTE,
    films: Annotated[int, typer.Option(min=1, help="Films that a session may hold.")] = DEFAULTS.films,
    sessions: Annotated[int, typer.Option(min=1, help="Sessions at a time.")] = DEFAULTS.sessions,
    session_minutes: Annotated[
        float, typer.Option(min=0.1, help="Minutes without a request after which a session and its films are gone.")
    ] = DEFAULTS.session_seconds / 60,
    held_megabytes: Annotated[
        int, typer.Option(min=1, help="Size of all films and explanations that are held in memory.")
    ] = DEFAULTS.held_bytes // MEGABYTE,
    open_browser: Annotated[bool, typer.Option("--open", help="Open it in the browser of this machine.")] = False,
) -> None:
    """See, compare and question explanations in a browser, until Ctrl-C.

    Research use only. Not a medical device.
    """
    host, port = _host_and_port(address)
    secure = certificate is not None or behind_tls
    if (certificate is None) != (certificate_key is None):
        raise typer.BadParameter("a certificate goes with its key", param_hint="--certificate-key")
    beyond = not is_loopback(host)
    if own_tokens and (server is None or token_file is not None or access_token_file is not None):
        raise typer.BadParameter(
            "goes with --server, without --token-file and --access-token-file", param_hint="--own-tokens"
        )
    asks = own_tokens or access_token_file is not None
    if beyond and not insecure and not (secure and asks):
        raise typer.BadParameter(
            "beyond loopback expected --access-token-file or --own-tokens, and --certificate or --behind-tls; "
            "or say --insecure",
            param_hint="--address",
        )
    for file in (*(sample or ()), *([] if folder is None else [folder])):
        if not file.exists():
            raise typer.BadParameter(f"there is no {file}", param_hint="--folder" if file == folder else "--sample")
    if report_films is not None and not report_films.is_dir():
        raise typer.BadParameter(f"expected a folder, got {report_films}", param_hint="--report-films")
    if report_films is not None and report is None:
        raise typer.BadParameter("goes with --report", param_hint="--report-films")
    if (gateway is None) != (gateway_token_file is None):
        raise typer.BadParameter("goes with --gateway-token-file", param_hint="--gateway")
    if gateway is not None and not keeps_films_private(gateway):
        raise typer.BadParameter("expected an https:// address, or an http:// one on loopback", param_hint="--gateway")
    if archive is None and (archive_user is not None or archive_password_file is not None):
        raise typer.BadParameter("goes with --archive", param_hint="--archive-user")
    if archive_password_file is not None and archive_user is None:
        raise typer.BadParameter("goes with --archive-user", param_hint="--archive-password-file")
    settings = RoomSettings(
        hosts=known_hosts(host, host_name or ()),
        secure=secure,
        access_token=_token(access_token_file, "--access-token-file"),
        own_tokens=own_tokens,
        samples=tuple(sample or ()),
        folder=folder,
        report=report,
        report_films=report_films,
        gateway=gateway,
        gateway_token=_token(gateway_token_file, "--gateway-token-file"),
        archive=archive,
        archive_user=archive_user,
        archive_password_file=archive_password_file,
        limits=Limits(
            film_bytes=film_megabytes * MEGABYTE,
            films=films,
            sessions=sessions,
            held_bytes=held_megabytes * MEGABYTE,
            session_seconds=session_minutes * 60,
        ),
    )
    access = Access(tls, tls_authority, tls_certificate, tls_key, token_file)
    with known_errors():
        _check_report(report)
        if archive is not None:
            StudyArchive(archive, archive_user, archive_password_file, 0)
    with known_errors(), reached(context, server, models, provider, access) as (upstream, arguments), _logging():
        # Credentials that can't be used are heard of now, and not when the application starts.
        Client(upstream, **arguments).close()

        def connect(token: str) -> AsyncClient:
            return AsyncClient(upstream, patience=5.0, **(arguments | {"token": token} if token else arguments))

        app = reading_room(settings, connect)
        config = uvicorn.Config(
            app,
            host=host,
            port=port,
            ssl_certfile=certificate,
            ssl_keyfile=certificate_key,
            # A path holds ids of films; requests are not logged at all.
            access_log=False,
            server_header=False,
            log_config=None,
            timeout_graceful_shutdown=2,
            ws="none",
        )
        _Announcing(config, open_browser=open_browser, scheme="https" if certificate is not None else "http").run()


def _check_report(folder: Path | None) -> None:
    if folder is None:
        return
    try:
        ReportFolder(folder, None, 0).report()
    except ReportError as error:
        raise typer.BadParameter(f"{folder}: {error}", param_hint="--report") from error


class _Announcing(uvicorn.Server):
    """A server that says where it is once it listens."""

    def __init__(self, config: uvicorn.Config, *, open_browser: bool, scheme: str) -> None:
        super().__init__(config)
        self._open_browser, self._scheme = open_browser, scheme

    async def startup(self, sockets: Any = None) -> None:
        """Listen, and say so."""
        await super().startup(sockets)
        for listener in self.servers:
            host, port = listener.sockets[0].getsockname()[:2]
            address = f"{self._scheme}://{f'[{host}]' if ':' in host else host}:{port}"
            typer.echo(f"The reading room is open: {address}")
            if self._open_browser:
                webbrowser.open(address)


@contextmanager
def _logging() -> Iterator[None]:
    """This room's log lines to standard error; other libraries speak from warnings up."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    root, own = logging.getLogger(), logging.getLogger("medxgan.web")
    root.addHandler(handler)
    own.setLevel(logging.INFO)
    try:
        yield
    finally:
        root.removeHandler(handler)


def known_hosts(host: str, names: Iterable[str]) -> frozenset[str]:
    """Names by which browsers may reach a room that listens at `host`; empty, for any, where it is far and has none."""
    named = frozenset(names)
    return named | LOOPBACK | {host} if named or is_loopback(host) else named


def _host_and_port(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isdigit() or int(port) > 65535:
        raise typer.BadParameter(f"expected HOST:PORT, got {address!r}", param_hint="--address")
    return host, int(port)


def _token(file: Path | None, option: str) -> str:
    if file is None:
        return ""
    try:
        token = file.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise typer.BadParameter(f"{file}: no token can be read there", param_hint=option) from error
    if not token:
        raise typer.BadParameter(f"{file}: expected a token", param_hint=option)
    return token
