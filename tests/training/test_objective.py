import math

import pytest
import torch
from torch import Tensor, nn

from medxgan.training import objective
from medxgan.training.networks import Classifier, Encoder, PlainGenerator
from medxgan.training.objective import Batch, Judged, Realizations, Samples


class Constant(nn.Module):
    """Answers every picture with one number."""

    def __init__(self, answer: float) -> None:
        super().__init__()
        self.answer = answer

    def forward(self, x: Tensor, label: Tensor | None = None) -> Tensor:
        return torch.full((len(x),), self.answer)


def unchanged(x: Tensor) -> Tensor:
    return x


def batch(label: float = 1.0, focus: float = 0.0) -> Batch:
    x = torch.zeros(2, 1, 4, 4)
    return Batch(x, torch.full((2,), label), torch.full_like(x, focus))


PICTURES = [Judged(torch.zeros(2, 1, 4, 4), torch.ones(2), torch.ones(2))]


def test_an_undecided_discriminator_loses_log_4() -> None:
    """At D = 1/2 the published game's value is -log 4 (Goodfellow et al., 2014, theorem 1)."""
    loss = objective.discriminator_loss(Constant(0.0), batch(), PICTURES, unchanged, "cross-entropy")
    assert loss.item() == pytest.approx(math.log(4))
    assert objective.discriminator_loss(Constant(0.0), batch(), PICTURES, unchanged, "hinge").item() == 2.0


def test_fooling_the_discriminator_pays() -> None:
    for kind in ("hinge", "cross-entropy"):
        fooled, caught = (objective.adversarial(Constant(a), PICTURES, unchanged, kind) for a in (3.0, -3.0))
        assert fooled < caught


def test_the_class_term_is_the_cross_entropy_of_the_logit() -> None:
    samples = Samples(torch.zeros(2, 1, 4, 4), torch.tensor([1.0, 0.0]), torch.zeros(2, 3))
    expected = (math.log1p(math.exp(-2.0)) + math.log1p(math.exp(2.0))) / 2
    assert objective.class_of_sample(Constant(2.0), samples, unchanged).item() == pytest.approx(expected)


def realizations(reconstruction: float, negative: float) -> Realizations:
    picture = torch.ones(2, 1, 4, 4)
    return Realizations(torch.full((2, 3), 2.0), picture * reconstruction, picture * negative)


def test_reconstruction_weighs_where_the_classifier_looks() -> None:
    far = realizations(0.5, 0.0)
    assert objective.reconstruction(batch(focus=0.0), far).item() == pytest.approx(0.25 + 0.25)
    assert objective.reconstruction(batch(focus=1.0), far).item() == pytest.approx(7 * 0.25 + 0.25)


def test_terms_on_positives_leave_negatives_alone() -> None:
    changed = realizations(0.5, 1.0)
    assert objective.sparsity(batch(label=1.0, focus=1.0), changed).item() == pytest.approx(0.5)
    assert objective.sparsity(batch(label=1.0, focus=0.0), changed).item() == pytest.approx(2.5)
    assert objective.sparsity(batch(label=0.0), changed).item() == 0
    assert objective.outside(batch(label=1.0), changed).item() == pytest.approx(1.0)
    assert objective.outside(batch(label=1.0, focus=1.0), changed).item() == 0
    assert objective.outside(batch(label=0.0), changed).item() == 0


def test_prior_is_half_the_mean_square() -> None:
    assert objective.prior(realizations(0, 0)).item() == pytest.approx(2.0)


def test_a_perfect_reconstruction_has_the_same_features() -> None:
    torch.manual_seed(0)
    classifier = Classifier(4).eval()
    x = torch.rand(2, 1, 16, 16)
    same = Realizations(torch.zeros(2, 3), x, x)
    assert objective.features(classifier, Batch(x, torch.ones(2), torch.zeros_like(x)), same).item() == 0
    other = Realizations(torch.zeros(2, 3), -x, x)
    assert objective.features(classifier, Batch(x, torch.ones(2), torch.zeros_like(x)), other).item() > 0


def test_the_applied_negative_is_the_image_less_the_difference() -> None:
    x, reconstruction, negative = (torch.rand(2, 1, 16, 16) - 0.5 for _ in range(3))
    made = Realizations(torch.zeros(2, 3), reconstruction, negative)
    torch.testing.assert_close(made.applied_negative(x), (x - reconstruction + negative).clamp(-1, 1))
    torch.testing.assert_close(made.applied_negative(reconstruction), negative)


def test_the_class_of_applied_counts_positives_alone() -> None:
    torch.manual_seed(0)
    classifier = Classifier(4).eval()
    x = torch.rand(2, 1, 16, 16)
    made = Realizations(torch.zeros(2, 3), x, x)
    for label in (torch.zeros(2), torch.ones(2)):
        batch = Batch(x, label, torch.zeros_like(x))
        term = objective.class_of_applied(classifier, batch, made, lambda picture: picture).item()
        wanted = -torch.log(1 - torch.sigmoid(classifier(x))).mean().item() * label.mean().item()
        assert term == pytest.approx(wanted, rel=1e-4)


def test_negatives_are_drawn_and_encoded_without_pathology() -> None:
    torch.manual_seed(0)
    generator = PlainGenerator(4, 2, (6, 4))
    encoder = Encoder(generator, (4,))
    z, label = objective.draw_codes(generator, 500, torch.device("cpu"))
    assert (z[label == 0, 4:] == 0).all()
    assert z[label == 1, 4:].std().item() == pytest.approx(1, abs=0.1)
    assert 0.4 < label.mean().item() < 0.6

    x = torch.rand(3, 1, 16, 16)
    healthy = Batch(x, torch.zeros(3), torch.zeros_like(x))
    samples, made = objective.generate(generator, encoder, healthy)
    assert made is not None
    torch.testing.assert_close(made.reconstruction, made.negative)
    assert len(objective.judged(samples, made, healthy, applied=False)) == 3
    assert len(objective.judged(samples, None, healthy, applied=True)) == 1

    applied = objective.judged(samples, made, healthy, applied=True)[-1]
    torch.testing.assert_close(applied.image, x)
    assert (applied.counts == 0).all()
