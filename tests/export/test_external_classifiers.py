"""Classifiers that were trained elsewhere, from the command to the stored graphs, against autograd on the original."""

import copy
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import protovalidate
import pytest
import torch
import typer
from captum.attr import GuidedBackprop  # type: ignore[import-untyped]
from google.protobuf import json_format
from monai.networks.nets import DenseNet, resnet18  # type: ignore[attr-defined]
from monai.networks.nets.efficientnet import EfficientNet
from onnx import numpy_helper
from safetensors.torch import save_file
from torch import Tensor, nn
from typer.testing import CliRunner

from medxgan.bundle.graphs import ATTRIBUTION_PARTS, output_names
from medxgan.export.comparison import Output, Tolerance, require_agreement
from medxgan.export.errors import VerificationError
from medxgan.export.verification import verify_conversion
from medxgan.training.networks import ExternalClassifier
from medxgan.training.networks.onnx_module import read_onnx
from medxgan.training.networks.resampling import resampling
from medxgan.v1.bundle_pb2 import Bundle, GraphRole

SIZE = 32


class SmallNet(nn.Module):
    """What an ONNX file is made of: residual, squeeze-and-excitation, depthwise, and pooling of every kind."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU())
        self.pool = nn.MaxPool2d(3, 2, 1)
        self.depthwise = nn.Sequential(
            nn.Conv2d(8, 8, 3, 1, 2, dilation=2, groups=8), nn.BatchNorm2d(8), nn.Hardswish()
        )
        self.squeeze = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(8, 4, 1), nn.ReLU(), nn.Conv2d(4, 8, 1))
        self.head = nn.Sequential(nn.AvgPool2d(2, 2), nn.Conv2d(16, 12, 1), nn.LeakyReLU(0.1))
        self.last = nn.Linear(12 * 16, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.stem(x))
        y = self.depthwise(x)
        y = y * torch.sigmoid(self.squeeze(y))
        features = self.head(torch.cat([x + y, y], 1))
        logits: Tensor = self.last(features.view(features.size(0), -1))
        return logits


@dataclass(frozen=True)
class Case:
    """A network, how the command is told of it, and what it is fed in terms of x."""

    section: str
    make: Callable[[], nn.Module]
    layer: str
    outputs: int = 1
    positive: int = 0
    exclusive: bool = True
    positive_class: str = "lesion"
    fed: Callable[[Tensor], Tensor] = lambda x: x


CASES = {
    "resnet18": Case(
        """source = "monai.networks.nets:resnet18"
        arguments = { spatial_dims = 2, n_input_channels = 3, num_classes = 3 }
        channels = 3
        mean = [0.485, 0.456, 0.406]
        std = [0.229, 0.224, 0.225]
        outputs = ["healthy", "benign", "malignant"]
        """,
        lambda: resnet18(spatial_dims=2, n_input_channels=3, num_classes=3),
        "layer4.1.act",
        outputs=3,
        positive=2,
        positive_class="malignant",
        fed=lambda x: (
            ((x + 1) / 2 - torch.tensor([0.485, 0.456, 0.406])[:, None, None])
            / torch.tensor([0.229, 0.224, 0.225])[:, None, None]
        ),
    ),
    "densenet": Case(
        """source = "monai.networks.nets:DenseNet"
        layer = "features.transition1.conv"
        [external_classifier.arguments]
        spatial_dims = 2
        in_channels = 1
        out_channels = 1
        init_features = 8
        growth_rate = 4
        block_config = [2, 2]
        """,
        lambda: DenseNet(2, 1, 1, init_features=8, growth_rate=4, block_config=(2, 2)),
        "features.transition1.conv",
    ),
    "efficientnet": Case(
        """source = "monai.networks.nets.efficientnet:EfficientNet"
        outputs = ["ill", "healthy"]
        activation = "logistic"
        [external_classifier.arguments]
        blocks_args_str = ["r1_k3_s11_e1_i32_o16_se0.25", "r1_k5_s22_e6_i16_o24_se0.25"]
        spatial_dims = 2
        in_channels = 1
        num_classes = 2
        """,
        lambda: EfficientNet(
            ["r1_k3_s11_e1_i32_o16_se0.25", "r1_k5_s22_e6_i16_o24_se0.25"],
            spatial_dims=2,
            in_channels=1,
            num_classes=2,
        ),
        "_swish",
        outputs=2,
        positive_class="ill",
        exclusive=False,
    ),
    "onnx": Case(
        'source = "small.onnx"\noutputs = ["ill", "healthy"]', SmallNet, "head.2", outputs=2, positive_class="ill"
    ),
}


@dataclass(frozen=True)
class Exported:
    """A case's network, as PyTorch has it, and the bundle that the command wrote of it."""

    case: Case
    network: nn.Module
    bundle: Path

    def run(self, graph: str, **inputs: Tensor) -> dict[str, Tensor]:
        session = onnxruntime.InferenceSession(self.bundle / graph, providers=["CPUExecutionProvider"])
        names = [each.name for each in session.get_outputs()]
        outputs = session.run(names, {name: value.numpy() for name, value in inputs.items()})
        return {name: torch.from_numpy(value) for name, value in zip(names, outputs, strict=True)}


@pytest.fixture(scope="module", params=CASES)
def exported(
    request: pytest.FixtureRequest,
    command: typer.Typer,
    configuration: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Exported:
    case, folder = CASES[request.param], tmp_path_factory.mktemp("external")
    network = lively(case.make())
    (folder / "classifier.toml").write_text(f"{positive(configuration, case)}[external_classifier]\n{case.section}\n")
    arguments = ["--config", str(folder / "classifier.toml"), "--out", str(folder / "models" / "external" / "1")]
    if request.param == "onnx":
        write_onnx(network, folder / "small.onnx")
    else:
        save_file(network.state_dict(), folder / "weights.safetensors")
        arguments += ["--weights", str(folder / "weights.safetensors")]
    outcome = CliRunner().invoke(command, arguments)
    assert outcome.exit_code == 0, outcome.output
    return Exported(case, network, folder / "models" / "external" / "1")


def positive(configuration: str, case: Case) -> str:
    """The configuration with the name of the case's positive class."""
    return configuration.replace('positive = "lesion"', f'positive = "{case.positive_class}"')


def lively(network: nn.Module) -> nn.Module:
    """Random weights, batch norms as after training, nothing in place: Captum's hooks don't bear it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.normal_(module.running_mean, 0, 0.1)  # type: ignore[arg-type]
                nn.init.uniform_(module.running_var, 0.5, 1.5)  # type: ignore[arg-type]
                nn.init.uniform_(module.weight, 0.5, 1.5)
                nn.init.normal_(module.bias, 0, 0.2)
            elif isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if getattr(module, "inplace", False):
                module.inplace = False  # type: ignore[assignment]
    return network.eval().requires_grad_(False)


def write_onnx(network: nn.Module, file: Path) -> None:
    batch = torch.export.Dim("batch")
    program = torch.export.export(network, (torch.zeros(3, 1, SIZE, SIZE),), dynamic_shapes=({0: batch},))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # the exporter's, of itself
        converted = torch.onnx.export(program, dynamo=True, verbose=False)
    assert converted is not None
    onnx.save(converted.model_proto, file)


def pictures(batch: int) -> Tensor:
    random = torch.Generator().manual_seed(batch)
    patches = torch.randn(batch, 1, 6, 6, generator=random)
    return nn.functional.interpolate(patches, (SIZE, SIZE), mode="bilinear").clamp(-1, 1)


def autograd(exported: Exported, x: Tensor, target: Tensor) -> dict[str, Tensor]:
    """What the attribution graph ought to give, of the network as it came."""
    kept: list[Tensor] = []

    def keep(_module: nn.Module, _inputs: object, output: Tensor) -> Tensor:
        kept.append(output)
        return output.clone()

    case, network = exported.case, copy.deepcopy(exported.network)
    hook = network.get_submodule(case.layer).register_forward_hook(keep)
    x = x.clone().requires_grad_()
    logit = network(case.fed(x)).gather(1, target[:, None])[:, 0]
    gradient, activation_gradients = torch.autograd.grad(logit.sum(), [x, kept[-1]])
    hook.remove()
    fed = case.fed(x.detach()).requires_grad_()
    guided = GuidedBackprop(network).attribute(fed, target=target)
    # From the gradient with respect to what the network is fed to the one with respect to x.
    (guided_gradient,) = torch.autograd.grad((case.fed(x) * guided.detach()).sum(), x)
    return {
        "logit": logit.detach(),
        "gradient": gradient,
        "activations": kept[-1].detach(),
        "activation_gradients": activation_gradients,
        "guided_gradient": guided_gradient,
    }


@pytest.mark.filterwarnings("ignore:Setting backward hooks on ReLU activations:UserWarning")
def test_every_output_is_attributed_as_autograd_does(exported: Exported) -> None:
    x, outputs = pictures(6), exported.case.outputs
    target = torch.arange(6) % outputs
    inputs = {"x": x}
    if outputs > 1:
        inputs["target"] = nn.functional.one_hot(target, outputs).float()
    found = exported.run("attribution.onnx", **inputs)
    expected = autograd(exported, x, target)
    for name in ATTRIBUTION_PARTS[-1]:
        scale = expected[name].abs().max()
        # A unit within rounding of its kink falls on either side, as threads and processors sum: two of six rows may.
        tolerance = Tolerance(usual=1e-3, utmost=0.05, exceptions=0.34 if "grad" in name else 0.0)
        require_agreement(Output("attribution.onnx", name, len(x)), found[name], expected[name], scale, tolerance)
    for name in ("gradient", "guided_gradient"):
        rows = found[name].flatten(1)
        assert float((rows[0] - rows[outputs]).abs().max()) > 0.01 * float(rows[0].abs().max()), name


def test_the_target_chooses_the_output(exported: Exported) -> None:
    outputs = exported.case.outputs
    if outputs == 1:
        pytest.skip("has one output")
    x = pictures(1).expand(outputs, -1, -1, -1).contiguous()
    found = exported.run("attribution.onnx", x=x, target=torch.eye(outputs))
    torch.testing.assert_close(found["logit"], exported.network(exported.case.fed(x[:1]))[0], rtol=1e-3, atol=1e-4)
    assert float((found["gradient"][0] - found["gradient"][1]).abs().max()) > 0.01 * float(
        found["gradient"].abs().max()
    )


def test_the_logit_is_that_of_the_probability(exported: Exported) -> None:
    x, case = pictures(4), exported.case
    outputs = exported.network(case.fed(x))
    exclusive = case.outputs > 1 and case.exclusive
    probability = (outputs.softmax(1) if exclusive else outputs.sigmoid())[:, case.positive]
    found = exported.run("classifier.onnx", x=x)
    torch.testing.assert_close(found["logit"].sigmoid(), probability, rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(found["outputs"], outputs, rtol=1e-3, atol=1e-4)


def test_the_bundle_says_what_it_holds(exported: Exported) -> None:
    description = json_format.Parse((exported.bundle / "bundle.json").read_text(encoding="utf-8"), Bundle())
    protovalidate.validate(description)
    assert {GraphRole.Name(graph.role).removeprefix("GRAPH_ROLE_") for graph in description.graphs} == {
        "ATTRIBUTION",
        "CLASSIFIER",
        "OPEN",
    }
    assert len(description.classification.outputs) == exported.case.outputs
    classification = description.classification
    assert output_names(classification).index(classification.positive_class) == exported.case.positive
    assert "external_classifier" in description.provenance.configuration
    for part in ("familiarity", "latent", "inversion"):
        assert not description.HasField(part)
    card = (exported.bundle / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert "This bundle holds no generator" in card
    assert "Steps" not in card
    assert str(exported.bundle.parents[2]) not in (exported.bundle / "bundle.json").read_text(encoding="utf-8")


def test_a_trained_model_without_generator_makes_a_bundle_of_the_classifier(plain_models: Path) -> None:
    text = (plain_models / "plain" / "1" / "bundle.json").read_text(encoding="utf-8")
    description = json_format.Parse(text, Bundle())
    assert len(description.graphs) == 5
    assert not description.HasField("latent")
    assert not description.HasField("reliability")


@pytest.mark.slow
@pytest.mark.parametrize(("half", "side"), [(False, 40), (True, 32)])
def test_a_file_that_takes_channels_last_pictures_of_its_own_size_and_gives_probabilities(
    command: typer.Typer, configuration: str, tmp_path: Path, half: bool, side: int
) -> None:
    kind, dtype = ("float16", np.float16) if half else ("float", np.float32)
    graph = onnx.parser.parse_model(f"""
        <ir_version: 9, opset_import: ["" : 18]>
        network ({kind}[B, {side}, {side}, 3] x) => ({kind}[B, 3] y) {{
            first = Transpose <perm = [0, 3, 1, 2]> (x)
            seen = Conv <kernel_shape = [3, 3], strides = [2, 2]> (first, w)
            active = Relu (seen)
            mean = GlobalAveragePool (active)
            flat = Flatten (mean)
            logits = MatMul (flat, v)
            y = Softmax (logits)
        }}
    """)
    random = np.random.default_rng(2)
    w, v = random.normal(size=(4, 3, 3, 3)), random.normal(size=(4, 3))
    graph.graph.initializer.extend(
        [numpy_helper.from_array(w.astype(dtype), "w"), numpy_helper.from_array(v.astype(dtype), "v")]
    )
    onnx.save(graph, tmp_path / "last.onnx")
    section = f'source = "last.onnx"\nsize = {side}\nchannels = 3\noutputs = ["lesion", "b", "c"]\n'
    (tmp_path / "classifier.toml").write_text(f"{configuration}[external_classifier]\n{section}")
    arguments = ["--config", str(tmp_path / "classifier.toml"), "--out", str(tmp_path / "last" / "1")]
    outcome = CliRunner().invoke(command, arguments)
    assert outcome.exit_code == 0, outcome.output
    described = (tmp_path / "last" / "1" / "bundle.json").read_text(encoding="utf-8")
    assert "The Softmax that the file ends in was left out" in described
    assert ("half precision" in described) == half
    x = pictures(2)
    session = onnxruntime.InferenceSession(tmp_path / "last" / "1" / "classifier.onnx")
    (outputs,) = session.run(["outputs"], {"x": x.numpy()})
    file = onnxruntime.InferenceSession(tmp_path / "last.onnx")
    resized = resampling(32, side) @ x @ resampling(32, side).T
    fed = resized.expand(-1, 3, -1, -1).permute(0, 2, 3, 1).numpy().astype(dtype)
    (expected,) = file.run(None, {"x": fed})
    tolerance = 0.01 if half else 1e-5
    torch.testing.assert_close(
        torch.from_numpy(outputs).softmax(1), torch.from_numpy(expected).float(), rtol=0, atol=tolerance
    )


@pytest.mark.parametrize("batch", [None, 1, 16])
def test_a_file_says_nothing_of_its_shapes_or_is_made_for_so_many_pictures(tmp_path: Path, batch: int | None) -> None:
    graph = onnx.parser.parse_model("""
        <ir_version: 9, opset_import: ["" : 17]>
        network (float[B, 1, 32, 32] x) => (float[B, 2] y) {
            seen = Conv <kernel_shape = [3, 3]> (x, w)
            active = Relu (seen)
            mean = GlobalAveragePool (active)
            flat = Flatten (mean)
            y = MatMul (flat, v)
        }
    """)
    random = np.random.default_rng(2)
    for name, shape in (("w", (4, 1, 3, 3)), ("v", (4, 2))):
        graph.graph.initializer.append(numpy_helper.from_array(random.normal(size=shape).astype(np.float32), name))
    for kind in (graph.graph.input[0].type.tensor_type, graph.graph.output[0].type.tensor_type):
        if batch is None:
            kind.ClearField("shape")
        else:
            kind.shape.dim[0].dim_value = batch
    onnx.save(graph, tmp_path / "network.onnx")
    classifier = ExternalClassifier(read_onnx(tmp_path / "network.onnx"), SIZE)
    verify_conversion(tmp_path / "network.onnx", classifier, SIZE)


def test_a_conversion_that_disagrees_with_its_file_is_refused(tmp_path: Path) -> None:
    network = lively(SmallNet())
    write_onnx(network, tmp_path / "small.onnx")
    converted = read_onnx(tmp_path / "small.onnx")
    verify_conversion(tmp_path / "small.onnx", ExternalClassifier(converted, SIZE), SIZE)
    last = [module for module in converted.modules() if isinstance(module, nn.Linear)][-1]
    last.bias.add_(0.01)
    with pytest.raises(VerificationError, match=r"small\.onnx, output of the file itself, batch 10: disagrees"):
        verify_conversion(tmp_path / "small.onnx", ExternalClassifier(converted, SIZE), SIZE)
