"""Random changes that keep the label."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from medxgan.training.augmentation import blur, brighten, dim, mirror, noise, shift, warp

SIZE = 16


@pytest.fixture
def x() -> torch.Tensor:
    torch.manual_seed(4)
    return torch.rand(200, 1, SIZE, SIZE) * 2 - 1


def roughness(x: torch.Tensor) -> torch.Tensor:
    """[B] mean square of the difference between neighbours."""
    return (x[..., 1:] - x[..., :-1]).square().mean((1, 2, 3))


def test_a_blur_mixes_in_a_copy_smoothed_over_five_pixels() -> None:
    point = torch.zeros(200, 1, SIZE, SIZE)
    point[:, 0, 8, 8] = 1
    torch.manual_seed(0)
    blurred = blur(point, 1.0)
    kernel = torch.tensor([1.0, 2, 3, 2, 1]) / 9
    smooth = F.pad(kernel[:, None] * kernel, (6, 5, 6, 5))
    # One share a row, found at the corner of the kernel, says what the whole row has to be.
    share = blurred[:, 0, 6, 6] / smooth[6, 6]
    expected = point + share[:, None, None, None] * (smooth - point)
    torch.testing.assert_close(blurred, expected, atol=1e-6, rtol=0)
    assert 0 <= share.min() < 0.05
    assert 0.95 < share.max() <= 1


def test_a_blur_of_strength_0_changes_nothing_and_a_stronger_one_smooths_more(x: torch.Tensor) -> None:
    torch.testing.assert_close(blur(x, 0.0), x, atol=0, rtol=0)
    weak, strong = (roughness(blur(x, strength)).mean() for strength in (0.3, 1.0))
    assert strong < weak < roughness(x).mean()


@given(level=st.floats(-1, 1), strength=st.floats(0, 1))
def test_a_blur_leaves_an_even_picture_to_its_very_border(level: float, strength: float) -> None:
    even = torch.full((3, 1, SIZE, SIZE), level)
    torch.testing.assert_close(blur(even, strength), even, atol=1e-6, rtol=0)


def test_the_others_do_what_they_say(x: torch.Tensor) -> None:
    flipped, also = mirror(x, x + 1)
    unchanged = (flipped == x).all((1, 2, 3))
    assert 0.3 < unchanged.float().mean() < 0.7
    torch.testing.assert_close(flipped[~unchanged], x[~unchanged].flip(3))
    torch.testing.assert_close(also, flipped + 1)
    assert shift(x, 2).shape == x.shape
    black = torch.full_like(x, -1)
    torch.testing.assert_close(dim(black), black)
    offset = brighten(x) - x
    torch.testing.assert_close(offset, offset[:, :, :1, :1].expand_as(offset), atol=1e-6, rtol=0)
    assert (noise(x, 0.1) - x).std() == pytest.approx(0.1, rel=0.02)


def test_a_warp_moves_every_tensor_alike_and_no_farther_than_it_says() -> None:
    torch.manual_seed(0)
    dot = torch.full((300, 1, 32, 32), -1.0)
    dot[..., 22:25, 15:18] = 1
    moved, same = warp(dot, dot.clone(), turn=10, zoom=0.1)
    torch.testing.assert_close(moved, same)
    mass = (moved[:, 0] + 1).clamp_min(0)
    row, column = ((mass.sum(axis) * torch.arange(32)).sum(1) / mass.sum((1, 2)) for axis in (2, 1))
    # 7 pixels below the centre: 10 degrees turn it aside by 1.2 pixels, a zoom of 0.1 by 0.7, and a shift by 1.6.
    assert 2 < (row - 23).abs().max() < 3
    assert 2 < (column - 16).abs().max() < 3.2
    assert len(row.round(decimals=2).unique()) > 50
    assert (moved.amin(), moved.amax()) == (-1, 1)


def test_a_warp_of_nothing_changes_nothing(x: torch.Tensor) -> None:
    (same,) = warp(x, turn=0, zoom=0)
    torch.testing.assert_close(same, x, atol=0, rtol=0)
