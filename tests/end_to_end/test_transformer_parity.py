"""Transformers and ConvNeXt from the command `export-classifier` to the maps that are served, against Captum.

They have no ReLU, and so no kinks: any picture will do. Guided backpropagation is then the gradient.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import torch
import typer
from captum.attr import (  # type: ignore[import-untyped]
    IntegratedGradients,
    LayerAttribution,
    LayerGradientXActivation,
    Occlusion,
    Saliency,
)
from tests import small_transformers
from torch import Tensor, nn
from typer.testing import CliRunner

from medxgan.client import (
    Client,
    Explanation,
    IntegratedGradientsSettings,
    MapKind,
    OcclusionSettings,
    Settings,
)
from medxgan.export.command import export_classifier
from medxgan.server.embedded import EmbeddedServer

SIZE = 24

TARGET = 1
"""The output that is explained, "second"."""

TOLERANCE = 1e-4
"""Largest difference over the map's largest magnitude; rounding in float32 makes 1e-6 to 1e-5."""

BASELINE = -0.5
PATH_STEPS = 5
WINDOWS = OcclusionSettings(window=10, stride=4, level=0.25)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.filterwarnings("ignore:Setting forward, backward hooks:UserWarning"),
]


@dataclass(frozen=True)
class Case:
    """A network, and its layer for Grad-CAM.

    Attributes:
        make: of `small_transformers`.
        layer: name.
        places: from what the layer gives to [B, C, h, w].
    """

    make: Callable[[], nn.Module]
    layer: str
    places: Callable[[Tensor], Tensor]


CASES = {
    "vit": Case(
        small_transformers.vit,
        "blocks.1.norm1",
        lambda tokens: tokens[:, 1:].transpose(1, 2).unflatten(2, (6, 6)),
    ),
    "swin": Case(small_transformers.swin, "last", lambda x: x.movedim(3, 1)),
    "convnext": Case(small_transformers.convnext, "stages.3", lambda x: x),
}

CONFIGURATION = f"""
[image]
size = {SIZE}
lower_percentile = 0
upper_percentile = 100
modality = "noise"
aspect = "crop"

[classes]
positive = "first"
negative = "second"

[card]
data = ["none: random weights"]
license = "Apache-2.0"

[external_classifier]
outputs = ["first", "second"]
"""


@pytest.fixture(scope="module", params=CASES)
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Case, Explanation]:
    """A case, and what a server answers about a picture."""
    folder, name = tmp_path_factory.mktemp("transformer"), request.param
    (folder / "classifier.toml").write_text(CONFIGURATION)
    command = typer.Typer()
    command.command()(export_classifier)
    source, out = f"tests.small_transformers:{name}", folder / "models" / name / "1"
    outcome = CliRunner().invoke(command, [source, "--config", str(folder / "classifier.toml"), "--out", str(out)])
    assert outcome.exit_code == 0, outcome.output
    levels = np.random.default_rng(2).integers(0, 256, (SIZE, SIZE), np.uint8)
    settings = Settings(
        target_class="second",
        integrated_gradients=IntegratedGradientsSettings(PATH_STEPS, BASELINE),
        occlusion=WINDOWS,
    )
    with EmbeddedServer(folder / "models", "cpu") as server, Client(server.address) as client:
        return CASES[name], client.explain(levels, model=name, maps=[MapKind.ORIGINAL, *CAPTUM], settings=settings)


def grad_cam(case: Case, network: nn.Module, x: Tensor) -> Tensor:
    """[B, 1, S, S] Selvaraju's formula on the layer's places: Captum's own is for [B, C, H, W] alone."""
    layer = network.get_submodule(case.layer)
    kept: list[Tensor] = []
    hook = layer.register_forward_hook(lambda _module, _inputs, output: kept.append(output.detach()))
    network(x)
    hook.remove()
    activations = case.places(kept[0])
    product = case.places(LayerGradientXActivation(network, layer).attribute(x, target=TARGET).detach())
    gradients = torch.where(activations == 0, torch.zeros(()), product / activations)
    cam = (gradients.mean((2, 3), keepdim=True) * activations).sum(1, keepdim=True).relu()
    resized: Tensor = LayerAttribution.interpolate(cam, (SIZE, SIZE), "bilinear")
    return resized


def gradient(_case: Case, network: nn.Module, x: Tensor) -> Tensor:
    attribution: Tensor = Saliency(network).attribute(x, TARGET, abs=False)
    return attribution


def integrated_gradients(_case: Case, network: nn.Module, x: Tensor) -> Tensor:
    baseline = torch.full_like(x, BASELINE)
    attribution: Tensor = IntegratedGradients(network).attribute(
        x, baseline, TARGET, n_steps=PATH_STEPS, method="gausslegendre"
    )
    return attribution


def occlusion(_case: Case, network: nn.Module, x: Tensor) -> Tensor:
    attribution: Tensor = Occlusion(network).attribute(
        x,
        sliding_window_shapes=(1, WINDOWS.window, WINDOWS.window),
        strides=(1, WINDOWS.stride, WINDOWS.stride),
        baselines=WINDOWS.level,
        target=TARGET,
    )
    return attribution


CAPTUM: dict[MapKind, Callable[[Case, nn.Module, Tensor], Tensor]] = {
    MapKind.GRADIENT: gradient,
    MapKind.GUIDED_BACKPROPAGATION: gradient,
    MapKind.GRAD_CAM: grad_cam,
    MapKind.GUIDED_GRAD_CAM: lambda case, network, x: grad_cam(case, network, x) * gradient(case, network, x),
    MapKind.INTEGRATED_GRADIENTS: integrated_gradients,
    MapKind.OCCLUSION: occlusion,
}


@pytest.mark.parametrize("kind", CAPTUM)
def test_a_served_map_is_captums(served: tuple[Case, Explanation], kind: MapKind) -> None:
    case, explanation = served
    x = torch.from_numpy(explanation.original.copy())[None, None].requires_grad_()
    expected = CAPTUM[kind](case, case.make(), x).detach()[0, 0].double().numpy()
    found = explanation[kind].astype(float)
    assert np.abs(expected).max() > 0
    assert np.abs(found - expected).max() / np.abs(expected).max() <= TOLERANCE
