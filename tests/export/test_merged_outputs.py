"""A classifier of several diseases, of which some count as one class, from its ONNX file to the maps of a bundle."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import typer
from onnx import numpy_helper
from torch.nn.functional import conv2d, max_pool2d
from typer.testing import CliRunner

NETWORK = """
<ir_version: 9, opset_import: ["" : 17]>
three_of_them (float[n, 1, 32, 32] x) => (float[n, 3] y) {
    seen = Conv <pads = [1, 1, 1, 1]> (x, w)
    active = Relu (seen)
    pooled = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (active)
    deeper = Conv <pads = [1, 1, 1, 1]> (pooled, u)
    last = Relu (deeper)
    mean = GlobalAveragePool (last)
    flat = Flatten (mean)
    logits = MatMul (flat, v)
    y = Softmax (logits)
}
"""
SECTION = """
[external_classifier]
source = "{file}"
outputs = ["none", "cyst", "tumour"]
merged = {{ lesion = ["cyst", "tumour"] }}
"""


@pytest.mark.slow
def test_the_bundle_has_the_merged_class_its_probability_and_its_gradient(
    command: typer.Typer, configuration: str, tmp_path: Path
) -> None:
    random = np.random.default_rng(5)
    weights = {
        name: random.normal(size=shape).astype(np.float32)
        for name, shape in (("w", (6, 1, 3, 3)), ("u", (6, 6, 3, 3)), ("v", (6, 3)))
    }
    network = onnx.parser.parse_model(NETWORK)
    network.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in weights.items())
    onnx.save(network, tmp_path / "network.onnx")
    (tmp_path / "classifier.toml").write_text(configuration + SECTION.format(file=tmp_path / "network.onnx"))
    bundle = tmp_path / "models" / "several" / "1"
    outcome = CliRunner().invoke(command, ["--config", str(tmp_path / "classifier.toml"), "--out", str(bundle)])
    assert outcome.exit_code == 0, outcome.output
    card = (bundle / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert 'Its outputs are none, lesion; positive is "lesion", negative all others' in card
    assert '"lesion" stands for the outputs cyst, tumour together' in card

    x = torch.from_numpy(random.uniform(-1, 1, (4, 1, 32, 32)).astype(np.float32)).requires_grad_()
    w, u, v = (torch.from_numpy(weights[name]) for name in "wuv")
    logits = conv2d(max_pool2d(conv2d(x, w, padding=1).relu(), 2), u, padding=1).relu().mean((2, 3)) @ v
    merged = torch.logsumexp(logits[:, 1:], 1)
    (gradient,) = torch.autograd.grad(merged.sum(), x)
    found = _run(bundle / "classifier.onnx", x=x.detach())
    torch.testing.assert_close(found["logit"].sigmoid(), logits.softmax(1)[:, 1:].sum(1).detach(), rtol=1e-3, atol=1e-5)
    attributed = _run(bundle / "attribution.onnx", x=x.detach(), target=torch.tensor([[0.0, 1.0]]).expand(4, -1))
    torch.testing.assert_close(attributed["logit"], merged.detach(), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(attributed["gradient"], gradient, rtol=1e-3, atol=1e-4)


def _run(file: Path, **inputs: torch.Tensor) -> dict[str, torch.Tensor]:
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_outputs()]
    results = session.run(names, {name: value.contiguous().numpy() for name, value in inputs.items()})
    return {name: torch.from_numpy(value) for name, value in zip(names, results, strict=True)}
