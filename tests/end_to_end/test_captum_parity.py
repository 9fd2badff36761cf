"""Every map that Captum has, as served over gRPC, against Captum on the PyTorch network: the same picture.

Three classifiers: a shipped one of 64x64 pixels (of 128x128 some ReLU is always at its kink), and MONAI's ResNet-18 and
a DenseNet with three outputs, with weights from a fixed seed. Captum hooks modules, so there each call of a ReLU gets a
module of its own.

The gradient jumps where a ReLU's input passes 0, and in a network with 1e5 units some input is nearly always within
rounding of 0: two correct float32 programs then differ by a per cent. Pictures are taken for which none is.
"""

import copy
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from captum.attr import (  # type: ignore[import-untyped]
    GuidedBackprop,
    GuidedGradCam,
    IntegratedGradients,
    LayerAttribution,
    LayerGradCam,
    Occlusion,
    Saliency,
)
from monai.networks import nets  # type: ignore[import-untyped]
from onnx import numpy_helper
from safetensors.torch import save_file
from torch import Tensor, nn

from medxgan.client import (
    Client,
    Explanation,
    IntegratedGradientsSettings,
    MapKind,
    OcclusionSettings,
    Settings,
)
from medxgan.export.bundle import export_bundle
from medxgan.server.embedded import EmbeddedServer
from medxgan.training.configuration import load_served_classifier
from medxgan.training.networks import Classifier
from medxgan.training.served_classifier import served_classifier

MODELS = Path(__file__).parents[2] / "models"

TOLERANCE = 1e-4
"""Largest difference over the map's largest magnitude; rounding in float32 makes 1e-6 to 1e-5."""

MARGIN = 2.0
"""How many times its rounding error a ReLU's input is away from 0, at least."""

OUTPUTS = ("first", "second", "third")
"""Classes of MONAI's networks here."""

BASELINE = -0.5
PATH_STEPS = 2
"""Few, since every point of the path must be away from the kinks."""

WINDOWS = OcclusionSettings(window=10, stride=4, level=0.25)
"""The windows do not fill 32 or 64 pixels evenly: the last ones are cut off at the border."""

CAPTUM = (
    MapKind.GRADIENT,
    MapKind.GUIDED_BACKPROPAGATION,
    MapKind.GRAD_CAM,
    MapKind.GUIDED_GRAD_CAM,
    MapKind.INTEGRATED_GRADIENTS,
    MapKind.OCCLUSION,
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:Setting backward hooks on ReLU activations:UserWarning"),
]


@dataclass(frozen=True)
class Case:
    """A served classifier and the same in PyTorch.

    Attributes:
        models: the folder that holds its bundle.
        name: of the bundle.
        network: x [B, 1, S, S] to logits [B, K] or [B].
        layer: what Grad-CAM looks at.
        target: the output to explain; None where there is one output.
        classes: names of the outputs.
        size: S.
    """

    models: Path
    name: str
    network: nn.Module
    layer: nn.Module
    target: int | None
    classes: tuple[str, ...]
    size: int

    @property
    def target_class(self) -> str:
        """Name of the output to explain."""
        return self.classes[self.target or 0]


class OwnReluEachCall(nn.Module):
    """A ReLU that is called several times in a pass, as that many modules called once."""

    def __init__(self, calls: int) -> None:
        super().__init__()
        self.each = nn.ModuleList(nn.ReLU() for _ in range(calls))
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.each[self.calls % len(self.each)](x)
        self.calls += 1
        return result


class Normalized(nn.Module):
    """A network that was trained on three channels of mean 0.5 and deviation 0.25, fed with x in [-1, 1]."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.network(((x + 1) / 2 - 0.5).repeat(1, 3, 1, 1) / 0.25)
        return logits


def with_own_relus(network: nn.Module, x: Tensor) -> nn.Module:
    """A copy of the network in which no ReLU module is called twice, and none works in place."""
    network = copy.deepcopy(network)
    calls: dict[str, int] = {}
    hooks = []
    for name, module in network.named_modules():
        if isinstance(module, nn.ReLU):

            def count(*_: object, name: str = name) -> None:
                calls[name] = calls.get(name, 0) + 1

            hooks.append(module.register_forward_hook(count))
    with torch.no_grad():
        network(x)
    for hook in hooks:
        hook.remove()
    for name, number in calls.items():
        parent, _, child = name.rpartition(".")
        setattr(network.get_submodule(parent), child, OwnReluEachCall(number))
    return network


def lively(network: nn.Module, channels: int) -> nn.Module:
    """Batch norm statistics as after training; without them, signals die in so many layers."""
    network.train()
    with torch.no_grad():
        for _ in range(12):
            network(2 * torch.rand(8, channels, 32, 32) - 1)
    return network.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def shipped() -> Case:
    """A shipped bundle's classifier, its weights read from the bundle; batch norm is folded into them."""
    (version,) = (MODELS / "pneumonia").iterdir()
    graph = onnx.load(version / "classifier.onnx").graph
    weights = {each.name: torch.from_numpy(numpy_helper.to_array(each).copy()) for each in graph.initializer}
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    (output,) = [node for node in graph.node if node.op_type == "Gemm"]
    network = Classifier(len(weights[convolutions[0].input[1]])).eval()
    for block, node in zip(network.blocks, convolutions, strict=True):
        weight, bias = (weights[name] for name in node.input[1:])
        block[0] = nn.Conv2d(weight.shape[1], weight.shape[0], 3, padding=1)
        block[0].weight, block[0].bias = nn.Parameter(weight), nn.Parameter(bias)
        block[1] = nn.Identity()
    network.output.weight = nn.Parameter(weights[output.input[1]].view_as(network.output.weight))
    network.output.bias = nn.Parameter(weights[output.input[2]])
    network.requires_grad_(False)
    return Case(MODELS, "pneumonia", network, network.blocks[-1], None, ("pneumonia",), size=64)


@pytest.fixture(scope="module")
def resnet(tmp_path_factory: pytest.TempPathFactory) -> Case:
    """MONAI's ResNet-18, which reuses its ReLU modules, on three normalized channels."""
    arguments = {"spatial_dims": 2, "n_input_channels": 3, "num_classes": 3, "shortcut_type": "B"}
    torch.manual_seed(5)
    network = lively(nets.resnet18(**arguments), channels=3)
    section = {"channels": 3, "mean": [0.5], "std": [0.25]}
    models = export(tmp_path_factory.mktemp("resnet"), "resnet18", network, arguments, section)
    own = with_own_relus(Normalized(network), torch.zeros(1, 1, 32, 32))
    return Case(models, "resnet18", own, own.get_submodule("network.layer4.1.act.each.1"), 2, OUTPUTS, size=32)


@pytest.fixture(scope="module")
def densenet(tmp_path_factory: pytest.TempPathFactory) -> Case:
    """MONAI's DenseNet, whose ReLU modules work in place: the four blocks of DenseNet-121, with fewer layers."""
    arguments = {"spatial_dims": 2, "in_channels": 1, "out_channels": 3, "block_config": [2, 3, 4, 2]}
    torch.manual_seed(5)
    network = lively(nets.DenseNet(**arguments), channels=1)
    models = export(tmp_path_factory.mktemp("densenet"), "DenseNet", network, arguments, {})
    own = with_own_relus(network, torch.zeros(1, 1, 32, 32))
    return Case(models, "densenet", own, own.get_submodule("features.transition3.conv"), 0, OUTPUTS, size=32)


def export(
    folder: Path, factory: str, network: nn.Module, arguments: dict[str, object], section: dict[str, object]
) -> Path:
    """Write the bundle of one of MONAI's networks with three outputs; the folder of models."""

    def lines(values: dict[str, object]) -> str:
        # Numbers, strings and lists are written alike in JSON and TOML.
        return "".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items())

    save_file(network.state_dict(), folder / "weights.safetensors")
    (folder / "classifier.toml").write_text(
        '[image]\nsize = 32\nlower_percentile = 0\nupper_percentile = 100\nmodality = "noise"\naspect = "crop"\n'
        '[classes]\npositive = "second"\nnegative = "others"\n'
        '[card]\ndata = ["none: random weights"]\nlicense = "Apache-2.0"\n'
        f'[external_classifier]\nsource = "monai.networks.nets:{factory}"\nweights = "weights.safetensors"\n'
        f"outputs = {json.dumps(OUTPUTS)}\n{lines(section)}"
        f"[external_classifier.arguments]\n{lines(arguments)}",
        encoding="utf-8",
    )
    model = served_classifier(load_served_classifier(folder / "classifier.toml"))
    export_bundle(model, folder / "models" / factory.lower() / "1")
    return folder / "models"


@pytest.fixture(scope="module", params=["shipped", "resnet", "densenet"])
def case(request: pytest.FixtureRequest) -> Case:
    """Each classifier in turn."""
    chosen: Case = request.getfixturevalue(request.param)
    return chosen


@pytest.fixture(scope="module")
def served(case: Case) -> Iterator[Explanation]:
    """What a server answers about a picture that lies away from the kinks of the network."""
    exact = copy.deepcopy(case.network).double()
    with EmbeddedServer(case.models, "cpu") as server, Client(server.address) as client:
        for seed in range(200):
            levels = picture(case.size, seed)
            seen = client.explain(levels, model=case.name, maps=[MapKind.ORIGINAL]).original
            if away_from_kinks(case.network, exact, torch.from_numpy(seen.copy())[None, None]):
                settings = Settings(
                    target_class=case.target_class,
                    integrated_gradients=IntegratedGradientsSettings(PATH_STEPS, BASELINE),
                    occlusion=WINDOWS,
                )
                yield client.explain(levels, model=case.name, maps=[MapKind.ORIGINAL, *CAPTUM], settings=settings)
                return
    pytest.fail("every picture lies at a kink")


def picture(size: int, seed: int) -> np.ndarray:
    """A picture with smooth and rough parts, [S, S] uint8."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[:size, :size] / size
    smooth = np.sin(random.uniform(4, 9) * rows) * np.cos(random.uniform(4, 9) * columns)
    levels: np.ndarray = (120 * smooth + 128 + random.normal(0, 6, (size, size))).clip(0, 255).astype(np.uint8)
    return levels


@torch.no_grad()
def away_from_kinks(network: nn.Module, exact: nn.Module, x: Tensor) -> bool:
    """Whether no ReLU's input is within rounding of 0, for x: [1, 1, S, S] and every point of its path.

    The rounding error is measured: the largest in each layer's input against that of `exact`, the same in float64.
    """
    points = torch.from_numpy((1 + np.polynomial.legendre.leggauss(PATH_STEPS)[0]) / 2).float()
    images = torch.cat([x, BASELINE + points[:, None, None, None] * (x - BASELINE)])
    return all(
        bool((truth.abs() > MARGIN * (truth - value).abs().max()).all())
        for value, truth in zip(relu_inputs(network, images), relu_inputs(exact, images.double()), strict=True)
    )


def relu_inputs(network: nn.Module, x: Tensor) -> list[Tensor]:
    """What every ReLU gets, in the order of the calls."""
    inputs: list[Tensor] = []
    hooks = [
        module.register_forward_pre_hook(lambda _, arguments: inputs.append(arguments[0]))
        for module in network.modules()
        if isinstance(module, nn.ReLU)
    ]
    network(x)
    for hook in hooks:
        hook.remove()
    return inputs


def captum(case: Case, kind: MapKind, x: Tensor) -> Tensor:
    """Captum's attribution of x: [1, 1, S, S]."""
    network, layer, target = case.network, case.layer, case.target
    side = x.shape[-1]

    def grad_cam() -> Tensor:
        attribution = LayerGradCam(network, layer).attribute(x, target, relu_attributions=True)
        resized: Tensor = LayerAttribution.interpolate(attribution, (side, side), "bilinear")
        return resized

    explain: dict[MapKind, Callable[[], Tensor]] = {
        MapKind.GRADIENT: lambda: Saliency(network).attribute(x, target, abs=False),
        MapKind.GUIDED_BACKPROPAGATION: lambda: GuidedBackprop(network).attribute(x, target),
        MapKind.GRAD_CAM: grad_cam,
        MapKind.GUIDED_GRAD_CAM: lambda: GuidedGradCam(network, layer).attribute(
            x, target, interpolate_mode="bilinear"
        ),
        MapKind.INTEGRATED_GRADIENTS: lambda: IntegratedGradients(network).attribute(
            x, torch.full_like(x, BASELINE), target, n_steps=PATH_STEPS, method="gausslegendre"
        ),
        MapKind.OCCLUSION: lambda: Occlusion(network).attribute(
            x,
            sliding_window_shapes=(1, WINDOWS.window, WINDOWS.window),
            strides=(1, WINDOWS.stride, WINDOWS.stride),
            baselines=WINDOWS.level,
            target=target,
            perturbations_per_eval=32,
        ),
    }
    return explain[kind]().detach()


@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", CAPTUM)
def test_a_served_map_is_captums(case: Case, served: Explanation, kind: MapKind) -> None:
    x = torch.from_numpy(served.original.copy())[None, None].requires_grad_()
    expected = captum(case, kind, x)[0, 0].double().numpy()
    found = served[kind].astype(float)
    assert np.abs(expected).max() > 0
    assert np.abs(found - expected).max() / np.abs(expected).max() <= TOLERANCE


@pytest.mark.timeout(900)
def test_the_logit_is_that_of_the_target(case: Case, served: Explanation) -> None:
    with torch.no_grad():
        logits = case.network(torch.from_numpy(served.original.copy())[None, None])
    assert served.target is not None
    assert served.target.class_name == case.target_class
    assert served.target.logit == pytest.approx(float(logits.reshape(-1)[case.target or 0]), rel=1e-4, abs=1e-5)
