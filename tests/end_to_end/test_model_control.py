"""Models are loaded, loaded anew and unloaded while a server answers: by calls, a signal, or as the folder changes."""

import json
import os
import shutil
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import grpc
import numpy as np
import pytest
import tritonclient.grpc as triton
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub
from tests.bundle_copies import put_copy
from tests.end_to_end.serve_process import serve_process
from tritonclient.grpc import service_pb2, service_pb2_grpc
from tritonclient.utils import InferenceServerException

from medxgan.server.embedded import EmbeddedServer
from medxgan.server.telemetry.audit import verify
from medxgan.v1.explanation_pb2 import (
    ClassifyRequest,
    ExplainRequest,
    ExplainSettings,
    Image,
    InversionSettings,
    ListModelsRequest,
    ModelSelector,
)
from medxgan.v1.explanation_pb2_grpc import ExplanationServiceStub

LEVELS = np.random.default_rng(7).integers(0, 256, (40, 60), np.uint8)
SERVING, NOT_SERVING = HealthCheckResponse.SERVING, HealthCheckResponse.NOT_SERVING

Put = Callable[..., None]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Of the models, which the test changes."""
    return tmp_path / "models"


@pytest.fixture
def put(endless_models: Path, folder: Path) -> Put:
    """Puts a bundle into the folder in one step: `put("chest/4", limitation="…")`; the limitation makes it another."""

    put_bundle = partial(put_copy, endless_models / "endless" / "1", folder)
    put_bundle("one/1")
    return put_bundle


Asking = Callable[..., Iterator[tuple[triton.InferenceServerClient, grpc.Channel]]]


@pytest.fixture
def asking(folder: Path, put: Put, monkeypatch: pytest.MonkeyPatch) -> Asking:
    """A client of Triton and a channel to a server of the folder; keyword arguments are settings."""

    @contextmanager
    def ask(**settings: object) -> Iterator[tuple[triton.InferenceServerClient, grpc.Channel]]:
        for name, value in settings.items():
            monkeypatch.setenv(f"MEDXGAN_{name.upper()}", str(value))
        with (
            EmbeddedServer(folder, "cpu") as server,
            triton.InferenceServerClient(server.address) as client,
            grpc.insecure_channel(server.address) as channel,
        ):
            yield client, channel

    return ask


def score(client: triton.InferenceServerClient, model: str, version: str = "") -> float:
    film = triton.InferInput("image", list(LEVELS.shape), "UINT8").set_data_from_numpy(LEVELS)
    return float(client.infer(model, [film], model_version=version).as_numpy("score")[0])


def refused(call: Callable[..., object], *arguments: object, **named: object) -> tuple[str, str]:
    with pytest.raises(InferenceServerException) as refusal:
        call(*arguments, **named)
    return refusal.value.status().removeprefix("StatusCode."), refusal.value.message()


def index(channel: grpc.Channel, ready: bool = False) -> dict[str, tuple[str, str]]:
    """State and reason of the bundles, without those of their maps."""
    listed = service_pb2_grpc.GRPCInferenceServiceStub(channel).RepositoryIndex(
        service_pb2.RepositoryIndexRequest(ready=ready)
    )
    return {f"{each.name}/{each.version}": (each.state, each.reason) for each in listed.models if "." not in each.name}


def until_stated(channel: grpc.Channel, identity: str, expected: tuple[str, str]) -> None:
    end = time.monotonic() + 60
    while index(channel).get(identity) != expected:
        assert time.monotonic() < end, index(channel)
        time.sleep(0.01)


def test_models_come_and_go_by_calls(asking: Asking, put: Put) -> None:
    put("two/1")
    put("two/3")
    with asking(model_control="explicit", load_models="one") as (client, channel):
        assert index(channel) == {"one/1": ("READY", ""), "two/": ("", "")}, "known by name alone, as Triton has it"
        assert refused(score, client, "two") == (
            "NOT_FOUND",
            "no model two is served; RepositoryIndex lists those that are",
        )
        client.load_model("two")
        assert index(channel) == dict.fromkeys(("one/1", "two/1", "two/3"), ("READY", ""))
        assert client.is_model_ready("two")
        assert client.is_model_ready("two.grad_cam", "3")
        assert score(client, "two.grad_cam") == score(client, "one.grad_cam")
        assert client.get_model_metadata("two").versions == ["1", "3"]
        put("two/4")
        client.load_model("two")
        assert score(client, "two.grad_cam", "4") == score(client, "two.grad_cam", "1")
        client.unload_model("two")
        client.unload_model("two", unload_dependents=True)
        assert refused(score, client, "two.grad_cam")[0] == "NOT_FOUND"
        assert not client.is_model_ready("two")
        for version in "134":
            until_stated(channel, f"two/{version}", ("UNAVAILABLE", "unloaded"))
        assert index(channel, ready=True) == {"one/1": ("READY", "")}
        stub = ExplanationServiceStub(channel)
        assert [each.model.name for each in stub.ListModels(ListModelsRequest()).models] == ["one"]
        client.unload_model("one")
        assert index(channel, ready=True) == {}
        assert client.is_server_ready()
        with pytest.raises(grpc.RpcError, match="there is none"):
            stub.Classify(ClassifyRequest(image=Image(encoded=b"film")))
        client.load_model("one")
        assert score(client, "one.grad_cam")


def test_the_audit_trail_says_who_loaded_and_unloaded_what(asking: Asking, put: Put, tmp_path: Path) -> None:
    trail = tmp_path / "audit.jsonl"
    put("two/1")
    with asking(model_control="explicit", load_models="one", audit=trail) as (client, _):
        client.load_model("two")
        score(client, "two.grad_cam")
        client.unload_model("two")
    lines = [json.loads(line) for line in trail.read_text().splitlines()]
    assert [(line["method"], line["model"], line.get("cause")) for line in lines] == [
        ("Load", "two/1", "call"),
        ("Explain", "two/1", None),
        ("Unload", "two/1", "call"),
    ]
    assert len({(line["caller"], line["bundle_sha256"]) for line in lines}) == 1
    assert (verify(trail).records, verify(trail).broken) == (3, None)


def test_what_is_refused_is_said_and_changes_nothing(asking: Asking, put: Put, folder: Path) -> None:
    put("two/1")
    with asking(model_control="explicit") as (client, channel):
        before = score(client, "two.grad_cam")
        (folder / "two" / "2").mkdir()
        (folder / "two" / "2" / "bundle.json").write_text("{}")
        code, said = refused(client.load_model, "two")
        assert (code, said) == (
            "INVALID_ARGUMENT",
            "model_name: two/2: bundle.json: schema_version: expected an integer",
        )
        assert index(channel)["two/2"] == ("UNAVAILABLE", said.removeprefix("model_name: "))
        assert score(client, "two.grad_cam") == before
        assert refused(client.load_model, "three") == ("NOT_FOUND", "no bundle three is in the folder of models")
        for name in ("../models/one", "one/1", "/etc", "..", "one\n", "x" * 5000):
            code, said = refused(client.load_model, name)
            assert (code, said.partition(":")[0]) == ("INVALID_ARGUMENT", "model_name")
            assert len(said) < 200
        assert refused(client.load_model, "one.grad_cam")[1].endswith("comes and goes with its bundle, one")
        overrides = {"config": "{}"}, {"config": "{}", "files": {"file:1/open.onnx": b"graph"}}
        for override in overrides:
            code, said = refused(client.load_model, "one", **override)
            assert code == "INVALID_ARGUMENT"
            assert said.partition(": ")[0] in {"parameters.config", "parameters.file:1/open.onnx"}
        request = service_pb2.RepositoryModelLoadRequest(model_name="one", repository_name="other")
        with pytest.raises(grpc.RpcError, match="repository_name: expected none"):
            service_pb2_grpc.GRPCInferenceServiceStub(channel).RepositoryModelLoad(request)


def test_calls_change_nothing_where_the_operator_has_not_said_so(asking: Asking) -> None:
    with asking() as (client, _):
        for call in (client.load_model, client.unload_model):
            code, said = refused(call, "one")
            assert code == "UNIMPLEMENTED"
            assert "--model-control explicit" in said
        assert client.is_model_ready("one")


def test_requests_finish_on_the_model_that_they_began_with(asking: Asking, put: Put, image: Image) -> None:
    with asking(model_control="explicit") as (client, channel):
        stub = ExplanationServiceStub(channel)
        request = ExplainRequest(
            model=ModelSelector(name="one"),
            image=image,
            settings=ExplainSettings(inversion=InversionSettings(steps=2000)),
        )
        (before,) = stub.ListModels(ListModelsRequest()).models
        begun = stub.ExplainStream(request)
        next(begun)
        put("one/1", "another")
        client.load_model("one")
        (after,) = stub.ListModels(ListModelsRequest()).models
        assert after.model.bundle_sha256 != before.model.bundle_sha256
        second = stub.ExplainStream(request)
        next(second)
        client.unload_model("one")
        assert index(channel)["one/1"] == ("UNLOADING", "")
        for stream, model in ((begun, before), (second, after)):
            result = list(stream)[-1].result
            assert result.model.bundle_sha256 == model.model.bundle_sha256
            assert result.outcome.steps_taken == 2000
        until_stated(channel, "one/1", ("UNAVAILABLE", "unloaded"))


def test_a_stream_of_tritons_client_ends_with_its_result_though_the_model_goes(asking: Asking) -> None:
    with asking(model_control="explicit") as (client, channel):
        heard: list[object] = []
        client.start_stream(lambda result, error: heard.append(error or result))
        film = triton.InferInput("image", list(LEVELS.shape), "UINT8").set_data_from_numpy(LEVELS)
        client.async_stream_infer("one", [film], parameters={"steps": 1000})
        end = time.monotonic() + 60
        while not heard:
            assert time.monotonic() < end
            time.sleep(0.01)
        client.unload_model("one")
        client.stop_stream()  # waits for the answer
        assert [each for each in heard if isinstance(each, InferenceServerException)] == []
        assert heard[-1].as_numpy("difference") is not None
        until_stated(channel, "one/1", ("UNAVAILABLE", "unloaded"))


def test_health_is_told_of_every_model_and_to_all_who_watch(asking: Asking) -> None:
    with asking(model_control="explicit") as (client, channel):
        health = HealthStub(channel)
        assert health.Check(HealthCheckRequest(service="medxgan.model/one/1")).status == SERVING
        with pytest.raises(grpc.RpcError) as refusal:
            health.Check(HealthCheckRequest(service="medxgan.model/two"))
        assert refusal.value.code() is grpc.StatusCode.NOT_FOUND
        watches = [health.Watch(HealthCheckRequest(service="medxgan.model/one")) for _ in range(2)]
        assert [next(watch).status for watch in watches] == [SERVING, SERVING]
        watches[1].cancel()
        client.unload_model("one")
        assert next(watches[0]).status == NOT_SERVING
        assert health.Check(HealthCheckRequest(service="medxgan.model/one/1")).status == NOT_SERVING
        client.load_model("one")
        assert next(watches[0]).status == SERVING
        assert health.Check(HealthCheckRequest()).status == SERVING, "the server answers whichever models it has"
        watches[0].cancel()


def test_the_folder_is_followed_where_the_operator_says_so(asking: Asking, put: Put, folder: Path) -> None:
    with asking(model_control="poll", model_poll_seconds=0.05, version_policy="latest:1") as (client, channel):
        assert refused(client.unload_model, "one")[0] == "UNIMPLEMENTED"
        put("one/2")
        until_stated(channel, "one/2", ("READY", ""))
        until_stated(channel, "one/1", ("UNAVAILABLE", "unloaded"))
        assert client.get_model_config("one").config.version_policy.latest.num_versions == 1
        shutil.rmtree(folder / "one" / "2")
        until_stated(channel, "one/1", ("READY", ""))
        assert client.get_model_metadata("one").versions == ["1"]


def status(telemetry: str, path: str) -> int:
    try:
        with urllib.request.urlopen(f"http://{telemetry}{path}", timeout=60) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def test_a_signal_has_the_folder_read_again(put: Put, folder: Path) -> None:
    # Without a terminal, whose end the signal would stand for.
    with serve_process(folder, "--telemetry", "127.0.0.1:0", terminal=False) as (process, line):
        telemetry = f"127.0.0.1:{line['telemetry_port']}"
        with grpc.insecure_channel(line["address"]) as channel:
            watch = HealthStub(channel).Watch(HealthCheckRequest(service="medxgan.model/one/2"))
            assert next(watch).status == HealthCheckResponse.SERVICE_UNKNOWN
            assert status(telemetry, "/v2/models/one/ready") == 200
            assert status(telemetry, "/v2/models/one.grad_cam/versions/1/ready") == 200
            assert status(telemetry, "/v2/models/one/versions/2/ready") == 503
            put("one/2")
            shutil.rmtree(folder / "one" / "1")
            os.kill(process.pid, signal.SIGHUP)
            assert next(watch).status == SERVING
            assert status(telemetry, "/v2/models/one/versions/2/ready") == 200
            until_stated(channel, "one/1", ("UNAVAILABLE", "unloaded"))
            assert status(telemetry, "/v2/models/one/versions/1/ready") == 503
            with urllib.request.urlopen(f"http://{telemetry}/metrics", timeout=60) as figures:
                told = figures.read().decode()
            assert 'medxgan_model_info{engine="onnxruntime",model="one/2"' in told
            assert 'model="one/1"' not in told
            watch.cancel()
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        assert process.stderr is not None
        events = [json.loads(line) for line in process.stderr]
    noted = [(each["event"], each["model"]) for each in events if each["event"].startswith("model_")]
    assert noted == [("model_loaded", "one/2"), ("model_unloaded", "one/1")]
