"""What a server tells over HTTP: figures for Prometheus, and whether it lives and is ready, for probes."""

import socket
import socketserver
import threading
from collections.abc import Callable, Iterable
from http import HTTPStatus
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server
from wsgiref.types import StartResponse, WSGIEnvironment

from prometheus_client import CONTENT_TYPE_LATEST

_TEXT = "text/plain; charset=utf-8"


class TelemetryEndpoint:
    """Answers `/metrics`, `/v2/health/live|ready` and `/v2/models/NAME/ready` on a port and from threads of its own.

    The probes have the names of the Open Inference Protocol, so that what probes Triton probes this. Answers hold no
    patient data; the port still tells how much is asked: it belongs on a network for operators.

    Args:
        address: HOST:PORT; port 0 takes a free one.
        figures: gives the figures, in the text form of Prometheus.
        is_ready: whether requests are answered, asked at every probe.
        is_model_ready: the same of a model, by name and version; an empty version stands for any.

    Raises:
        OSError: the address can't be listened on.
    """

    def __init__(
        self,
        address: str,
        figures: Callable[[], bytes],
        is_ready: Callable[[], bool],
        is_model_ready: Callable[[str, str], bool],
    ) -> None:
        self._figures = figures
        self._is_ready = is_ready
        self._is_model_ready = is_model_ready
        host, _, port = address.rpartition(":")
        server_class = _ThreadingServer6 if ":" in host else _ThreadingServer
        self._server = make_server(
            host.strip("[]"), int(port), self._answer, server_class=server_class, handler_class=_Quiet
        )
        self._thread = threading.Thread(target=self._server.serve_forever, name="telemetry", daemon=True)

    @property
    def port(self) -> int:
        """That it listens on."""
        return self._server.server_port

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Answer no more."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _answer(self, environment: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        status, kind, body = self._found(environment["REQUEST_METHOD"], environment["PATH_INFO"])
        start(f"{status.value} {status.phrase}", [("Content-Type", kind), ("Content-Length", str(len(body)))])
        return [b"" if environment["REQUEST_METHOD"] == "HEAD" else body]

    def _found(self, method: str, path: str) -> tuple[HTTPStatus, str, bytes]:
        if method not in {"GET", "HEAD"}:
            return HTTPStatus.METHOD_NOT_ALLOWED, _TEXT, b"expected GET\n"
        match path.split("/")[1:]:
            case ["metrics"]:
                return HTTPStatus.OK, CONTENT_TYPE_LATEST, self._figures()
            case ["v2", "health", "live"]:
                return HTTPStatus.OK, _TEXT, b"live\n"
            case ["v2", "health", "ready"]:
                return _readiness(self._is_ready())
            case ["v2", "models", name, "ready"]:
                return _readiness(self._is_model_ready(name, ""))
            case ["v2", "models", name, "versions", version, "ready"]:
                return _readiness(self._is_model_ready(name, version))
            case _:
                expected = b"expected /metrics, /v2/health/live, /v2/health/ready or /v2/models/NAME/ready\n"
                return HTTPStatus.NOT_FOUND, _TEXT, expected


def _readiness(is_ready: bool) -> tuple[HTTPStatus, str, bytes]:
    return (HTTPStatus.OK, _TEXT, b"ready\n") if is_ready else (HTTPStatus.SERVICE_UNAVAILABLE, _TEXT, b"not ready\n")


class _ThreadingServer(socketserver.ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _ThreadingServer6(_ThreadingServer):
    address_family = socket.AF_INET6


class _Quiet(WSGIRequestHandler):
    timeout = 10
    """Seconds after which a caller that says nothing is left."""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the signature is the library's
        """A probe every few seconds is no news, and a path is a caller's text."""
