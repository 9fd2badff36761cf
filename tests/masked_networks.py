"""Small untrained networks of the masked form."""

import torch
from torch import Tensor

from medxgan.training.networks import FeatureEncoder, MaskedGenerator, ResidualClassifier, ResidualEncoder

SIZE = 64


def masked_networks(pictures: Tensor) -> tuple[FeatureEncoder, MaskedGenerator, ResidualClassifier]:
    """Frozen, with an open mask; of `pictures` [N, 1, SIZE, SIZE] the logits have a standard deviation of 2."""
    torch.manual_seed(0)
    generator = MaskedGenerator(6, 3, (12, 10, 8, 6), 2, 3, 1.2, 0.5).eval()
    classifier = ResidualClassifier((4, 6, 8), image_size=SIZE, low_pass=3).eval()
    encoder = FeatureEncoder(generator, classifier, (6, 8), (4, 6, 8, 8)).eval()
    with torch.no_grad():
        generator.last.bias[0] = 1.0
        classifier.output.weight.mul_(2 / classifier(pictures).std())
    for network in (generator, classifier, encoder):
        network.requires_grad_(False)
    return encoder, generator, classifier


def residual_network(generator: MaskedGenerator, *, anatomy_alone: bool) -> ResidualEncoder:
    """One that moves codes, without sense."""
    torch.manual_seed(2)
    residual = ResidualEncoder(generator, (4, 6, 8, 8), anatomy_alone=anatomy_alone)
    for parameter in [*residual.detail.parameters(), *residual.project.parameters()]:
        torch.nn.init.normal_(parameter, std=0.1)
    return residual.eval().requires_grad_(False)
