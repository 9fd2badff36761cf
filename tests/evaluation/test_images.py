"""Which images are evaluated, and in which order."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medxgan.evaluation.errors import ImagesError, SubjectError
from medxgan.evaluation.images import (
    EvaluatedImage,
    data_of_bundle,
    data_of_file,
    fingerprint,
    fingerprint_of_data,
    in_pixels_of_x,
    labelled_images,
    patient_balanced,
)
from medxgan.server.images.film import Film
from medxgan.training.data.samples import LabelledImages
from medxgan.training.data.source import PhantomData, load
from medxgan.v1.bundle_pb2 import ASPECT_CROP, ASPECT_PAD, ASPECT_STRETCH, Aspect, Bundle, ImageSpecification

SPECIFICATION = ImageSpecification(height=32, width=32, channels=1, aspect=ASPECT_CROP)


def image(name: str, patient: str) -> EvaluatedImage:
    return EvaluatedImage(name, patient, True, "", True, Film(np.zeros((2, 2), np.float32)), None)


@given(patients=st.lists(st.sampled_from("abcd"), min_size=1, max_size=20), seed=st.integers(0, 20))
def test_no_patient_comes_a_second_time_before_all_came_once(patients: list[str], seed: int) -> None:
    images = [image(str(row), patient) for row, patient in enumerate(patients)]
    order = patient_balanced(images, seed)
    assert sorted(each.id for each in order) == sorted(each.id for each in images)
    turns = [sum(before.patient == each.patient for before in order[:row]) for row, each in enumerate(order)]
    assert turns == sorted(turns)
    assert [each.id for each in patient_balanced(images[::-1], seed)] == [each.id for each in order]


def test_the_seed_decides_the_order() -> None:
    images = [image(str(row), str(row)) for row in range(12)]
    orders = {tuple(each.id for each in patient_balanced(images, seed)) for seed in range(5)}
    assert len(orders) == 5


def test_masks_are_in_the_pixels_of_x_and_only_where_there_is_a_lesion(phantom_data: PhantomData) -> None:
    images = labelled_images(load(phantom_data, Path()), "test", SPECIFICATION)
    for each in images:
        assert (each.mask is not None) == each.positive
        assert each.mask is None or each.mask.shape == (32, 32)


@pytest.mark.parametrize("aspect", [ASPECT_CROP, ASPECT_PAD, ASPECT_STRETCH])
def test_a_mask_of_the_whole_picture_is_whole(aspect: Aspect) -> None:
    specification = ImageSpecification(height=32, width=32, channels=1, aspect=aspect)
    for shape in ((64, 64), (20, 20)):
        assert in_pixels_of_x(np.ones(shape, np.bool_), specification).all()
        assert not in_pixels_of_x(np.zeros(shape, np.bool_), specification).any()
    half = np.zeros((64, 64), np.bool_)
    half[:, 32:] = True
    np.testing.assert_array_equal(in_pixels_of_x(half, specification), np.repeat([np.arange(32) >= 16], 32, 0))


def test_a_mask_ends_where_the_picture_does_and_heeds_the_shape_of_its_pixels() -> None:
    specification = ImageSpecification(height=32, width=32, channels=1, aspect=ASPECT_PAD)
    wide = in_pixels_of_x(np.ones((32, 64), np.bool_), specification)
    assert wide[8:24].all()
    assert not wide[:7].any()
    assert not wide[25:].any()
    assert in_pixels_of_x(np.ones((32, 64), np.bool_), specification, pixel_aspect=2).all()


def test_what_is_known_of_a_films_pixels_comes_along() -> None:
    padding = np.zeros((8, 8), np.bool_)
    padding[:, 0] = True
    images = LabelledImages(
        images=[np.eye(8, dtype=np.float32)] * 2,
        labels=np.ones(2, np.uint8),
        patients=("a", "b"),
        sources=("", ""),
        ids=("0", "1"),
        inverted=np.zeros(2, np.bool_),
        pixel_aspects=np.array([2.0, 1.0]),
        paddings=(None, padding),
    )
    split = images.split(np.ones(2, np.bool_))
    tall, padded = labelled_images(split, "test", SPECIFICATION)
    assert (tall.film.pixel_aspect, tall.film.padding) == (2, None)
    assert padded.film.pixel_aspect == 1
    assert padded.film.padding is padding
    square = replace(images, pixel_aspects=None, paddings=None).split(np.ones(2, np.bool_))
    assert fingerprint([tall, padded]) != fingerprint(labelled_images(square, "test", SPECIFICATION))
    assert fingerprint_of_data(split) != fingerprint_of_data(square)


def test_the_fingerprint_of_data_follows_what_figures_are_measured_on(phantom_data: PhantomData) -> None:
    data = load(phantom_data, Path())
    test = replace(data.test, images=[data.test.images[0] + 1, *data.test.images[1:]])
    assert fingerprint_of_data(data) == fingerprint_of_data(load(phantom_data, Path()))
    assert fingerprint_of_data(replace(data, test=test)) != fingerprint_of_data(data)


def test_the_fingerprint_follows_the_pixels(phantom_data: PhantomData) -> None:
    images = labelled_images(load(phantom_data, Path()), "test", SPECIFICATION)
    other = [replace(images[0], film=Film(images[0].film.levels + 1)), *images[1:]]
    assert fingerprint(images) == fingerprint(labelled_images(load(phantom_data, Path()), "test", SPECIFICATION))
    assert fingerprint(images) != fingerprint(other) != fingerprint(images[1:])


def test_the_calibration_split_is_there_where_the_data_has_one(phantom_data: PhantomData) -> None:
    with pytest.raises(ImagesError, match=r"data\.calibration_share"):
        labelled_images(load(phantom_data, Path()), "calibration", SPECIFICATION)
    parted = phantom_data.model_copy(update={"calibration_share": 0.5})
    calibration = labelled_images(load(parted, Path()), "calibration", SPECIFICATION)
    test = labelled_images(load(parted, Path()), "test", SPECIFICATION)
    assert calibration
    assert not {each.patient for each in calibration} & {each.patient for each in test}


def test_the_bundle_says_which_data_or_a_file_does(phantom_data: PhantomData, config: Path) -> None:
    bundle = Bundle(name="tiny", version="1")
    with pytest.raises(SubjectError, match="--config"):
        data_of_bundle(bundle)
    bundle.provenance.configuration["data"] = phantom_data.model_dump_json()
    assert data_of_bundle(bundle) == phantom_data == data_of_file(config)


def test_a_training_file_with_all_its_sections_will_do() -> None:
    file = Path(__file__).parents[2] / "training" / "configs" / "phantom.toml"
    assert data_of_file(file).kind == "phantom"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("[image]\n", r"\[data\]"),
        ('[data]\nkind = "phantom"\n', "count"),
        ("[data\n", "line 1"),
        ('extends = "base.toml"\n', r"base\.toml: not TOML: .*line 1"),
        (None, "can't be read"),
    ],
)
def test_a_mistake_in_the_file_is_named(tmp_path: Path, content: str | None, told: str) -> None:
    file = tmp_path / "data.toml"
    (tmp_path / "base.toml").write_text("[data\n")
    if content is not None:
        file.write_text(content)
    with pytest.raises(SubjectError, match=told):
        data_of_file(file)
