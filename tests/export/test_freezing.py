import pytest
import torch
from torch import Tensor, nn

from medxgan.export.freezing import folded
from medxgan.training.networks import ExternalClassifier
from medxgan.training.networks.layers import captured


class Network(nn.Module):
    """A batch norm after a convolution in a sequence, and one that stands elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True))
        self.norm = nn.BatchNorm2d(4)
        self.output = nn.Linear(4, 1)
        for norm in (self.stem[1], self.norm):
            nn.init.normal_(norm.running_mean)
            nn.init.uniform_(norm.running_var, 0.5, 2)
            nn.init.normal_(norm.weight)

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.output(self.norm(self.stem(x)).mean((2, 3)))
        return output


@pytest.mark.parametrize("layer", ["stem.0", "stem.1", "stem.2", "stem", "norm"])
def test_a_folded_network_computes_the_same_at_the_layer_that_is_looked_at(layer: str) -> None:
    torch.manual_seed(1)
    classifier = ExternalClassifier(Network(), 16, layer=layer).eval().requires_grad_(False)
    copied = folded(classifier)
    x = torch.randn(3, 1, 16, 16)
    found = []
    for each in (copied, classifier):
        with captured(each.body, [layer]) as activations:
            found.append([each(x), activations[layer]])
    torch.testing.assert_close(found[0], found[1])
    assert not [module for module in copied.modules() if isinstance(module, nn.BatchNorm2d)] or layer == "stem.0"
    assert [name for name, _ in copied.named_modules()] == [name for name, _ in classifier.named_modules()]


def test_a_convolution_takes_up_the_norm_behind_it() -> None:
    copied = folded(ExternalClassifier(Network(), 16, layer="norm"))
    assert isinstance(copied.body.get_submodule("stem.1"), nn.Identity)


def test_a_norm_without_running_statistics_stays() -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2, track_running_stats=False))
    assert isinstance(folded(network)[1], nn.BatchNorm2d)
