"""`medxgan warm-up`: says of every model what runs it, and fails where less runs than was asked for."""

import subprocess
import sys
from pathlib import Path

import onnxruntime
import pytest

COMMAND = Path(sys.executable).with_name("medxgan")


def warm_up(*options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([COMMAND, "warm-up", *map(str, options)], capture_output=True, text=True, timeout=120)


def test_every_model_is_made_ready(tiny_bundle: Path) -> None:
    done = warm_up("--models", tiny_bundle.parents[1], "--provider", "cpu")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("tiny/1: CPUExecutionProvider, ready in ")


@pytest.mark.skipif(
    "TensorrtExecutionProvider" in onnxruntime.get_available_providers(), reason="this ONNX Runtime has TensorRT"
)
def test_less_than_was_asked_for_is_a_failure_with_its_reason(tiny_bundle: Path) -> None:
    done = warm_up("--models", tiny_bundle.parents[1], "--provider", "tensorrt")
    assert done.returncode == 1
    assert "tiny/1: CPUExecutionProvider (TensorrtExecutionProvider is not in this build" in done.stdout


@pytest.mark.slow
def test_without_models_there_is_nothing_to_make_ready(tmp_path: Path) -> None:
    done = warm_up("--models", tmp_path)
    assert done.returncode == 1
    assert "medxgan warm-up: " in done.stderr
    assert "expected bundles in folders NAME/VERSION" in done.stderr
