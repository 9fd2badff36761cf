"""A film that was reduced where it was read gives the x that the whole film gives."""

import itertools

import numpy as np
import pytest
import torch

from medxgan.server.images.film import Film, Placement
from medxgan.server.images.limits import ImageLimits
from medxgan.server.images.reduction import Reduction, reduced
from medxgan.server.images.workers.messages import Job, described_film, film_line
from medxgan.training.preprocessing import Preprocess
from medxgan.v1.explanation_pb2 import ORIENTATION_TURNED_90

SIDE = 32
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


@pytest.mark.parametrize("aspect", ["crop", "pad", "stretch"])
@pytest.mark.parametrize("kind", ["uint8", "int16", "float32"])
def test_x_of_a_reduced_film_is_that_of_the_film(aspect: str, kind: str) -> None:
    preprocess = Preprocess(SIDE, 1, 99, aspect)
    for shape, inverted, pixel_aspect in itertools.product(SHAPES, (False, True), (1.0, 0.7, 3.0)):
        film = Film(levels_of(shape, kind), inverted, pixel_aspect=pixel_aspect)
        x, box = x_of(film, preprocess)
        small = reduced(film, Reduction(SIDE, aspect))
        np.testing.assert_allclose(x_of(small, preprocess)[0], x, atol=ROUNDING, err_msg=f"{shape} {inverted}")
        np.testing.assert_array_equal(np.float32(small.reduced.box), box)


def test_a_reduced_film_lies_where_the_film_lies() -> None:
    film = Film(levels_of((60, 40), "uint8"), orientation=ORIENTATION_TURNED_90, pixel_aspect=2.0)
    small = reduced(film, Reduction(SIDE, "crop"))
    assert small.levels.shape == (SIDE, SIDE)
    assert small.sent_shape == film.sent_shape == (40, 60)
    placed = Placement.of(small, np.asarray(small.reduced.box))
    assert (placed.rows, placed.columns) == (40, 60)
    assert placed.box == (0.0, 5.0, 60.0, 35.0)  # of pixels half as high as wide, turned: 60 rows are 30 columns long


def test_a_film_of_one_level_stays_one() -> None:
    small = reduced(Film(np.full((50, 70), 65_535, np.uint16)), Reduction(SIDE, "pad"))
    assert np.ptp(small.levels) == 0


def test_a_job_and_a_reduced_film_are_told_whole() -> None:
    job = Job("encoded", 10, 0, None, Reduction(SIDE, "pad"))
    assert Job.of(job.line()) == job
    small = reduced(Film(levels_of((60, 40), "uint8"), frame=3), Reduction(SIDE, "crop"))
    told = described_film(film_line(small), ImageLimits(100, 5000, 5000).maximum_pixels)
    assert (told.reduced, told.frame, told.levels.shape) == (small.reduced, 3, (SIDE, SIDE))
