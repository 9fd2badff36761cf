"""Archives on loopback that answer as a test says, for what a real one can't be brought to."""

import json
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

BOUNDARY = "film"


@dataclass(frozen=True)
class Answer:
    """What an archive answers."""

    status: int = 200
    body: bytes = b""
    kind: str = "application/dicom+json"
    location: str | None = None


def listing(*found: Mapping[str, str]) -> Answer:
    """What a search finds: values by their tags."""
    entries = [{tag: {"vr": "UI", "Value": [value]} for tag, value in entry.items()} for entry in found]
    return Answer(body=json.dumps(entries).encode())


def instance(content: bytes) -> Answer:
    """A DICOM file."""
    body = (
        f"--{BOUNDARY}\r\nContent-Type: application/dicom\r\n\r\n".encode() + content + f"\r\n--{BOUNDARY}--".encode()
    )
    return Answer(200, body, f'multipart/related; type="application/dicom"; boundary={BOUNDARY}')


@dataclass(frozen=True)
class Asked:
    """A running archive, and what it was asked."""

    url: str
    requests: list[tuple[str, str | None]] = field(default_factory=list)
    """Paths with their queries, and what came as Authorization."""

    def paths(self) -> Sequence[str]:
        """The paths that were asked for."""
        return [urlsplit(target).path for target, _ in self.requests]


@contextmanager
def answering(answer: Callable[[str, Mapping[str, str]], Answer], tls: ssl.SSLContext | None = None) -> Iterator[Asked]:
    """An archive that answers by a function of the path and of the query."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.requests.append((self.path, self.headers["Authorization"]))
            parts = urlsplit(self.path)
            said = answer(parts.path, dict(parse_qsl(parts.query)))
            self.send_response(said.status)
            self.send_header("Content-Type", said.kind)
            self.send_header("Content-Length", str(len(said.body)))
            if said.location is not None:
                self.send_header("Location", said.location)
            self.end_headers()
            self.wfile.write(said.body)

        def log_message(self, *_: object) -> None:
            pass

    with serving(Handler, tls) as url:
        asked = Asked(url)
        yield asked


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler], tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """The address at which a handler answers."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"{'http' if tls is None else 'https'}://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
