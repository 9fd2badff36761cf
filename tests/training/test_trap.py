"""The guard against a change that is in the same place of every image."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from medxgan.training.trap import TrapGuard, is_trapped, shared_place


def blobs(places: list[tuple[int, int]], size: int = 32) -> torch.Tensor:
    maps = torch.zeros(len(places), 1, size, size)
    for row, (top, left) in enumerate(places):
        maps[row, 0, top : top + 6, left : left + 6] = 1
    return maps


APART = [(0, 0), (12, 0), (24, 0), (0, 12), (12, 12), (24, 24)]


def test_maps_apart_share_nothing_and_maps_in_one_place_all() -> None:
    assert shared_place(blobs(APART)) == pytest.approx(0, abs=0.1)
    assert shared_place(blobs([(8, 8)] * 6)) == pytest.approx(1, abs=1e-5)


@given(st.lists(st.floats(0.1, 10), min_size=6, max_size=6))
def test_strength_does_not_matter(strengths: list[float]) -> None:
    scale = torch.tensor(strengths)[:, None, None, None]
    mixed = blobs([(8, 8), (8, 8), (9, 9), (20, 20), (0, 0), (8, 10)])
    assert shared_place(mixed * scale) == pytest.approx(shared_place(mixed), abs=1e-4)


def trapped(difference: torch.Tensor, focus: torch.Tensor) -> bool:
    return is_trapped(shared_place(difference), shared_place(focus))


def test_a_dot_in_one_place_is_the_trap_and_lesions_where_c_looks_are_not() -> None:
    focus = blobs([(top + 2, left + 1) for top, left in APART])
    assert trapped(blobs([(8, 8)] * 6), focus)
    assert not trapped(blobs(APART), focus)


def test_a_disease_of_one_place_is_no_trap() -> None:
    # C looks at the same place in every image, and so may the difference.
    focus = blobs([(8, 8), (8, 9), (9, 8), (8, 8), (9, 9), (8, 8)])
    assert not trapped(blobs([(8, 8), (9, 9), (7, 8), (8, 7), (10, 10), (6, 8)]), focus)


def test_no_change_at_all_is_no_trap() -> None:
    assert not trapped(torch.zeros(4, 1, 32, 32), blobs(APART[:4]))


class Dot(torch.nn.Module):
    """A generator that draws the same dot into every positive."""

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return blobs([(8, 8)] * len(z))

    def negative(self, z: torch.Tensor) -> torch.Tensor:
        return torch.zeros(len(z), 1, 32, 32)


def test_the_guard_says_so_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    x = torch.zeros(6, 1, 32, 32)
    guard = TrapGuard(Dot(), torch.nn.Flatten(), x, blobs(APART))  # type: ignore[arg-type]
    figures = guard.figures()
    assert figures["place_of_difference"] == pytest.approx(1, abs=1e-5)
    assert "same place of every image" in caplog.text


def test_without_an_encoder_there_is_nothing_to_watch() -> None:
    assert TrapGuard(Dot(), None, torch.zeros(6, 1, 32, 32), blobs(APART)).figures() == {}  # type: ignore[arg-type]
