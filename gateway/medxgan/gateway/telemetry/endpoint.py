"""What a gateway tells over HTTP, on loopback: a status page, figures for Prometheus, probes."""

import html
import json
import socketserver
import threading
from collections.abc import Callable, Iterable
from http import HTTPStatus
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server
from wsgiref.types import StartResponse, WSGIEnvironment

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import CollectorRegistry

from medxgan.gateway.settings import host_and_port
from medxgan.gateway.telemetry.reading import Reading
from medxgan.gateway.telemetry.status import Status

_TEXT = "text/plain; charset=utf-8"
_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta http-equiv="refresh" content="10"><title>medxgan gateway</title>
<h1>medxgan gateway</h1><p>Research use only. Not a medical device.</p><pre>{}</pre></html>
"""


class TelemetryEndpoint:
    """Answers `/`, `/status`, `/metrics`, `/health/live`, `/health/ready` and `/films…` from threads of its own.

    Args:
        address: HOST:PORT; port 0 takes a free one.
        registry: the figures.
        status: asked at every view.
        is_ready: whether films are taken, asked at every probe.
        reading: answers `/films…`; None where nobody may read films.

    Raises:
        OSError: the address can't be listened on.
    """

    def __init__(
        self,
        address: str,
        registry: CollectorRegistry,
        status: Callable[[], Status],
        is_ready: Callable[[], bool],
        reading: Reading | None = None,
    ) -> None:
        self._registry, self._status, self._is_ready, self._reading = registry, status, is_ready, reading
        host, port = host_and_port(address)
        self._server = make_server(host, port, self._answer, server_class=_ThreadingServer, handler_class=_Quiet)
        self._thread = threading.Thread(target=self._server.serve_forever, name="telemetry", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """That it listens on."""
        return self._server.server_port

    def stop(self) -> None:
        """Answer no more."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _answer(self, environment: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        shown = environment.get("HTTP_AUTHORIZATION", "")
        status, kind, body = self._found(environment["REQUEST_METHOD"], environment["PATH_INFO"], shown)
        start(f"{status.value} {status.phrase}", [("Content-Type", kind), ("Content-Length", str(len(body)))])
        return [b"" if environment["REQUEST_METHOD"] == "HEAD" else body]

    def _found(self, method: str, path: str, shown: str) -> tuple[HTTPStatus, str, bytes]:
        if method not in {"GET", "HEAD"}:
            return HTTPStatus.METHOD_NOT_ALLOWED, _TEXT, b"expected GET\n"
        if self._reading is not None and (path + "/").startswith("/films/"):
            return self._reading.answer(path, shown)
        match path:
            case "/":
                page = _PAGE.format(html.escape("\n".join(self._status().lines())))
                return HTTPStatus.OK, "text/html; charset=utf-8", page.encode()
            case "/status":
                return HTTPStatus.OK, "application/json", json.dumps(self._status().as_dict()).encode()
            case "/metrics":
                return HTTPStatus.OK, CONTENT_TYPE_LATEST, generate_latest(self._registry)
            case "/health/live":
                return HTTPStatus.OK, _TEXT, b"live\n"
            case "/health/ready":
                if self._is_ready():
                    return HTTPStatus.OK, _TEXT, b"ready\n"
                return HTTPStatus.SERVICE_UNAVAILABLE, _TEXT, b"no room on the disk\n"
            case _:
                return HTTPStatus.NOT_FOUND, _TEXT, b"expected /, /status, /metrics, /health/live or /health/ready\n"


class _ThreadingServer(socketserver.ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    timeout = 10
    """Seconds after which a caller that says nothing is left."""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the signature is the library's
        """A probe every few seconds is no news, and a path is a caller's text."""
