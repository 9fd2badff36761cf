import torch
from torch import nn

from medxgan.training.inversion import invert
from medxgan.training.networks import Classifier, PlainGenerator


def networks() -> tuple[PlainGenerator, Classifier]:
    torch.manual_seed(0)
    generator = PlainGenerator(5, 3, (8, 6)).eval().requires_grad_(False)
    return generator, Classifier(4).eval().requires_grad_(False)


def test_inversion_comes_closer() -> None:
    generator, classifier = networks()
    x = generator(torch.randn(3, 8)).detach()
    result = invert(generator, classifier, x, torch.zeros(3, 8), steps=200, learning_rate=0.05)
    assert result.reconstruction_loss.shape == (200, 3)
    assert (result.reconstruction_loss[-1] < 0.2 * result.reconstruction_loss[0]).all()


def test_rows_do_not_disturb_each_other() -> None:
    generator, classifier = networks()
    x = generator(torch.randn(3, 8)).detach()
    start = torch.randn(3, 8)
    together = invert(generator, classifier, x, start, steps=20)
    for row in range(3):
        alone = invert(generator, classifier, x[row : row + 1], start[row : row + 1], steps=20)
        torch.testing.assert_close(together.z[row : row + 1], alone.z, atol=1e-4, rtol=0)


def test_a_hand_solved_inversion() -> None:
    """G(z) = z as a one-pixel picture and a classifier without an opinion: z goes to x by lr a step, as Adam's does."""

    class Identity(nn.Module):
        z1_size, z2_size = 1, 0

        def forward(self, z: torch.Tensor) -> torch.Tensor:
            return z[:, :, None, None]

    class Undecided(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return 0 * x[:, 0, 0, 0]

    x = torch.full((1, 1, 1, 1), 0.7)
    first = invert(Identity(), Undecided(), x, torch.zeros(1, 1), steps=1, learning_rate=0.1)
    torch.testing.assert_close(first.z, torch.tensor([[0.1]]))  # Adam's first step is lr * sign(gradient)
    last = invert(Identity(), Undecided(), x, torch.zeros(1, 1), steps=300, learning_rate=0.1)
    torch.testing.assert_close(last.z, torch.tensor([[0.7]]), atol=1e-3, rtol=0)
