"""What changes how a film was taken leaves what it shows."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from medxgan.training import style

CHANGES = [style.expose, style.shade, style.sharpen, style.grain, style.blank_border]


@pytest.fixture
def x() -> Tensor:
    torch.manual_seed(0)
    across = torch.linspace(-0.7, 0.7, 32)
    return (across[:, None] * 0.5 + across * 0.5 + 0.1 * torch.rand(32, 32)).expand(16, 1, 32, 32).clone()


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_each_changes_every_row_differently_and_keeps_the_range(
    change: Callable[[Tensor, float], Tensor], x: Tensor
) -> None:
    changed = change(x, 1.0)
    assert changed.shape == x.shape
    assert changed.abs().max() <= 1
    assert (changed - x).abs().mean() > 1e-3
    assert not torch.allclose(changed[0], changed[1])


def test_no_strength_no_change(x: Tensor) -> None:
    assert torch.equal(style.restyle(x, 0.0), x)
    for change in CHANGES:
        torch.testing.assert_close(change(x, 0.0), x, atol=1e-4, rtol=0)


def test_exposure_keeps_the_order_of_grey_levels(x: Tensor) -> None:
    exposed = style.expose(x, 1.0).flatten(1)
    ordered = exposed.gather(1, x.flatten(1).argsort(dim=1))
    assert (ordered.diff(dim=1) >= -1e-6).all()


def test_the_border_goes_and_the_middle_stays(x: Tensor) -> None:
    changed = style.blank_border(x, 1.0)
    assert torch.equal(changed[..., 3:-3, 3:-3], x[..., 3:-3, 3:-3])
    touched = (changed != x).flatten(1).any(1)
    assert 0 < touched.sum() < len(x)
