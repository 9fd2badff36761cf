"""Figures of place, against values worked out by hand, and shortcuts that are there or not."""

import pytest
import torch

from medxgan.training import placing, shortcuts
from medxgan.training.networks import ResidualClassifier
from medxgan.training.networks.residual_classifier import lesion_loss


def test_average_precision_by_hand() -> None:
    maps = torch.tensor([[4.0, 3.0], [2.0, 1.0]])[None, None]
    masks = torch.tensor([[1.0, 0.0], [1.0, 0.0]])[None, None]
    assert placing.average_precision(maps, masks).item() == pytest.approx((1 / 1 + 2 / 3) / 2)
    assert placing.average_precision(-maps, masks).item() == pytest.approx((1 / 2 + 2 / 4) / 2)


def test_pointing_by_hand() -> None:
    maps = torch.tensor([[[[4.0, 3.0]]], [[[1.0, 3.0]]]])
    masks = torch.tensor([[[[1.0, 0.0]]], [[[1.0, 0.0]]]])
    assert placing.pointing(maps, masks).tolist() == [1, 0]


def test_smoothing_keeps_a_level_and_lowers_a_peak() -> None:
    level = torch.full((1, 1, 16, 16), 0.3)
    torch.testing.assert_close(placing.smoothed(level), level)
    level[..., 8, 8] = 5
    assert placing.smoothed(level).max() < 0.6


def test_grad_cam_of_a_classifier_that_counts_bright_places() -> None:
    torch.manual_seed(0)
    classifier = ResidualClassifier((4, 6, 8)).eval()
    x = torch.rand(2, 1, 32, 32) * 2 - 1
    maps = placing.grad_cam(classifier, x)
    assert maps.shape == x.shape
    assert (maps >= 0).all()
    assert not torch.equal(maps[0], maps[1])


def test_lesions_that_are_found_cost_less() -> None:
    mask = torch.zeros(1, 1, 16, 16)
    mask[..., :8] = 1
    found = torch.where(mask > 0, 4.0, -4.0)[:, :, ::4, ::4]
    assert lesion_loss(found, mask) < 0.05
    assert lesion_loss(-found, mask) > 2


def test_a_border_that_tells_the_label_is_found_out() -> None:
    torch.manual_seed(0)
    label = (torch.arange(200) % 2).float()
    x = torch.rand(200, 1, 64, 64) * 0.5 - 0.5
    weights = torch.full((200,), 1 / 200)
    views = tuple("AP" if row % 4 < 2 else "PA" for row in range(200))

    def auc(features: torch.Tensor) -> dict[str, float]:
        score = shortcuts.regression_score(features[:100], label[:100], weights[:100] * 2, features[100:])
        return shortcuts.auc_by_stratum(score, label[100:], views[100:])

    assert auc(shortcuts.border(x))["all"] < 0.75
    marked = x.clone()
    marked[..., :4] += 0.3 * label[:, None, None, None]
    assert min(auc(shortcuts.border(marked)).values()) > 0.95
    assert set(auc(shortcuts.border(marked))) == {"all", "AP", "PA"}
    brighter = x + 0.3 * label[:, None, None, None]
    assert auc(shortcuts.histogram(brighter))["all"] > 0.95
    torch.testing.assert_close(shortcuts.histogram(x).sum(1), torch.ones(200))
    assert shortcuts.miniature(x).shape == (200, 1024)
