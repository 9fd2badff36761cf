"""Sheets of pictures: of an explanation, of one map, and of many side by side."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from tests.client.drawn import changed, read

from medxgan.client import (
    Client,
    Explanation,
    MapKind,
    Unrecognised,
    VerdictReasonCode,
    VerdictStatus,
)
from medxgan.client.pictures.appearance import APPEARANCES, PICTURES
from medxgan.client.pictures.attribution_panel import write_attribution_panel, write_comparison
from medxgan.client.pictures.panel import write_panel
from medxgan.client.pictures.positive_panel import positive_sentence, write_positive_panel
from medxgan.client.results import Verdict, VerdictReason

DRAWN = [kind for kind in MapKind if kind not in PICTURES]
"""The maps that are drawn in colours with a scale."""


def test_the_panel_shows_each_picture_nearest_pixel_for_pixel(explanation, tmp_path: Path) -> None:
    write_panel(explanation, tmp_path / "panel.png", positive_class="pneumonia")
    panel = read(tmp_path / "panel.png")
    assert panel.shape[1] == 2000

    # Five columns of 351.2 pixels, 32 apart, from 60 on: the middle row of each picture, by its columns' centres.
    side = (10 - 2 * 0.3 - 4 * 0.16) / 5 * 200
    size = explanation.original.shape[0]
    centres = ((np.arange(size) + 0.5) * side / size).astype(int)
    grey_maps = (explanation.original, explanation.reconstruction, explanation.negative_realization)
    for column, values in enumerate(grey_maps):
        strip = panel[:, (60 + column * (side + 32) + centres).astype(int), 0]
        wanted = (values[size // 2] + 1) * 127.5
        assert np.abs(strip - wanted).max(axis=1).min() < 2


def squares(sheet: np.ndarray, columns: int) -> list[list[int]]:
    """The tops of the pictures in each column of a sheet: runs without a white line that are as high as wide."""
    tops = []
    for strip in strips(sheet, columns):
        inked = (strip[..., :3] < 250).any(axis=2).mean(axis=1) > 0.6
        begins, ends = np.flatnonzero(np.diff(inked.astype(int), prepend=0, append=0)).reshape(-1, 2).T
        tops.append([top for top, end in zip(begins, ends, strict=True) if abs(end - top - strip.shape[1]) <= 4])
    return tops


@pytest.mark.slow
def test_the_panel_of_many_maps_has_two_rows_of_four(whole, tmp_path: Path) -> None:
    certain = {kind: entry for kind, entry in whole.maps.items() if kind is not MapKind.UNCERTAINTY}
    for maps, pictures in ((whole.maps, [2, 2, 2, 2]), (certain, [2, 2, 2, 1])):
        write_panel(replace(whole, maps=maps), tmp_path / "panel.png", positive_class="pneumonia")
        assert [len(tops) for tops in squares(read(tmp_path / "panel.png"), 4)] == pictures


def test_small_values_are_shown_on_their_own_scale(whole, tmp_path: Path) -> None:
    write_panel(whole, tmp_path / "panel.png", positive_class="pneumonia")
    panel = read(tmp_path / "panel.png")
    columns = strips(panel, 4)
    tops = squares(panel, 4)
    side = columns[0].shape[1]
    residual, uncertainty = (columns[at][tops[at][1] : tops[at][1] + side, :, :3] for at in (2, 3))
    # The residual's strongest value is negative: the darkest blue. The uncertainty goes from black to bright.
    assert residual[..., 2].max() - residual[..., 0].min() > 80
    assert uncertainty.sum(axis=2).min() < 60
    assert uncertainty.sum(axis=2).max() > 500


def test_a_difference_that_nobody_could_see_is_not_drawn_as_strong(whole, tmp_path: Path) -> None:
    write_panel(
        changed(whole, MapKind.DIFFERENCE, whole.difference * 1e-6), tmp_path / "panel.png", positive_class="pneumonia"
    )
    panel = read(tmp_path / "panel.png")
    strip, top = strips(panel, 4)[0], squares(panel, 4)[0][1]
    assert np.ptp(strip[top : top + strip.shape[1], :, :3], axis=2).max() < 5


def test_what_would_make_a_negative_image_positive_is_a_panel(whole, tmp_path: Path) -> None:
    path = tmp_path / "positive-panel.png"
    write_positive_panel(whole, path, positive_class="pneumonia")
    found = read(path)
    assert found.shape[1] == 2000
    (top,) = squares(found, 4)[2]
    side, size = strips(found, 4)[2].shape[1], len(whole.original)
    drawn = strips(found, 4)[2][top + round(side / size * (size // 2 + 0.5)), :, 0]
    centres = ((np.arange(size) + 0.5) * side / size).astype(int)
    np.testing.assert_allclose(drawn[centres], (whole[MapKind.POSITIVE_REALIZATION][size // 2] + 1) * 127.5, atol=2)

    assert whole.positive_outcome is not None
    failed = replace(whole, positive_outcome=replace(whole.positive_outcome, found=False))
    write_positive_panel(failed, path, positive_class="pneumonia")
    assert not np.array_equal(read(path), found)


def test_no_panel_of_a_positive_realization_that_was_not_asked_for(explanation, tmp_path: Path) -> None:
    with pytest.raises(LookupError, match="was not asked for"):
        write_positive_panel(explanation, tmp_path / "positive-panel.png", positive_class="pneumonia")


def test_a_search_is_told_in_words(whole) -> None:
    outcome = whole.positive_outcome
    assert outcome is not None

    def said(**other: object) -> str:
        return positive_sentence(replace(whole, positive_outcome=replace(outcome, **other)))

    assert said() == "A positive realization was found in 12 steps; it scores 0.700."
    assert "in 1 step;" in said(steps_taken=1)
    assert said(found=False).startswith("No positive realization was found in 12 steps; the nearest attempt scores 0.7")
    assert "nothing needs to change" in said(scale=0.0)


def test_each_reason_is_on_the_panel_and_odd_text_does_no_harm(explanation, tmp_path: Path) -> None:
    sentence = "It costs $5 or $6, \\frac{1} of {it}. " * 9
    reason = VerdictReason(VerdictReasonCode.NEGATIVE_IS_POSITIVE, 0.6, 0.5, sentence)
    heights = []
    for count in (0, 1, 2):
        verdict = Verdict(VerdictStatus.NOT_RELIABLE, (reason,) * count)
        write_panel(replace(explanation, verdict=verdict), tmp_path / "panel.png", positive_class="$\\alpha_")
        heights.append(read(tmp_path / "panel.png").shape[0])
    assert heights[0] < heights[1] < heights[2]


@pytest.mark.slow
def test_the_verdict_changes_the_panel_and_no_difference_at_all_is_drawn(explanation, tmp_path: Path) -> None:
    flat = changed(explanation, MapKind.DIFFERENCE, np.zeros((16, 16)))
    panels = []
    for status in (*VerdictStatus, Unrecognised(9)):
        write_panel(replace(flat, verdict=Verdict(status, ())), tmp_path / "panel.png", positive_class="pneumonia")
        panels.append(read(tmp_path / "panel.png"))
    assert not any(np.array_equal(one, other) for one, other in pairwise(panels))


@pytest.mark.slow
@pytest.mark.parametrize("kind", DRAWN)
def test_a_map_has_a_panel_of_its_own(whole, kind, tmp_path: Path) -> None:
    write_attribution_panel(whole, kind, tmp_path / "panel.png")
    assert read(tmp_path / "panel.png").shape[1] == 2000


def strips(sheet: np.ndarray, columns: int) -> list[np.ndarray]:
    """The columns of a sheet in which its pictures stand, [H, side, 3] each."""
    side = (10 - 2 * 0.3 - (columns - 1) * 0.16) / columns * 200
    return [sheet[:, round(60 + at * (side + 32)) : round(60 + at * (side + 32) + side)] for at in range(columns)]


def test_a_signed_map_is_red_and_blue_and_grad_cam_begins_with_black(whole, tmp_path: Path) -> None:
    ramp = np.linspace(-1, 1, 16 * 16, dtype=np.float32).reshape(16, 16)
    darkest = []
    for kind, values in ((MapKind.OCCLUSION, ramp), (MapKind.GRAD_CAM, np.maximum(ramp, 0))):
        write_attribution_panel(changed(whole, kind, values), kind, tmp_path / "panel.png")
        _, map_strip, _ = strips(read(tmp_path / "panel.png"), 3)
        top = squares(read(tmp_path / "panel.png"), 3)[1][0]
        pixels = map_strip[top : top + map_strip.shape[1], :, :3]
        darkest.append(pixels.sum(axis=2).min())
        assert (pixels[..., 0] > pixels[..., 2] + 60).any()
        # Blue for what is below zero, where there is such a thing.
        assert (pixels[..., 2] > pixels[..., 0] + 60).any() == (kind is MapKind.OCCLUSION)
    assert darkest[1] < 20 < darkest[0]


@pytest.mark.slow
def test_a_comparison_holds_every_map_and_grows_with_what_is_to_be_said(whole, tmp_path: Path) -> None:
    write_comparison(whole, DRAWN, tmp_path / "comparison.png")
    sheet = read(tmp_path / "comparison.png")
    assert sheet.shape[1] == 2000
    # Eleven maps and the original, in rows of four: squares without a white line.
    assert [len(tops) for tops in squares(sheet, 4)] == [3, 3, 3, 3]

    reason = VerdictReason(VerdictReasonCode.NEGATIVE_IS_POSITIVE, 0.6, 0.5, "It is not negative.")
    judged = replace(whole, verdict=Verdict(VerdictStatus.NOT_RELIABLE, (reason,)))
    write_comparison(judged, DRAWN, tmp_path / "comparison.png")
    assert read(tmp_path / "comparison.png").shape[0] > sheet.shape[0]


@pytest.mark.slow
def test_a_comparison_of_few_maps_without_an_inversion(service, grey, tmp_path: Path) -> None:
    with Client(service.address) as client:
        for kinds in ([MapKind.GRAD_CAM], [MapKind.GRADIENT, MapKind.OCCLUSION]):
            explanation = client.explain(grey, maps=[MapKind.ORIGINAL, *kinds])
            write_comparison(explanation, kinds, tmp_path / "comparison.png")
            assert read(tmp_path / "comparison.png").shape[1] == 2000


def test_every_map_that_is_no_picture_has_an_appearance() -> None:
    assert list(APPEARANCES) == DRAWN


def test_a_notebook_shows_an_explanation_by_its_panel(explanation: Explanation, tmp_path: Path) -> None:
    """By the protocol of IPython, which asks an object for `_repr_png_`."""
    write_panel(explanation, tmp_path / "panel.png", positive_class="pneumonia")
    assert explanation._repr_png_() == (tmp_path / "panel.png").read_bytes()
