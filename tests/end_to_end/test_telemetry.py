"""What a running server tells of itself, and what it notes of who asked."""

import hashlib
import json
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.end_to_end.serve_process import COMMAND, serve_process

from medxgan.server.telemetry.audit import verify
from medxgan.v1.explanation_pb2 import ClassifyRequest, ExplainRequest, ExplainSettings, Image, InversionSettings
from medxgan.v1.explanation_pb2_grpc import ExplanationServiceStub

POISON = "Doe^Jane"


@dataclass(frozen=True)
class Running:
    """A server as a process.

    Attributes:
        process: of it.
        address: that it serves on.
        telemetry: address of what it tells.
    """

    process: subprocess.Popen[str]
    address: str
    telemetry: str

    def get(self, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://{self.telemetry}{path}", timeout=60) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def figure(self, name: str, *labels: str) -> float:
        """The sum of the samples that have these labels among theirs."""
        families = text_string_to_metric_families(self.get("/metrics")[1])
        samples = [sample for family in families for sample in family.samples if sample.name == name]
        return sum(each.value for each in samples if set(labels) <= set(each.labels.values()))


@contextmanager
def serve(models: Path, audit: Path) -> Iterator[Running]:
    with serve_process(models, "--telemetry", "127.0.0.1:0", "--audit", audit) as (process, line):
        yield Running(process, line["address"], f"127.0.0.1:{line['telemetry_port']}")


@pytest.fixture
def audit(tmp_path: Path) -> Path:
    return tmp_path / "audit.jsonl"


def test_requests_are_counted_noted_and_their_images_named_by_hash_alone(
    tiny_bundle: Path, image: Image, audit: Path
) -> None:
    with serve(tiny_bundle.parents[1], audit) as running:
        assert running.get("/v2/health/ready") == (200, "ready\n")
        with grpc.insecure_channel(running.address) as channel:
            stub = ExplanationServiceStub(channel)
            headers = [("patient", POISON)]
            explained = stub.Explain(
                ExplainRequest(image=image, settings=ExplainSettings(inversion=InversionSettings(steps=7))),
                metadata=headers,
            )
            stub.Classify(ClassifyRequest(image=image), metadata=headers)
            with pytest.raises(grpc.RpcError):
                stub.Explain(ExplainRequest(image=Image(encoded=POISON.encode())))
        assert running.figure("medxgan_requests_total", "Explain", "OK") == 1
        assert running.figure("medxgan_requests_total", "Explain", "INVALID_ARGUMENT") == 1
        assert running.figure("medxgan_refused_total", "ImageError") == 1
        assert running.figure("medxgan_verdicts_total", "tiny/1") == 1
        assert running.figure("medxgan_inversion_steps_sum", "tiny/1") == 7
        assert running.figure("medxgan_batch_rows_sum", "tiny/1") == 2, "a block of five steps and one of two"
        assert running.figure("medxgan_decode_seconds_count", "tensor") == 2
        assert running.figure("medxgan_requests_running") == 0
        assert running.figure("medxgan_ready") == 1
        assert running.figure("medxgan_model_info", "tiny/1", "CPUExecutionProvider") == 1
        told = running.get("/metrics")[1]
        # Under Triton's names, which the parser above would give the suffix of its own counters.
        for line in (
            'nv_inference_request_success{model="tiny",version="1"} 2',
            'nv_inference_exec_count{model="tiny",version="1"} 2',
            'nv_inference_request_failure{model="tiny",version="1",reason="OTHER"} 1',
            'nv_inference_request_failure{model="tiny",version="1",reason="CANCELED"} 0',
            'nv_inference_pending_request_count{model="tiny",version="1"} 0',
        ):
            assert f"\n{line}\n" in told
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(60) == 0
        log = running.process.stderr.read()
    found = verify(audit)
    assert (found.records, found.broken) == (2, None)
    first, second = map(json.loads, audit.read_text().splitlines())
    assert (first["method"], second["method"]) == ("Explain", "Classify")
    for record in (first, second):
        assert record["caller"] == "ipv4:127.0.0.1"
        assert record["model"] == "tiny/1"
        assert record["bundle_sha256"] == explained.model.bundle_sha256
        assert record["input_sha256"] == hashlib.sha256(image.tensor.data).hexdigest()
    assert first["settings"]["inversion"]["steps"] == 7
    assert first["verdict"]
    assert f'"last_hash": "{found.last_hash}"' in log, "noted elsewhere, it shows that the end was not cut off"
    for written in (told, log, audit.read_text()):
        assert POISON not in written


def test_what_can_not_be_noted_is_not_answered(
    serving, tiny_bundle: Path, image: Image, audit: Path, monkeypatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with serving(tiny_bundle.parents[1], audit=audit) as channel:
        stub = ExplanationServiceStub(channel)
        with monkeypatch.context() as patched:
            patched.setattr("medxgan.server.telemetry.audit.os.fsync", full)
            with pytest.raises(grpc.RpcError) as refusal:
                stub.Classify(ClassifyRequest(image=image))
        stub.Classify(ClassifyRequest(image=image))
    assert refusal.value.code() is grpc.StatusCode.UNAVAILABLE
    assert refusal.value.details() == "the audit trail can't be written (No space left on device)"
    assert (verify(audit).records, verify(audit).broken) == (1, None)


def test_a_trail_that_was_changed_is_not_gone_on_with(tiny_bundle: Path, audit: Path) -> None:
    audit.write_text('{"verdict": "RELIABLE"}\n')
    done = subprocess.run(
        [COMMAND, "serve", "--models", tiny_bundle.parents[1], "--address", "127.0.0.1:0", "--audit", audit],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert "line 1: the line before is not the one that it was written after" in done.stderr
