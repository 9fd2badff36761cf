"""Drawn slices are familiar to measures that were fitted on such slices; what is none is not."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from skimage import data
from torch import Tensor

from medxgan.training.data.phantom import phantoms
from medxgan.training.dataset import preprocess_images
from medxgan.training.familiarity import FamiliarityCheck, calibrated, fit_familiarity
from medxgan.training.familiarity.network import UNLIKE, Familiarity
from medxgan.training.preprocessing import Preprocess

PREPROCESS = Preprocess(32, 0.5, 99.5, "stretch").eval()


def slices(count: int, seed: int) -> Tensor:
    return preprocess_images(PREPROCESS, phantoms(count, 48, seed, 0.5)).x


@pytest.fixture(scope="module")
def check() -> FamiliarityCheck:
    measures = fit_familiarity(PREPROCESS, slices(240, 1), steps=150, seed=0)
    return calibrated(measures, PREPROCESS, slices(60, 2), "60 drawn slices", seed=0)


def levels(draw: Callable[[np.random.Generator], np.ndarray], count: int = 20) -> Tensor:
    """x of pictures that a function draws."""
    random = np.random.default_rng(3)
    upright = torch.zeros(1)
    return torch.cat(
        [PREPROCESS(torch.from_numpy(draw(random).astype(np.float32))[None, None], upright) for _ in range(count)]
    )


def blank(random: np.random.Generator) -> np.ndarray:
    return np.full(random.integers(1, 200, 2), random.integers(0, 65536))


def noise(random: np.random.Generator) -> np.ndarray:
    return random.normal(size=random.integers(32, 200, 2))


def gradient(random: np.random.Generator) -> np.ndarray:
    rows, columns = np.mgrid[0:64, 0:64]
    angle = random.uniform(0, 2 * np.pi)
    return rows * np.sin(angle) + columns * np.cos(angle)


def checkerboard(random: np.random.Generator) -> np.ndarray:
    rows, columns = np.mgrid[0:128, 0:128] // random.integers(4, 40)
    return (rows + columns) % 2


def photograph(random: np.random.Generator) -> np.ndarray:
    whole = random.choice([data.camera, data.coins, data.moon])()
    side = random.integers(150, 300)
    top, left = (random.integers(0, extent - side + 1) for extent in whole.shape)
    return whole[top : top + side, left : left + side]


def writing(random: np.random.Generator) -> np.ndarray:
    whole = random.choice([data.page, data.text])()
    side = random.integers(100, 170)
    top, left = (random.integers(0, extent - side + 1) for extent in whole.shape)
    return whole[top : top + side, left : left + side]


@pytest.mark.parametrize("draw", [blank, noise, gradient, checkerboard, photograph, writing])
def test_what_is_no_film_is_unfamiliar(
    check: FamiliarityCheck, draw: Callable[[np.random.Generator], np.ndarray]
) -> None:
    assert bool(check.unfamiliar(levels(draw)).all())


def test_films_of_others_are_familiar(check: FamiliarityCheck) -> None:
    """Two in a hundred may be taken for foreign: of 200 no more than 4."""
    assert int(check.unfamiliar(slices(200, 4)).sum()) <= 4


def test_negatives_are_unfamiliar(check: FamiliarityCheck) -> None:
    assert float(check.unfamiliar(-slices(50, 4)).double().mean()) > 0.9


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 0.0, -1.0])
def test_what_has_no_contrast_or_is_no_number_is_more_than_any_maximum(check: FamiliarityCheck, value: float) -> None:
    assert (check.measures(torch.full((2, 1, 32, 32), value)) == UNLIKE).all()
    film = torch.full((1, 1, 40, 40), value)
    assert (check.measures(PREPROCESS(film, torch.zeros(1))) == UNLIKE).all()


def test_one_pixel_that_is_no_number_makes_a_film_unfamiliar(check: FamiliarityCheck) -> None:
    film = torch.from_numpy(phantoms(1, 48, 5, 0.5).images[0].astype(np.float32))[None, None]
    assert not bool(check.unfamiliar(PREPROCESS(film, torch.zeros(1))).any())
    film[0, 0, 20, 20] = float("nan")
    assert bool(check.unfamiliar(PREPROCESS(film, torch.zeros(1))).all())


def test_a_row_does_not_depend_on_its_batch(check: FamiliarityCheck) -> None:
    x = slices(5, 6)
    torch.testing.assert_close(check.measures(x)[3:4], check.measures(x[3:4]), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("size", [16, 64, 128])
def test_every_size_of_image_has_measures(size: int) -> None:
    measures = Familiarity(size).eval()(torch.rand(3, 1, size, size))
    assert measures.shape == (3, 2)
    assert bool(measures.isfinite().all())


def test_fitting_leaves_the_callers_random_numbers_alone() -> None:
    torch.manual_seed(9)
    expected = torch.rand(1)
    torch.manual_seed(9)
    fit_familiarity(PREPROCESS, slices(8, 1), steps=1, seed=0)
    assert torch.equal(torch.rand(1), expected)
