"""A film that was reduced where it was read gives the x that the whole film gives."""

import itertools

import numpy as np
import pytest
import torch

from medxgan.server.images.contrast import Percentiles
from medxgan.server.images.film import Film, Placement
from medxgan.server.images.limits import ImageLimits
from medxgan.server.images.reduction import Reduction, reduced
from medxgan.server.images.workers.messages import Job, described_film, film_line
from medxgan.training.preprocessing import Preprocess
from medxgan.v1.explanation_pb2 import ORIENTATION_TURNED_90

SIDE = 32
WINDOW = Percentiles(1, 99)
ROUNDING = 2e-6
"""What is left of rounding in single precision: x is the difference of two levels over their span, each a sum of
hundreds of products."""
SHAPES = [(32, 32), (20, 33), (7, 5), (1, 1), (300, 250), (2000, 900), (3, 3000)]


def levels_of(shape: tuple[int, int], kind: str) -> np.ndarray:
    noise = np.random.default_rng(0).integers(0, 256, shape)
    if kind == "uint8":
        return noise.astype(np.uint8)
    return (np.linspace(-20_000, 20_000, noise.size).reshape(shape) + noise).astype(kind)


def x_of(film: Film, preprocess: Preprocess) -> tuple[np.ndarray, np.ndarray]:
    image = torch.from_numpy(film.levels.astype(np.float32))[None, None]
    aspect = torch.tensor([film.upright_pixel_aspect if film.reduced is None else 1.0], dtype=torch.float32)
    x = preprocess(image, torch.tensor([float(film.inverted)]), aspect)
    return x.numpy(), preprocess.box(image, aspect).numpy()


@pytest.mark.slow
@pytest.mark.parametrize("aspect", ["crop", "pad", "stretch"])
@pytest.mark.parametrize("kind", ["uint8", "int16", "float32"])
def test_x_of_a_reduced_film_is_that_of_the_film(aspect: str, kind: str) -> None:
    preprocess = Preprocess(SIDE, 1, 99, aspect)
    for shape, inverted, pixel_aspect in itertools.product(SHAPES, (False, True), (1.0, 0.7, 3.0)):
        film = Film(levels_of(shape, kind), inverted, pixel_aspect=pixel_aspect)
        x, box = x_of(film, preprocess)
        small = reduced(film, Reduction(SIDE, aspect, WINDOW))
        np.testing.assert_allclose(x_of(small, preprocess)[0], x, atol=ROUNDING, err_msg=f"{shape} {inverted}")
        np.testing.assert_array_equal(np.float32(small.reduced.box), box)


def test_a_reduced_film_lies_where_the_film_lies() -> None:
    film = Film(levels_of((60, 40), "uint8"), orientation=ORIENTATION_TURNED_90, pixel_aspect=2.0)
    small = reduced(film, Reduction(SIDE, "crop", WINDOW))
    assert small.levels.shape == (SIDE, SIDE)
    assert small.sent_shape == film.sent_shape == (40, 60)
    placed = Placement.of(small, np.asarray(small.reduced.box))
    assert (placed.rows, placed.columns) == (40, 60)
    assert placed.box == (0.0, 5.0, 60.0, 35.0)  # of pixels half as high as wide, turned: 60 rows are 30 columns long


def test_a_film_of_one_level_stays_one() -> None:
    small = reduced(Film(np.full((50, 70), 65_535, np.uint16)), Reduction(SIDE, "pad", WINDOW))
    assert np.ptp(small.levels) == 0


@pytest.mark.parametrize("aspect", ["crop", "stretch"])
@pytest.mark.parametrize("inverted", [False, True])
@pytest.mark.parametrize("share", [0.001, 0.1, 0.5, 0.8])
def test_the_anatomy_beside_padding_is_what_it_is_without(aspect: str, inverted: bool, share: float) -> None:
    """A picture with a black border of padding, each pixel of x being one of the film, against the picture alone."""
    side = 4 * SIDE
    preprocess = Preprocess(side, 0.5, 99.5, aspect)
    anatomy = np.random.default_rng(0).normal(1000, 200, (side, side)).astype(np.float32)
    outside = np.zeros((side, side), bool)
    outside.ravel()[: max(1, int(share * outside.size))] = True
    film = Film(np.where(outside, 5000 if inverted else -5000, anatomy), inverted, padding=outside)
    x = x_of(reduced(film, Reduction(side, aspect, Percentiles(0.5, 99.5))), preprocess)[0][0, 0]

    picture = (-anatomy if inverted else anatomy)[~outside]
    low, high = np.percentile(picture, (0.5, 99.5))
    wanted = (2 * (picture - low) / (high - low) - 1).clip(-1, 1)
    assert (x[outside] == -1).all()
    apart = np.abs(x[~outside] - wanted) > 1e-5
    assert apart.sum() <= np.ceil(share * 0.005 * outside.size) + 2, "but for a few of the brightest and darkest"
    assert np.abs(x[~outside] - wanted).max() < 0.3


def test_padding_has_no_part_in_a_pixel_of_x() -> None:
    levels = np.full((4 * SIDE, 4 * SIDE), 1000, np.uint16)
    levels[:, 2 * SIDE :] = 1400
    padding = np.random.default_rng(0).random(levels.shape) < 0.2
    small = reduced(Film(np.where(padding, 0, levels), padding=padding), Reduction(SIDE, "crop", WINDOW))
    assert small.padding is None
    left, right = small.levels[:, : SIDE // 2 - 1], small.levels[:, SIDE // 2 + 1 :]
    np.testing.assert_allclose(left, left[0, 0], atol=1e-3)
    np.testing.assert_allclose(right, left[0, 0] + 400, atol=1e-3)


def test_a_film_whose_part_that_is_seen_is_padding_has_one_level() -> None:
    levels = np.zeros((SIDE, 5 * SIDE), np.uint16)
    levels[:, :SIDE] = np.arange(SIDE)
    small = reduced(Film(levels, padding=levels == 0), Reduction(SIDE, "crop", WINDOW))
    assert np.ptp(small.levels) == 0


def test_a_job_and_a_reduced_film_are_told_whole() -> None:
    job = Job("encoded", 10, 0, None, Reduction(SIDE, "pad", WINDOW))
    assert Job.of(job.line()) == job
    small = reduced(Film(levels_of((60, 40), "uint8"), frame=3), Reduction(SIDE, "crop", WINDOW))
    told = described_film(film_line(small), ImageLimits(100, 5000, 5000).maximum_pixels)
    assert (told.reduced, told.frame, told.levels.shape) == (small.reduced, 3, (SIDE, SIDE))
