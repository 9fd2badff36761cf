import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from medxgan.training.preprocessing import Preprocess

UPRIGHT, INVERTED = torch.zeros(1), torch.ones(1)


def picture(height: int, width: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(1, 1, height, width, generator=torch.Generator().manual_seed(seed))


def stretched(x: torch.Tensor) -> torch.Tensor:
    return (x - x.min()) / (x.max() - x.min()) * 2 - 1


@pytest.mark.parametrize(("height", "width"), [(500, 400), (1955, 1841), (70, 90), (20, 30), (64, 64)])
def test_resize_is_torchs_antialiased_bilinear_one(height: int, width: int) -> None:
    image = picture(height, width)
    expected = stretched(F.interpolate(image, (64, 64), mode="bilinear", antialias=True, align_corners=False))
    # float32 sums of up to 2000 products; grey levels span 2.
    torch.testing.assert_close(Preprocess(64, 0, 100, "stretch")(image, UPRIGHT), expected, atol=5e-5, rtol=0)


def test_crop_keeps_the_centred_square() -> None:
    image = picture(90, 60)
    cropped = Preprocess(32, 0, 100, "crop")(image, UPRIGHT)
    square = Preprocess(32, 0, 100, "stretch")(image[:, :, 15:75], UPRIGHT)
    # Anti-aliasing at the cut may look one pixel beyond it; inside, the two are the same.
    torch.testing.assert_close(
        stretched(cropped[:, :, 2:-2, 2:-2]), stretched(square[:, :, 2:-2, 2:-2]), atol=0.02, rtol=0
    )


def test_crop_goes_by_lengths_and_not_by_numbers_of_pixels() -> None:
    """Pixels twice as high as wide: 64 x 96 of them are 128 long and 96 wide."""
    image, twice = picture(64, 96), torch.tensor([2.0])
    cropped = Preprocess(32, 0, 100, "crop")(image, UPRIGHT, twice)
    part = Preprocess(32, 0, 100, "stretch")(image[:, :, 8:56], UPRIGHT)
    # As above: the resampling at the cut looks beyond it.
    torch.testing.assert_close(
        stretched(cropped[:, :, 2:-2, 2:-2]), stretched(part[:, :, 2:-2, 2:-2]), atol=0.02, rtol=0
    )


def test_pad_goes_by_lengths_and_not_by_numbers_of_pixels() -> None:
    padded = Preprocess(32, 0, 100, "pad")(picture(48, 192), UPRIGHT, torch.tensor([2.0]))
    assert (padded[:, :, :8] == -1).all()
    assert (padded[:, :, -8:] == -1).all()
    assert (padded[:, :, 8:-8] > -1).float().mean() > 0.9


@pytest.mark.parametrize("aspect", ["crop", "pad", "stretch"])
def test_square_pixels_need_not_be_stated(aspect: str) -> None:
    preprocess, image = Preprocess(32, 0.5, 99.5, aspect), picture(90, 61)
    assert torch.equal(preprocess(image, UPRIGHT), preprocess(image, UPRIGHT, torch.ones(1)))
    assert torch.equal(preprocess.box(image), preprocess.box(image, torch.ones(1)))


@pytest.mark.parametrize(
    ("aspect", "pixel_aspect", "box"),
    [
        ("crop", 1.0, [10, 0, 50, 40]),
        ("pad", 1.0, [0, -10, 60, 50]),
        ("stretch", 1.0, [0, 0, 60, 40]),
        ("crop", 2.0, [20, 0, 40, 40]),
        ("pad", 2.0, [0, -40, 60, 80]),
        ("crop", 0.5, [0, 5, 60, 35]),
        ("pad", 0.5, [-10, 0, 70, 40]),
        ("stretch", 0.5, [0, 0, 60, 40]),
    ],
)
def test_the_box_is_the_part_of_the_film_that_is_seen(aspect: str, pixel_aspect: float, box: list[float]) -> None:
    """A film of 60 rows and 40 columns."""
    found = Preprocess(32, 0.5, 99.5, aspect).box(picture(60, 40), torch.tensor([pixel_aspect]))
    assert found.tolist() == box


@pytest.mark.parametrize("aspect", ["crop", "pad", "stretch"])
@pytest.mark.parametrize("pixel_aspect", [0.6, 1.0, 1.7])
def test_a_mark_on_the_film_is_where_the_box_says(aspect: str, pixel_aspect: float) -> None:
    image = torch.zeros(1, 1, 120, 90)
    image[0, 0, 57:60, 41:44] = 1
    shape = torch.tensor([pixel_aspect])
    preprocess = Preprocess(32, 0, 100, aspect)
    x = preprocess(image, UPRIGHT, shape)[0, 0] + 1
    top, left, bottom, right = preprocess.box(image, shape).tolist()
    places = (torch.arange(32) + 0.5) / 32
    row = top + (bottom - top) * float((x.sum(1) * places).sum() / x.sum())
    column = left + (right - left) * float((x.sum(0) * places).sum() / x.sum())
    # The mark's centre, to half a pixel of the film.
    assert abs(row - 58.5) < 0.5
    assert abs(column - 42.5) < 0.5


def test_pad_fills_the_shorter_side_with_the_darkest_level() -> None:
    padded = Preprocess(32, 0, 100, "pad")(picture(96, 48), UPRIGHT)
    assert (padded[..., :8] == -1).all()
    assert (padded[..., -8:] == -1).all()
    assert (padded[..., 8:-8] > -1).float().mean() > 0.9


@settings(max_examples=25)
@given(
    seed=st.integers(0, 100),
    gain=st.floats(0.5, 5000),
    offset=st.floats(-1000, 1000),
    aspect=st.sampled_from(["crop", "pad", "stretch"]),
)
def test_grey_levels_do_not_depend_on_gain_and_offset(seed: int, gain: float, offset: float, aspect: str) -> None:
    preprocess = Preprocess(16, 1, 99, aspect)
    image = picture(40, 33, seed)
    before, after = preprocess(image, UPRIGHT), preprocess(image * gain + offset, UPRIGHT)
    # An offset of 1000 on a span of 0.5 leaves float32 some 1e-4 of the span.
    torch.testing.assert_close(before, after, atol=2e-3, rtol=0)
    assert before.min() == -1
    assert before.max() == 1


def test_monochrome1_is_the_negative_picture() -> None:
    preprocess = Preprocess(16, 0.5, 99.5, "stretch")
    image = picture(50, 40)
    torch.testing.assert_close(preprocess(image, INVERTED), -preprocess(image, UPRIGHT), atol=1e-5, rtol=0)


def test_a_small_bright_mark_does_not_set_the_scale() -> None:
    image = picture(256, 256)
    marked = image.clone()
    marked[:, :, :4, :4] = 50.0
    preprocess = Preprocess(32, 0.5, 99.5, "stretch")
    difference = (preprocess(marked, UPRIGHT) - preprocess(image, UPRIGHT))[:, :, 4:, 4:]
    assert difference.abs().max() < 0.1


def test_a_picture_of_one_level_becomes_mid_grey() -> None:
    assert (Preprocess(16, 0.5, 99.5, "crop")(torch.full((1, 1, 30, 30), 7.0), UPRIGHT) == 0).all()


def test_rows_of_a_batch_are_on_their_own() -> None:
    preprocess = Preprocess(16, 0.5, 99.5, "stretch")
    rows = torch.cat([picture(30, 30, seed) * 100**seed for seed in range(3)])
    together = preprocess(rows, torch.tensor([0.0, 1.0, 0.0]))
    for index, inverted in enumerate((UPRIGHT, INVERTED, UPRIGHT)):
        torch.testing.assert_close(together[index : index + 1], preprocess(rows[index : index + 1], inverted))


@given(st.integers(0, 2**32 - 1), st.sampled_from([(0, 100), (0.5, 99.5), (2, 98), (30, 70), (60, 61), (99, 100)]))
def test_percentiles_are_numpys(seed: int, percentiles: tuple[float, float]) -> None:
    levels = np.random.default_rng(seed).integers(0, 256, (3, 1, 16, 16)).astype(np.float32)
    low, high = np.percentile(levels.reshape(3, -1), percentiles, axis=1)
    x = Preprocess(16, *percentiles, "crop").stretch(torch.from_numpy(levels))
    wanted = [
        (2 * (row - bottom) / (top - bottom) - 1).clip(-1, 1) if top > bottom else np.zeros_like(row)
        for row, bottom, top in zip(levels, low, high, strict=True)
    ]
    np.testing.assert_allclose(x.numpy(), np.stack(wanted), atol=1e-4)
