"""Classifiers that can't be exported: what is wrong is said, and nothing is written."""

import sys
from pathlib import Path

import pytest
import torch
import typer
from safetensors.torch import save_file
from typer.testing import CliRunner

RESNET = """[external_classifier]
source = "monai.networks.nets:resnet18"
arguments = { spatial_dims = 2, n_input_channels = 1, num_classes = 2 }
outputs = ["lesion", "healthy"]
"""
FOREIGN = """
import torch
from torch import nn

def net(*tail, pool=None):
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(), pool or nn.Identity(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 1), *tail,
    )

def probability(): return net(nn.Sigmoid())
def sigmoid():
    class Sigmoid(nn.Module):
        def __init__(self):
            super().__init__()
            self.network = net()
        def forward(self, x):
            return torch.sigmoid(self.network(x)).clamp(1e-7, 1 - 1e-7)
    return Sigmoid()
def column():
    class Column(nn.Module):
        def __init__(self):
            super().__init__()
            self.network = net(nn.Linear(1, 2))
        def forward(self, x):
            return torch.softmax(self.network(x), 1)[:, 1]
    return Column()
def written_out():
    class WrittenOut(nn.Module):
        def __init__(self):
            super().__init__()
            self.network = net()
        def forward(self, x):
            return 1 / (1 + torch.exp(-self.network(x)))
    return WrittenOut()
def unsupported(): return net(pool=nn.AdaptiveMaxPool2d(4))
def infinite():
    network = net()
    nn.init.constant_(network[5].bias, float("inf"))
    return network
def batchwise():
    class Batchwise(nn.Module):
        def __init__(self):
            super().__init__()
            self.network = net()
        def forward(self, x):
            return self.network(x - x.mean(0))
    return Batchwise()
def flat(): return nn.Sequential(nn.Flatten(), nn.Linear(1024, 1))
def pictured(): return nn.Sequential(nn.Conv2d(1, 1, 3))
def raising(): raise RuntimeError("no weights today")
def number(): return 3
def wavering():
    class Wavering(nn.Module):
        def __init__(self):
            super().__init__()
            self.network = net()
        def forward(self, x):
            return self.network(x if x.mean() > 0 else -x)
    return Wavering()
constant = 3
"""


@pytest.mark.parametrize(
    ("section", "told"),
    [
        ('source = "no.such.module:net"', "can't import no.such.module"),
        ('source = "foreign_nets:nothing"', 'expected a callable "nothing" in foreign_nets, found none'),
        ('source = "foreign_nets:constant"', "found a int"),
        ('source = "foreign_nets:number"', "expected foreign_nets:number to make a torch.nn.Module, found a int"),
        ('source = "foreign_nets:raising"', "RuntimeError: no weights today"),
        ('source = "foreign_nets:net"\narguments = { width = 3 }', "unexpected keyword argument 'width'"),
        ('source = "foreign_nets:net"\nchannels = 3', "does not take 3 x 32 x 32 pixels: RuntimeError"),
        (
            'source = "foreign_nets:net"\nlayer = "6"',
            'no layer "6" gives activations [B, C, H, W], [B, H, W, C] or tokens; the last that do are 1, 0',
        ),
        (
            'source = "foreign_nets:net"\noutputs = ["lesion", "b"]',
            "expected the names of the network's 1 outputs",
        ),
        ('source = "foreign_nets:net"\noutputs = ["a", "b"]', "classes.positive: expected one of a, b, found lesion"),
        ('source = "foreign_nets:probability"', "expected logits"),
        ('source = "foreign_nets:sigmoid"', "the outputs are probabilities (of a sigmoid), whose gradients fade"),
        ('source = "foreign_nets:column"', "(of a softmax), whose gradients fade; expected logits"),
        ('source = "foreign_nets:written_out"', "if these are logits, state external_classifier.logits = true"),
        ('source = "foreign_nets:infinite"', "not finite"),
        ('source = "foreign_nets:batchwise"', "depend on the others of its batch"),
        (
            'source = "foreign_nets:unsupported"',
            "operator aten.adaptive_max_pool2d_backward.default (layer '2'): has no decomposition",
        ),
        ('source = "foreign_nets:flat"', "layer: the network has none whose activations are known to be"),
        ('source = "foreign_nets:pictured"', "expected outputs [B, K], found [3, 1, 30, 30]"),
        ('source = "foreign_nets:wavering"', "the network can't be written as one graph"),
        ('source = "absent.onnx"', "no such file"),
        ('source = "text.onnx"', "text.onnx: expected an ONNX file"),
        ('source = "foreign_nets:net"\nweights = "absent.safetensors"', "weights: no such file"),
        ('source = "foreign_nets:net"\nweights = "text.onnx"', "expected a safetensors file"),
        ('source = "foreign_nets:net"\nmean = [1, 2]', "mean: expected 1 or 1 numbers"),
        ('source = "foreign_nets.net"', "external_classifier.source"),
        ('source = "foreign_nets:net"\nmoan = [1]', "external_classifier.moan"),
    ],
)
def test_what_is_wrong_is_said(
    command: typer.Typer, configuration: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, section: str, told: str
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "foreign_nets.py").write_text(FOREIGN)
    (tmp_path / "text.onnx").write_text("no graph")
    (tmp_path / "classifier.toml").write_text(f"{configuration}[external_classifier]\n{section}\n")
    out = tmp_path / "models" / "external" / "1"
    outcome = CliRunner().invoke(command, ["--config", str(tmp_path / "classifier.toml"), "--out", str(out)])
    monkeypatch.delitem(sys.modules, "foreign_nets", raising=False)
    assert outcome.exit_code == 1, outcome.output
    assert told in outcome.output
    assert not out.exists()


@pytest.mark.slow
def test_weights_of_another_network_are_listed(command: typer.Typer, configuration: str, tmp_path: Path) -> None:
    from monai.networks.nets import resnet18  # type: ignore[attr-defined] # takes seconds

    other = resnet18(spatial_dims=2, n_input_channels=1, num_classes=3).state_dict()
    del other["bn1.weight"]
    save_file(other | {"head.bias": torch.zeros(1)}, tmp_path / "weights.safetensors")
    (tmp_path / "classifier.toml").write_text(f"{configuration}{RESNET}")
    arguments = ["--config", str(tmp_path / "classifier.toml"), "--out", str(tmp_path / "external" / "1")]
    outcome = CliRunner().invoke(command, [*arguments, "--weights", str(tmp_path / "weights.safetensors")])
    assert outcome.exit_code == 1
    assert (
        "weights.safetensors is of another network: 1 missing (bn1.weight); 1 unexpected (head.bias); "
        "2 of another shape (fc.bias: expected [2], found [3], fc.weight: expected [2, 512], found [3, 512])"
    ) in outcome.output


def test_a_configuration_that_is_not_toml_is_named(command: typer.Typer, tmp_path: Path) -> None:
    (tmp_path / "classifier.toml").write_text("[image\nmodality = 3")
    arguments = ["--config", str(tmp_path / "classifier.toml"), "--out", str(tmp_path / "external" / "1")]
    outcome = CliRunner().invoke(command, arguments)
    assert outcome.exit_code == 1
    assert "classifier.toml: not TOML" in outcome.output


def test_a_source_on_the_command_line_takes_the_place_of_the_files(
    command: typer.Typer, configuration: str, tmp_path: Path
) -> None:
    (tmp_path / "classifier.toml").write_text(configuration)
    arguments = ["--config", str(tmp_path / "classifier.toml"), "--out", str(tmp_path / "external" / "1")]
    for given, told in (([], "external_classifier: Field required"), (["no.such:net"], "can't import no.such")):
        outcome = CliRunner().invoke(command, [*given, *arguments])
        assert outcome.exit_code == 1
        assert told in outcome.output
