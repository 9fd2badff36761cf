"""From the operator's choice to the providers that run."""

import pytest

from medxgan.server.engine.providers import CPU, CUDA, OPENVINO, TENSORRT, available_chain, fallback_reason


@pytest.mark.parametrize(
    ("choice", "available", "chain", "running", "reason"),
    [
        ("auto", [CPU], [CPU], CPU, ""),
        ("auto", [CUDA, CPU], [CUDA, CPU], CUDA, ""),
        ("auto", [TENSORRT, CUDA, CPU], [CUDA, CPU], CPU, "did not start"),
        ("cpu", [CUDA, CPU], [CPU], CPU, ""),
        ("cuda", [CPU], [CPU], CPU, "not in this build"),
        ("cuda", [CUDA, CPU], [CUDA, CPU], CPU, "did not start"),
        ("tensorrt", [TENSORRT, CUDA, CPU], [TENSORRT, CUDA, CPU], TENSORRT, ""),
        ("tensorrt", [CUDA, CPU], [CUDA, CPU], CUDA, "not in this build"),
        ("openvino", [OPENVINO, CPU], [OPENVINO, CPU], OPENVINO, ""),
        ("openvino", [CPU], [CPU], CPU, "not in this build"),
        ("auto", [OPENVINO, CPU], [CPU], CPU, ""),
    ],
)
def test_providers_of_a_choice(choice, available, chain, running, reason):
    assert available_chain(choice, available) == chain
    found = fallback_reason(choice, available, running)
    assert reason in found
    assert bool(found) == bool(reason)
