"""Two kinds of models to test with.

`linear_engine` is an engine in numpy whose inversion has a known answer: its generator and its classifier are linear.
`several_folder` is a bundle written by hand, whose linear classifier has three outputs and which has no generator.
What needs trained-like networks takes the exported `tiny_bundle`.
"""

import asyncio
import json
import shutil
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
from google.protobuf.message import Message
from tests.server.linear import LinearEngine
from tests.server.several import CLASSES, PIXELS, write_bundle

from medxgan.bundle import LoadedBundle
from medxgan.bundle.schema import DESCRIPTION_FILE
from medxgan.server.engine.port import Engine, FloatArray
from medxgan.server.engine.selection import open_engine
from medxgan.server.engine.settings import EngineSettings
from medxgan.server.explanation.explanation import Explanation, OpenedImage
from medxgan.server.explanation.request import resolve_settings
from medxgan.server.explanation.scores import Score
from medxgan.server.images.film import Film, Placement
from medxgan.server.images.limits import ImageLimits
from medxgan.server.images.workers.pool import DecoderPool
from medxgan.server.models.admission import ModelCapacity
from medxgan.server.models.repository import ModelRepository
from medxgan.server.models.served_model import ServedModel
from medxgan.server.settings import ServerSettings
from medxgan.server.stopwatch import Stopwatch
from medxgan.server.telemetry.statistics import Statistics
from medxgan.server.telemetry.telemetry import Telemetry
from medxgan.server.wire.descriptions import server_description
from medxgan.server.wire.explaining import Explaining
from medxgan.server.wire.service import ExplanationService
from medxgan.server.wire.uploads import UploadLimits, Uploads
from medxgan.v1.explanation_pb2 import ExplainRequest, ExplainSettings, MapRequest, TrajectoryRequest

Answer = TypeVar("Answer")


@pytest.fixture
def linear_engine() -> LinearEngine:
    """A fresh engine; the test may change its bundle."""
    return LinearEngine()


@pytest.fixture
def linear_loaded(linear_engine: LinearEngine) -> LoadedBundle:
    """The bundle of `linear_engine`, as a model is given it."""
    return LoadedBundle(Path(), linear_engine.bundle, "0" * 64)


Ask = Callable[..., Any]


@pytest.fixture(scope="session")
def ask() -> Ask:
    """Serves a bundle for one question: `ask(bundle, lambda model: …, maximum_rows=8, engine=None)`."""

    def ask_model(
        bundle: LoadedBundle,
        question: Callable[[ServedModel], Awaitable[Answer]],
        maximum_rows: int = 8,
        engine: Engine | None = None,
    ) -> Answer:
        async def serve() -> Answer:
            chosen = engine or open_engine(bundle, EngineSettings("cpu", 1))
            model = ServedModel(bundle, [chosen], ModelCapacity(maximum_rows=maximum_rows))
            await model.start()
            try:
                return await asyncio.wait_for(question(model), timeout=60)
            finally:
                await model.stop()

        return asyncio.run(serve())

    return ask_model


@pytest.fixture(scope="session")
def explaining() -> Callable[..., Awaitable[Explanation]]:
    """Explains a film with a model that runs: `await explaining(model, film, kinds, …)`.

    Further keywords are fields of `ExplainSettings`. An array [1, 1, S, S] is taken for x itself, with no first guess.
    """

    async def explain_film(
        model: ServedModel,
        film: Film | FloatArray,
        kinds: Sequence[int] = (),
        trajectory: int = 0,
        caller: str = "caller",
        on_progress: Callable[..., None] | None = None,
        **fields: object,
    ) -> Explanation:
        request = ExplainRequest(
            maps=[MapRequest(kind=kind) for kind in kinds],
            settings=ExplainSettings(**fields),
            trajectory=TrajectoryRequest(frames=trajectory) if trajectory else None,
        )
        stopwatch = Stopwatch()
        resolved = resolve_settings(request, model.bundle.description)
        if isinstance(film, Film):
            opened = await model.explainer.open(film, stopwatch)
        else:
            (logit,) = await model.networks.positive_logits(film)
            score = Score.of(float(logit), model.bundle.description.classification.decision_threshold)
            whole = Placement.of(Film(film[0, 0]), np.array([0, 0, *film.shape[2:]], np.float32))
            opened = OpenedImage(film, whole, score, (), None, ())
        return await model.explainer.explain(opened, resolved, caller, stopwatch, on_progress)

    return explain_film


@pytest.fixture(scope="session")
def explain(ask: Ask, explaining: Callable[..., Awaitable[Explanation]]) -> Callable[..., Explanation]:
    """Serves a bundle and explains one film: `explain(bundle, film, kinds, maximum_rows=8, engine=None, …)`."""

    def explain_film(
        bundle: LoadedBundle,
        film: Film | FloatArray,
        kinds: Sequence[int] = (),
        maximum_rows: int = 8,
        engine: Engine | None = None,
        **fields: object,
    ) -> Explanation:
        return ask(bundle, lambda model: explaining(model, film, kinds, **fields), maximum_rows, engine)

    return explain_film


class Context:
    """What a call is answered in; keeps what is written to it."""

    def __init__(self) -> None:
        self.written: list[Message] = []

    def peer(self) -> str:
        return "ipv4:127.0.0.1:50000"

    async def write(self, message: Message) -> None:
        self.written.append(message)


@pytest.fixture(scope="session")
def answer() -> Callable[..., Any]:
    """What the service answers: `answer(bundle, request, engine=None)`, of a stream all messages.

    By the type of the request; `stream=True` asks ExplainStream.
    """

    def answer_request(
        bundle: LoadedBundle, request: Message, engine: Engine | None = None, stream: bool = False
    ) -> Message | list[Message]:
        method = type(request).__name__.removesuffix("Request") + ("Stream" if stream else "")

        async def serve() -> Message | list[Message]:
            model = ServedModel(bundle, [engine or open_engine(bundle, EngineSettings("cpu", 1))], ModelCapacity())
            repository = ModelRepository([model])
            explaining = Explaining(
                repository,
                Uploads(UploadLimits(8, 8, 2**26, 2**26, 30)),
                DecoderPool(ImageLimits(100, 10_000, 100_000)),  # not started: tensors need no process
                Telemetry(),
            )
            service = ExplanationService(repository, explaining, Statistics(), server_description(ServerSettings()))
            own, context = type(request)(), Context()
            own.CopyFrom(request)  # the service drops the image of a request once it is read
            await repository.start()
            try:
                response = await asyncio.wait_for(getattr(service, method)(own, context), timeout=60)
            finally:
                await repository.stop()
            return context.written if stream else response

        return asyncio.run(serve())

    return answer_request


@pytest.fixture(scope="session")
def classifier_folder(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny bundle without its generator: a folder bare/1 to read, not to change."""
    folder = shutil.copytree(tiny_bundle, tmp_path_factory.mktemp("models_without_generator") / "bare" / "1")
    description = json.loads((folder / DESCRIPTION_FILE).read_bytes()) | {"name": "bare"}
    for field_name in ("latent", "inversion", "reliability"):
        del description[field_name]
    kept, dropped = [], []
    for graph in description["graphs"]:
        of_classifier = graph["role"].removeprefix("GRAPH_ROLE_") in {"OPEN", "CLASSIFIER", "ATTRIBUTION"}
        guesses = "z" in {tensor["name"] for tensor in graph["outputs"]}
        (kept if of_classifier and not guesses else dropped).append(graph)
    for graph in dropped:
        (folder / graph["file"]).unlink()
    description["graphs"] = kept
    (folder / DESCRIPTION_FILE).write_text(json.dumps(description))
    return folder


@pytest.fixture(scope="session")
def several_weights() -> FloatArray:
    """The weights [3, S·S] of the linear classifier of `several_folder`."""
    return np.random.default_rng(3).normal(0, 0.1, (len(CLASSES), PIXELS * PIXELS)).astype(np.float32)


@pytest.fixture(scope="session")
def several_folder(several_weights: FloatArray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle several/1 without generator, whose classifier W · x has three outputs, the second the positive one."""
    folder = tmp_path_factory.mktemp("models_with_several_outputs") / "several" / "1"
    write_bundle(folder, several_weights)
    return folder
