"""For tests of identities: an authority of certificates, an issuer of tokens, a server that asks for them, callers."""

import asyncio
import base64
import hmac
import json
import queue
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import grpc
import jwt
import trustme
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from grpc import StatusCode

from medxgan.client import Client, RefusedError, Tls
from medxgan.server.models.repository import ModelRepository
from medxgan.server.open_inference.messages import inference
from medxgan.server.serving import Server
from medxgan.server.settings import ServerSettings
from medxgan.v1.explanation_pb2 import ListModelsRequest
from medxgan.v1.explanation_pb2_grpc import ExplanationServiceStub

AUDIENCE = "medxgan"
LIST_MODELS = "/medxgan.v1.ExplanationService/ListModels"
TOKEN = secrets.token_hex(32)

UNKNOWN = "the token is not one that this server takes"
"""What `asked` hears with a token that proves nothing."""
NO_MODEL = "no model nonsense is served; RepositoryIndex lists those that are"
"""What a `Stream` hears that may ask."""


def hence(**distance: int) -> datetime:
    """A time that is so far from now: `hours=1`, `days=-1`."""
    return datetime.now(UTC) + timedelta(**distance)


class Authority:
    """An authority of certificates whose files lie in a folder."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self._folder = folder
        self._authority = trustme.CA()
        self.file = folder / "authority.pem"
        self._authority.cert_pem.write_to_path(str(self.file))

    def certificate(self, *names: str, days: int = 1) -> Tls:
        """A new certificate and its key, in files of the first name; `names` are its alternative names, `days` those
        until it expires."""
        issued = self._authority.issue_cert(*names, not_before=hence(days=-9), not_after=hence(days=days))
        certificate, key = (self._folder / f"{names[0]}.{kind}.pem" for kind in ("certificate", "key"))
        certificate.write_bytes(b"".join(part.bytes() for part in issued.cert_chain_pems))
        issued.private_key_pem.write_to_path(str(key))
        return Tls(self.file, certificate, key)


def part(content: object) -> bytes:
    """A part of a JSON Web Token."""
    encoded = content if isinstance(content, bytes) else json.dumps(content).encode()
    return base64.urlsafe_b64encode(encoded).rstrip(b"=")


class Issuer:
    """An issuer of tokens; `address` serves its keys over HTTP while it is entered."""

    def __init__(self, name: str = "https://login.hospital.example") -> None:
        self.name = name
        self.keys: dict[str, rsa.RSAPrivateKey] = {}
        self.downloads = 0
        self.answers = True
        self.renew("first")

    def renew(self, key_id: str) -> None:
        """Sign with a new key from now on, and state no other."""
        self.key_id = key_id
        self.keys = {key_id: rsa.generate_private_key(65537, 2048)}

    def claims(self, **changed: object) -> dict[str, Any]:
        """Claims of a good token, but for what is changed; None leaves a claim out."""
        claims = {
            "iss": self.name,
            "aud": AUDIENCE,
            "sub": "dr.nobody@hospital.example",
            "exp": hence(hours=1),
            "roles": ["imaging"],
        } | changed
        return {name: value for name, value in claims.items() if value is not None}

    def token(self, **changed: object) -> str:
        """A token, with claims as `claims` has them."""
        return jwt.encode(self.claims(**changed), self.keys[self.key_id], "RS256", {"kid": self.key_id})

    def forged(self, header: dict[str, object], key: bytes = b"", **changed: object) -> str:
        """A token with a header of one's choice, unsigned or signed with a key that is shared."""
        claims = self.claims(exp=int((hence(hours=1)).timestamp()), **changed)
        signed = part({"typ": "JWT", "kid": self.key_id} | header) + b"." + part(claims)
        return (signed + b"." + (part(hmac.digest(key, signed, "sha256")) if key else b"")).decode()

    def public_pem(self) -> bytes:
        """The public key that everybody can have."""
        return self.keys[self.key_id].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def key_set(self) -> bytes:
        """The JSON Web Key Set."""
        stated = [
            jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key(), as_dict=True) | {"kid": key_id, "use": "sig"}
            for key_id, key in self.keys.items()
        ]
        return json.dumps({"keys": stated}).encode()

    @contextmanager
    def serving(self) -> Iterator[str]:
        """The address of the keys."""
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.downloads += 1
                self.send_response(200 if issuer.answers else 503)
                self.end_headers()
                self.wfile.write(issuer.key_set() if issuer.answers else b"")

            def log_message(self, *_: object) -> None:
                pass

        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
            thread.start()
            yield f"http://127.0.0.1:{server.server_port}/keys"
            server.shutdown()
            thread.join()


@contextmanager
def guarded(**settings: object) -> Iterator[str]:
    """The address of a real server that has no models and these settings."""
    chosen = ServerSettings(**{"address": "127.0.0.1:0", "shutdown_grace_seconds": 0} | settings)  # type: ignore[arg-type]
    loop = asyncio.new_event_loop()

    async def made() -> Server:
        return Server(chosen, ModelRepository([]))

    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        server = asyncio.run_coroutine_threadsafe(made(), loop).result()
        port = asyncio.run_coroutine_threadsafe(server.listen(), loop).result()
        try:
            yield f"localhost:{port}"
        finally:
            asyncio.run_coroutine_threadsafe(server.stop(), loop).result()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def identities(file: Path, *tables: str) -> Path:
    """The file of identities, with these tables."""
    file.write_text("\n".join(tables), encoding="utf-8")
    return file


def known(name: str, *, roles: str = "explain", certificates: str = "", tokens: str = "") -> str:
    """An identity of the file."""
    lists = {"roles": roles, "certificates": certificates, "tokens": tokens}
    return f"[identities.{name}]\n" + "\n".join(f"{key} = {json.dumps(value.split())}" for key, value in lists.items())


def issued(issuer: Issuer, keys: object, *, refresh_seconds: float = 0) -> str:
    """An issuer of the file; its role "imaging" is our "explain"."""
    return f"""
        [issuers.hospital]
        issuer = "{issuer.name}"
        audience = "{AUDIENCE}"
        keys = "{keys}"
        roles = {{ imaging = "explain" }}
        leeway_seconds = 300
        refresh_seconds = {refresh_seconds}
    """


def asked(address: str, token: str | None = None) -> str:
    """What comes of asking for the models: "" for an answer, else the error's text."""
    try:
        with Client(address, token=token, patience=0, timeout=60) as client:
            assert client.models() == ()
    except RefusedError as error:
        return str(error)
    return ""


def called(address: str, *headers: tuple[str, str]) -> tuple[StatusCode, str]:
    """What comes of asking for the models with headers that our client would not send."""
    with grpc.insecure_channel(address) as channel:
        try:
            ExplanationServiceStub(channel).ListModels(ListModelsRequest(), metadata=headers, timeout=60)
        except grpc.RpcError as error:
            return error.code(), str(error.details())
    return StatusCode.OK, ""


class Stream:
    """A stream of requests for a model that there is not, of a caller with a token."""

    def __init__(self, channel: grpc.Channel, token: str = TOKEN) -> None:
        self.requests: queue.Queue[bytes | None] = queue.Queue()
        headers = [("authorization", f"Bearer {token}")]
        method = channel.stream_stream("/inference.GRPCInferenceService/ModelStreamInfer")
        self.call = method(iter(self.requests.get, None), metadata=headers, timeout=60)

    def ask(self) -> str:
        """What a request hears."""
        self.requests.put(inference.ModelInferRequest(model_name="nonsense").SerializeToString())
        return inference.ModelStreamInferResponse.FromString(next(self.call)).error_message
