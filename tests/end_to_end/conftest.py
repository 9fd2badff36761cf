"""Real servers on free ports, with real bundles, and what it takes to ask them something."""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import grpc
import numpy as np
import pytest
import tritonclient.grpc as triton
from tests.end_to_end.guarded import TOKEN, Issuer, guarded, identities, issued, known

from medxgan.server.embedded import EmbeddedServer
from medxgan.server.identity.tokens import digest
from medxgan.v1.bundle_pb2 import DATA_TYPE_UINT8
from medxgan.v1.explanation_pb2 import Image, Tensor
from medxgan.v1.explanation_pb2_grpc import ExplanationServiceStub

Serving = Callable[..., AbstractContextManager[grpc.Channel]]
Asking = Callable[..., AbstractContextManager[tuple[triton.InferenceServerClient, str]]]


def wire(levels: np.ndarray) -> Image:
    """A picture of 8 bits as a tensor of the wire."""
    return Image(tensor=Tensor(shape=levels.shape, data_type=DATA_TYPE_UINT8, data=levels.tobytes()))


@pytest.fixture(scope="session")
def images() -> list[Image]:
    """Eight pictures of different sizes."""
    random = np.random.default_rng(7)
    sizes = random.integers(20, 80, (8, 2))
    return [wire(random.integers(0, 256, size, np.uint8)) for size in sizes]


@pytest.fixture(scope="session")
def image(images: list[Image]) -> Image:
    """Any picture."""
    return images[0]


@contextmanager
def serve(models: Path) -> Iterator[grpc.Channel]:
    """A channel to a server of these models."""
    with EmbeddedServer(models, "cpu") as server, grpc.insecure_channel(server.address) as channel:
        yield channel


@pytest.fixture
def serving(monkeypatch: pytest.MonkeyPatch) -> Serving:
    """Serves a folder of models; keyword arguments are settings, set through the environment."""

    def serve_with(models: Path, **settings: object) -> AbstractContextManager[grpc.Channel]:
        for name, value in settings.items():
            monkeypatch.setenv(f"MEDXGAN_{name.upper()}", str(value))
        return serve(models)

    return serve_with


@pytest.fixture
def asking(monkeypatch: pytest.MonkeyPatch) -> Asking:
    """A client of Triton, of a server of a folder of models, and its address; keyword arguments are settings."""

    @contextmanager
    def ask(models: Path, **settings: object) -> Iterator[tuple[triton.InferenceServerClient, str]]:
        for name, value in settings.items():
            monkeypatch.setenv(f"MEDXGAN_{name.upper()}", str(value))
        with EmbeddedServer(models, "cpu") as server, triton.InferenceServerClient(server.address) as client:
            yield client, server.address

    return ask


@pytest.fixture(scope="session")
def models(tiny_bundle: Path) -> Path:
    """The folder that holds the tiny bundle."""
    return tiny_bundle.parent.parent


@pytest.fixture(scope="session")
def endless_models(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a model whose inversion may be asked to go on for hours, since it never settles."""
    folder = tmp_path_factory.mktemp("endless_models")
    bundle = folder / "endless" / "1"
    shutil.copytree(tiny_bundle, bundle)
    description = json.loads((bundle / "bundle.json").read_text()) | {"name": "endless"}
    description["inversion"] |= {"maximum_steps": 100_000_000, "tolerance": 0}
    (bundle / "bundle.json").write_text(json.dumps(description))
    return folder


@pytest.fixture(scope="session")
def address(models: Path) -> Iterator[str]:
    """The address of a server of the tiny bundle."""
    with EmbeddedServer(models, "cpu") as server:
        yield server.address


@pytest.fixture(scope="session")
def channel(address: str) -> Iterator[grpc.Channel]:
    """A channel to that server."""
    with grpc.insecure_channel(address) as channel:
        yield channel


@pytest.fixture(scope="session")
def stub(channel: grpc.Channel) -> ExplanationServiceStub:
    """The service of that server."""
    return ExplanationServiceStub(channel)


@pytest.fixture(scope="session")
def triton_client(address: str) -> Iterator[triton.InferenceServerClient]:
    """An unmodified client of Triton, of that server."""
    with triton.InferenceServerClient(address) as client:
        yield client


@pytest.fixture(scope="session")
def issuer() -> Issuer:
    """An issuer of tokens whose keys lie in a file."""
    return Issuer()


@pytest.fixture
def identities_file(tmp_path: Path) -> Path:
    """The file of identities, which the test writes."""
    return tmp_path / "identities.toml"


@pytest.fixture
def guarded_address(identities_file: Path, issuer: Issuer) -> Iterator[str]:
    """The address of a server that knows one listed token and one issuer."""
    identities_file.with_name("keys.json").write_bytes(issuer.key_set())
    identities(identities_file, known("viewer", tokens=digest(TOKEN)), issued(issuer, "keys.json"))
    with guarded(identities=identities_file) as address:
        yield address
