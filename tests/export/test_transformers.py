"""Networks whose activations are tokens or have their channels last, against Captum on the network as it came."""

import importlib.util
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import ModuleType

import pytest
import torch
from captum.attr import LayerActivation, LayerGradientXActivation, Saliency  # type: ignore[import-untyped]
from tests.small_transformers import ChannelsLast, ConvNext, Tokens
from torch import Tensor, nn

from medxgan.export.attribution import trace_attribution
from medxgan.training.networks import ExternalClassifier
from medxgan.training.networks.grids import Layout
from medxgan.training.networks.layers import LayerError


class Sorted(Tokens):
    """Tokens that lie window by window, as Hiera's do."""

    def __init__(self) -> None:
        super().__init__(0)
        self.embed = nn.Linear(12, 12)

    def forward(self, x: Tensor) -> Tensor:
        places = self.patches(x).unflatten(2, (3, 2)).unflatten(4, (3, 2)).permute(0, 2, 4, 3, 5, 1)
        logits: Tensor = self.head(self.norm(self.blocks(self.embed(places.flatten(1, 4)))).mean(1))
        return logits


@pytest.fixture(scope="module")
def timm() -> Iterator[ModuleType]:
    """timm, where it is installed. torchvision, which it imports, is built for another torch than one for the CPU
    alone: the operators that it then lacks are declared, and nothing here calls them."""
    if importlib.util.find_spec("timm") is None:
        pytest.skip("timm is not installed")
    library = torch.library.Library("torchvision", "FRAGMENT")
    try:
        import torchvision  # noqa: F401
    except RuntimeError:
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import timm
        import timm.models
    yield timm
    del library


def vit(timm: ModuleType) -> nn.Module:
    return timm.models.VisionTransformer(
        img_size=32, patch_size=4, in_chans=1, num_classes=2, embed_dim=48, depth=2, num_heads=3
    )


def swin(timm: ModuleType) -> nn.Module:
    return timm.models.SwinTransformer(
        img_size=32,
        patch_size=2,
        in_chans=1,
        num_classes=2,
        window_size=4,
        embed_dim=12,
        depths=(2, 2),
        num_heads=(2, 2),
    )


def convnext(timm: ModuleType) -> nn.Module:
    return timm.models.ConvNeXt(in_chans=1, num_classes=2, depths=(1, 1, 1, 1), dims=(8, 12, 16, 20), ls_init_value=0.5)


@dataclass(frozen=True)
class Case:
    make: Callable[[ModuleType], nn.Module]
    size: int
    layer: str
    places: Callable[[Tensor], Tensor]
    """From what the layer gives to [B, C, h, w]."""
    timm: bool = False


def last(activations: Tensor) -> Tensor:
    return activations.movedim(3, 1)


def grid(side: int, leading: int) -> Callable[[Tensor], Tensor]:
    return lambda tokens: torch.stack([tokens[:, leading + index] for index in range(side**2)], 2).unflatten(
        2, (side, side)
    )


CASES = {
    "tokens": Case(lambda _: Tokens(0), 24, "norm", grid(6, 0)),
    "tokens and a class": Case(lambda _: Tokens(1), 24, "blocks.1.norm1", grid(6, 1)),
    "channels last": Case(lambda _: ChannelsLast(), 24, "last", last),
    "channels last in memory": Case(lambda _: ConvNext(), 24, "stages.3", lambda x: x),
    "timm's ViT": Case(vit, 32, "blocks.1.norm1", grid(8, 1), timm=True),
    "timm's Swin": Case(swin, 32, "norm", last, timm=True),
    "timm's ConvNeXt": Case(convnext, 64, "stages.3.blocks.0", lambda x: x, timm=True),
}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Setting forward, backward hooks:UserWarning")
@pytest.mark.filterwarnings("ignore:Input Tensor .* did not already require gradients:UserWarning")
@pytest.mark.parametrize("name", CASES)
def test_the_default_layer_is_attributed_as_captum_does(name: str, request: pytest.FixtureRequest) -> None:
    case = CASES[name]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        network = case.make(request.getfixturevalue("timm") if case.timm else ModuleType("none"))
        for parameter in network.parameters():
            if parameter.ndim > 1:
                nn.init.normal_(parameter, std=0.3)
    network = network.eval().requires_grad_(False)
    classifier = ExternalClassifier(network, case.size)
    assert classifier.layer == case.layer
    x = torch.randn(4, 1, case.size, case.size, generator=torch.Generator().manual_seed(1))
    target = torch.tensor([0, 1, 1, 0])
    one_of_two = nn.functional.one_hot(target, 2).float()
    batch = torch.zeros(17, 1, case.size, case.size)
    graph = trace_attribution(classifier, batch, torch.zeros(17, 2))
    _, gradient, activations, activation_gradients, _ = graph(x, one_of_two)
    layer = network.get_submodule(case.layer)
    expected = case.places(LayerActivation(network, layer).attribute(x).detach())
    product = case.places(LayerGradientXActivation(network, layer).attribute(x, target=target).detach())
    close(activations, expected)
    close(activations * activation_gradients, product)
    assert float(product.abs().max()) > 0
    close(gradient, Saliency(network).attribute(x, target=target, abs=False))


def close(found: Tensor, expected: Tensor) -> None:
    """To 1e-4 of the largest."""
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4 * float(expected.abs().max()))


@pytest.mark.parametrize(
    ("network", "layer", "layout", "told"),
    [
        (
            Tokens(1),
            "norm",
            None,
            "for the class token alone, and not for any place of the picture; the last that do are",
        ),
        (Tokens(3), "blocks.0", None, 'what "blocks.0" gives, [B, 39, 12], is no square grid of tokens'),
        (Tokens(3), "blocks.0", "tokens", "is no square grid of tokens, with or without a class token"),
        (Tokens(0, width=36), "blocks.0", None, 'is not surely a grid of tokens: if it is, say layout = "tokens"'),
        (Tokens(1), "blocks.0", "channels_last", "is not of the layout channels_last"),
        (Sorted(), "norm", None, 'what "norm" gives, [B, 36, 12], is not surely a grid of tokens'),
        (Tokens(1), "head", None, 'no layer "head" gives activations [B, C, H, W], [B, H, W, C] or tokens'),
        (ChannelsLast(6), "wide.1", None, 'does not show where its channels are: say layout = "channels_first"'),
    ],
)
def test_what_is_no_picture_is_refused(network: nn.Module, layer: str, layout: Layout | None, told: str) -> None:
    if isinstance(network, ChannelsLast):
        network.wide = nn.Sequential(nn.Identity(), nn.GELU(), nn.Identity())
    with pytest.raises(LayerError) as caught:
        ExternalClassifier(network, 24, layer=layer, layout=layout)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_stated_layout_is_believed() -> None:
    classifier = ExternalClassifier(Tokens(0, width=36), 24, layer="blocks.0", layout="tokens")
    tokens = torch.arange(2.0 * 36 * 36).view(2, 36, 36)
    assert classifier.activation_map(tokens).shape == (2, 36, 6, 6)
    assert float(classifier.activation_map(tokens)[1, 5, 2, 3]) == float(tokens[1, 2 * 6 + 3, 5])
