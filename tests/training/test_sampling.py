"""What is not disease says nothing of the label."""

import torch

from medxgan.training.sampling import balancing_weights, draw_batch, draw_epoch

LABEL = torch.tensor([1.0] * 70 + [0.0] * 10 + [1.0] * 5 + [0.0] * 40)
VIEW = ("AP",) * 80 + ("PA",) * 45


def test_each_class_within_each_stratum_weighs_the_same() -> None:
    weights = balancing_weights(LABEL, VIEW)
    assert weights.sum().item() == torch.tensor(1.0)
    cells = [weights[rows].sum().item() for rows in (slice(0, 70), slice(70, 80), slice(80, 85), slice(85, 125))]
    torch.testing.assert_close(torch.tensor(cells), torch.full((4,), 0.25))


def test_without_strata_the_classes_weigh_the_same() -> None:
    weights = balancing_weights(LABEL, None)
    torch.testing.assert_close(weights[LABEL == 1].sum(), torch.tensor(0.5))


def test_what_is_drawn_does_not_tell_the_label_by_the_stratum() -> None:
    torch.manual_seed(0)
    rows = (
        draw_epoch(balancing_weights(LABEL, VIEW), 125).tolist()
        + draw_batch(balancing_weights(LABEL, VIEW), 125, 4000).tolist()
    )
    positive = [LABEL[row].item() for row in rows if VIEW[row] == "AP"]
    assert 0.45 < sum(positive) / len(positive) < 0.55


def test_without_weights_an_epoch_has_each_row_once() -> None:
    assert sorted(draw_epoch(None, 9).tolist()) == list(range(9))
    assert set(draw_batch(None, 3, 200).tolist()) == {0, 1, 2}
