"""Bundles on Ray Serve, on two nodes: clients as ever, the same maps, errors, cancellation, models on demand, drain."""

import asyncio
import hashlib
import io
import json
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import numpy as np
import pytest
from google.rpc import error_details_pb2
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub
from grpc_status import rpc_status
from PIL import Image as PILImage
from tests.end_to_end.serve_process import COMMAND
from tests.server.cluster.conftest import RayCluster

from medxgan.client import (
    AsyncClient,
    Client,
    InvalidRequestError,
    InversionSettings,
    MapKind,
    NotFoundError,
    Settings,
)
from medxgan.server.embedded import EmbeddedServer
from medxgan.v1.bundle_pb2 import DATA_TYPE_UINT8
from medxgan.v1.explanation_pb2 import (
    ClassifyRequest,
    ExplainRequest,
    ExplainSettings,
    Image,
    ListModelsRequest,
    ModelSelector,
    Tensor,
)
from medxgan.v1.explanation_pb2_grpc import ExplanationServiceStub

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

STEPS = 100_000_000
"""Of an inversion that nobody waits for the end of."""
PATIENCE = 120.0
"""Seconds that a state may take to come about on a machine that has much else to do."""
TOKEN = "a-token-of-the-ward-0123456789abcdef"


@pytest.fixture(scope="module")
def models(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny bundle, the default, and one whose inversion never settles."""
    folder = tmp_path_factory.mktemp("models_on_ray")
    shutil.copytree(tiny_bundle, folder / "tiny" / "1")
    shutil.copytree(tiny_bundle, folder / "endless" / "1")
    file = folder / "endless" / "1" / "bundle.json"
    description = json.loads(file.read_text()) | {"name": "endless"}
    description["inversion"] |= {"maximum_steps": STEPS, "tolerance": 0}
    file.write_text(json.dumps(description))
    (folder / "default-model").write_text("tiny")
    return folder


@pytest.fixture(scope="module")
def deploy(cluster: RayCluster, models: Path) -> Callable[..., None]:
    def deploy_with(**settings: object) -> None:
        cluster.order("deploy", models=str(models), address=f"0.0.0.0:{cluster.port}", provider="cpu", **settings)

    return deploy_with


@pytest.fixture(scope="module")
def two_replicas(cluster: RayCluster, deploy: Callable[..., None]) -> RayCluster:
    """A replica on each node, which has one CPU."""
    deploy(ray_minimum_replicas=2, ray_maximum_replicas=2, shutdown_grace_seconds=200)
    return cluster


@pytest.fixture
def stub(cluster: RayCluster) -> Iterator[ExplanationServiceStub]:
    with grpc.insecure_channel(f"127.0.0.1:{cluster.port}") as channel:
        yield ExplanationServiceStub(channel)


def films(number: int) -> list[np.ndarray]:
    random = np.random.default_rng(5)
    return [random.integers(0, 256, (40, 48), np.uint8) for _ in range(number)]


def png(film: np.ndarray) -> bytes:
    file = io.BytesIO()
    PILImage.fromarray(film).save(file, "PNG")
    return file.getvalue()


def endless(steps: int = STEPS) -> ExplainRequest:
    (film,) = films(1)
    return ExplainRequest(
        image=Image(tensor=Tensor(shape=film.shape, data_type=DATA_TYPE_UINT8, data=film.tobytes())),
        model=ModelSelector(name="endless"),
        settings=ExplainSettings(inversion={"steps": steps}),
    )


def difference(client: Client, film: np.ndarray) -> np.ndarray:
    return client.explain(film, maps=[MapKind.DIFFERENCE])[MapKind.DIFFERENCE]


def figures(cluster: RayCluster, replicas: int = 2) -> dict[str, str]:
    """Of every replica, by its name. Ray asks whichever it likes."""
    found: dict[str, str] = {}
    ends = time.monotonic() + PATIENCE
    while len(found) < replicas:
        assert time.monotonic() < ends, f"figures of {replicas} replicas did not come"
        found |= [cluster.order("figures")]
    return found


def total(texts: dict[str, str], figure: str) -> float:
    """Sum of a figure, given as it begins, over all replicas."""
    return sum(
        float(value)
        for text in texts.values()
        for value in re.findall(rf"^{re.escape(figure)}[^\n]* (\S+)$", text, re.MULTILINE)
    )


def wait_until(holds: Callable[[], bool], what: str) -> None:
    ends = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < ends, what
        time.sleep(0.2)


def test_every_call_of_both_clients_is_answered_by_either_proxy(two_replicas: RayCluster) -> None:
    (film,) = films(1)
    for port in (two_replicas.port, two_replicas.worker_port):
        with Client(f"127.0.0.1:{port}") as client:
            told = []
            streamed = client.explain_stream(film, on_progress=told.append)
            assert told
            assert streamed.model.name == client.explain(film).model.name == "tiny"
            assert client.classify(film).model.name == "tiny"
            assert [each.model.name for each in client.models()] == ["endless", "tiny"]
            assert client.model("endless").model.name == "endless"
            assert client.server().version
            # A file is decoded in a process of its own.
            read, sent = client.classify(png(film)).score, client.classify(film).score
            assert read.probability == pytest.approx(sent.probability, rel=1e-3)

    async def ask() -> str:
        async with AsyncClient(f"127.0.0.1:{two_replicas.port}") as client:
            return (await client.explain(film)).model.name

    assert asyncio.run(ask()) == "tiny"


def test_the_maps_are_those_of_a_server_of_its_own_whichever_replica_makes_them(
    two_replicas: RayCluster, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (film,) = films(1)
    monkeypatch.setenv("MEDXGAN_THREADS", "1")
    with EmbeddedServer(models, "cpu") as server, Client(server.address) as client:
        alone = difference(client, film)
    before, counted = figures(two_replicas), 'medxgan_requests_total{code="OK",method="Explain"}'
    # A proxy prefers the replica of its own node.
    for port in (two_replicas.port, two_replicas.worker_port):
        with Client(f"127.0.0.1:{port}") as client:
            for _ in range(3):
                np.testing.assert_array_equal(difference(client, film), alone)
    after = figures(two_replicas)
    for name in before:
        assert total({"": after[name]}, counted) > total({"": before[name]}, counted)


def test_streams_of_several_callers_do_not_mix(two_replicas: RayCluster) -> None:
    pictures, few = films(6), Settings(inversion=InversionSettings(steps=6))
    with Client(f"127.0.0.1:{two_replicas.port}") as client:
        alone = [client.explain(film, maps=[MapKind.DIFFERENCE], settings=few)[MapKind.DIFFERENCE] for film in pictures]

    def stream(number: int) -> np.ndarray:
        film, port = pictures[number], (two_replicas.port, two_replicas.worker_port)[number % 2]
        with Client(f"127.0.0.1:{port}") as client:
            steps: list[int] = []
            explanation = client.explain_stream(
                film,
                maps=[MapKind.DIFFERENCE],
                settings=few,
                on_progress=lambda progress: steps.append(progress.steps_taken),
            )
            assert steps == sorted(set(steps))
            assert steps[-1] == 6
            return explanation[MapKind.DIFFERENCE]

    with ThreadPoolExecutor(len(pictures)) as callers:
        for number, together in enumerate(callers.map(stream, range(len(pictures)))):
            # Their rows share a batch, whose size is in the last digit of a gradient, which every step amplifies.
            np.testing.assert_allclose(together, alone[number], atol=0.02)
            others = [each for other, each in enumerate(alone) if other != number]
            assert min(np.abs(together - each).max() for each in others) > 0.1


def test_errors_come_as_a_server_of_its_own_sends_them(two_replicas: RayCluster) -> None:
    (film,) = films(1)
    with Client(f"127.0.0.1:{two_replicas.port}") as client:
        with pytest.raises(InvalidRequestError) as wrong:
            client.explain(film, settings=Settings(inversion=InversionSettings(steps=STEPS)))
        assert wrong.value.field == "settings.inversion.steps"
        with pytest.raises(NotFoundError, match="there is endless/1, tiny/1"):
            client.explain_stream(film, model="none", on_progress=lambda _: None)


def test_health_is_that_of_a_replica_and_a_watch_is_refused(two_replicas: RayCluster) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{two_replicas.port}") as channel:
        health = HealthStub(channel)
        for service in ("", "medxgan.v1.ExplanationService", "medxgan.model/tiny"):
            assert health.Check(HealthCheckRequest(service=service)).status == HealthCheckResponse.SERVING
        with pytest.raises(grpc.RpcError) as unknown:
            health.Check(HealthCheckRequest(service="medxgan.model/none"))
        assert unknown.value.code() == grpc.StatusCode.NOT_FOUND
        with pytest.raises(grpc.RpcError) as refused:
            list(health.Watch(HealthCheckRequest()))
        assert refused.value.code() == grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize("method", ["ExplainStream", "Explain"])
def test_the_compute_ends_with_its_caller(two_replicas: RayCluster, stub: ExplanationServiceStub, method: str) -> None:
    cancelled = f'medxgan_requests_total{{code="CANCELLED",method="{method}"}}'
    before = total(figures(two_replicas), cancelled)
    if method == "ExplainStream":
        stream = stub.ExplainStream(endless())
        next(stream)
        stream.cancel()
    else:
        call = stub.Explain.future(endless(), timeout=PATIENCE)
        blocks = total(figures(two_replicas), "medxgan_batch_rows_count")
        wait_until(lambda: total(figures(two_replicas), "medxgan_batch_rows_count") > blocks, "it never began")
        call.cancel()
    wait_until(lambda: total(figures(two_replicas), cancelled) == before + 1, "the request went on")
    wait_until(lambda: total(figures(two_replicas), "medxgan_work_inside") == 0, "it kept its place")
    blocks = total(figures(two_replicas), "medxgan_batch_rows_count")
    # A block takes milliseconds; whatever the machine is like, asking both replicas takes longer.
    assert total(figures(two_replicas), "medxgan_batch_rows_count") == blocks


def test_a_deadline_ends_the_compute(two_replicas: RayCluster, stub: ExplanationServiceStub) -> None:
    cancelled = 'medxgan_requests_total{code="CANCELLED",method="Explain"}'
    before = total(figures(two_replicas), cancelled)
    with pytest.raises(grpc.RpcError) as late:
        stub.Explain(endless(), timeout=2)
    assert late.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    wait_until(lambda: total(figures(two_replicas), cancelled) == before + 1, "the request went on")


def test_requests_under_way_are_answered_when_it_ends(cluster: RayCluster, deploy: Callable[..., None]) -> None:
    deploy(shutdown_grace_seconds=200)
    with grpc.insecure_channel(f"127.0.0.1:{cluster.port}") as channel:
        stream = ExplanationServiceStub(channel).ExplainStream(endless(steps=3000))
        next(stream)
        ending = threading.Thread(target=cluster.order, args=("delete",))
        ending.start()
        *_, last = stream
        assert last.result.outcome.steps_taken == 3000
        ending.join()
    with Client(f"127.0.0.1:{cluster.port}", timeout=5) as client, pytest.raises(Exception, match="no replica"):
        client.models()


def test_identities_models_on_demand_and_a_full_replica(
    cluster: RayCluster, deploy: Callable[..., None], stub: ExplanationServiceStub, tmp_path: Path
) -> None:
    identities = tmp_path / "identities.toml"
    sha256 = hashlib.sha256(TOKEN.encode()).hexdigest()
    identities.write_text(f'[identities.ward]\nroles = ["explain"]\ntokens = ["{sha256}"]\n')
    limits = {"maximum_batch": 1, "maximum_waiting": 0, "caller_share": 1, "retry_delay_seconds": 7}
    deploy(identities=str(identities), ray_models=1, **limits)
    headers = (("authorization", f"Bearer {TOKEN}"),)
    with pytest.raises(grpc.RpcError) as refused:
        stub.ListModels(ListModelsRequest())
    assert refused.value.code() == grpc.StatusCode.UNAUTHENTICATED

    def loaded() -> set[str]:
        models = stub.ListModels(ListModelsRequest(), metadata=headers).models
        assert [each.model.name for each in models] == ["endless", "tiny"]
        assert [each.is_default for each in models] == [False, True]
        return {each.model.name for each in models if each.HasField("execution")}

    image = endless().image
    for name, answers in (("endless", "endless"), ("", "tiny"), ("endless", "endless")):
        classified = stub.Classify(ClassifyRequest(image=image, model=ModelSelector(name=name)), metadata=headers)
        assert classified.model.name == answers
        assert loaded() == {answers}
    with pytest.raises(grpc.RpcError) as unknown:
        stub.Classify(ClassifyRequest(image=image, model=ModelSelector(name="none")), metadata=headers)
    assert unknown.value.code() == grpc.StatusCode.NOT_FOUND
    assert loaded() == {"endless"}

    stream = stub.ExplainStream(endless(), metadata=headers)
    next(stream)
    for call in (stub.Explain, lambda *arguments, **options: list(stub.ExplainStream(*arguments, **options))):
        with pytest.raises(grpc.RpcError) as busy:
            call(endless(), metadata=headers)
        assert busy.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        (detail,) = rpc_status.from_call(busy.value).details
        assert error_details_pb2.RetryInfo.FromString(detail.value).retry_delay.seconds == 7
    stream.cancel()


def test_the_command_serves_until_it_is_told_to_stop(cluster: RayCluster, models: Path) -> None:
    options = ["--ray", cluster.address, "--models", models, "--address", f"0.0.0.0:{cluster.port}", "--insecure"]
    with subprocess.Popen(
        [COMMAND, "serve", *map(str, options), "--log-format", "json"],
        env=cluster.environment,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stderr is not None
            assert any('"event": "serving"' in line for line in process.stderr)
            with Client(f"127.0.0.1:{cluster.port}") as client:
                assert client.explain(films(1)[0]).model.name == "tiny"
            process.terminate()
            process.stderr.read()
            assert process.wait(PATIENCE) == 0
        finally:
            process.kill()
    assert cluster.order("applications") == []


def test_callers_lose_nothing_with_a_node_that_dies(cluster: RayCluster, deploy: Callable[..., None]) -> None:
    deploy(ray_minimum_replicas=2, ray_maximum_replicas=2)
    figures(cluster)
    died, answered = threading.Event(), []
    chosen = Settings(inversion=InversionSettings(steps=200))

    def ask(caller: int) -> None:
        """Until some have been answered after the death."""
        (film,) = films(1)
        after = 0
        with Client(f"127.0.0.1:{cluster.port}", timeout=PATIENCE, patience=PATIENCE) as client:
            while after < 4:
                after += died.is_set()
                explanation = client.explain(film, model="endless", settings=chosen)
                assert explanation.outcome is not None
                answered.append(explanation.outcome.steps_taken)

    with ThreadPoolExecutor(6) as callers:
        asking = [callers.submit(ask, caller) for caller in range(6)]
        wait_until(lambda: len(answered) >= 6, "nobody was answered")
        cluster.order("kill_worker")
        died.set()
        for each in asking:
            each.result()
    assert len(answered) >= 6 + 6 * 4
    assert set(answered) == {200}
