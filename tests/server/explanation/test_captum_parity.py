"""Every explainer on a real bundle against captum, autograd or its formula, and the properties that it promises."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from captum.attr import (  # type: ignore[import-untyped]
    GuidedBackprop,
    GuidedGradCam,
    IntegratedGradients,
    LayerAttribution,
    LayerGradCam,
    Occlusion,
    Saliency,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from medxgan.server.bundle import LoadedBundle, load_bundle
from medxgan.server.errors import InvalidRequestError
from medxgan.server.explainers.attributions import AttributionMap, Attributions
from medxgan.server.explainers.grad_cam import class_activation_map
from medxgan.server.explainers.occlusion import window_covers
from medxgan.server.explainers.path_integral import gauss_legendre
from medxgan.server.explainers.settings import AttributionSettings, resolve_attribution_settings
from medxgan.server.explainers.table import EXPLAINERS, INTEGRATING, served_methods
from medxgan.server.maps.residual import agreement, box_mean, smoothing_window
from medxgan.v1.explanation_pb2 import (
    ATTRIBUTION_METHOD_DIFFERENCE_MAP,
    ATTRIBUTION_METHOD_GRAD_CAM,
    ATTRIBUTION_METHOD_GRADIENT,
    ATTRIBUTION_METHOD_GUIDED_BACKPROPAGATION,
    ATTRIBUTION_METHOD_GUIDED_GRAD_CAM,
    ATTRIBUTION_METHOD_INTEGRATED_GRADIENTS,
    ATTRIBUTION_METHOD_LATENT_INTEGRATED_GRADIENTS,
    ATTRIBUTION_METHOD_OCCLUSION,
    ATTRIBUTION_METHOD_RESIDUAL_MAP,
    ATTRIBUTION_METHOD_UNSPECIFIED,
    AttributeRequest,
    AttributionMethod,
)

SIZE = 32

pytestmark = [
    pytest.mark.filterwarnings("ignore:Setting backward hooks on ReLU activations:UserWarning"),
    pytest.mark.filterwarnings("ignore:Input Tensor 0 did not already require gradients:UserWarning"),
]


@pytest.fixture(scope="module")
def bundle(tiny_bundle: Path) -> LoadedBundle:
    return load_bundle(tiny_bundle)


@pytest.fixture(scope="module")
def x(tiny_model) -> np.ndarray:
    """An image of the classifier's own world, with detail that the generator does not draw: [1, 1, S, S]."""
    with torch.no_grad():
        picture = tiny_model.generator(torch.randn(1, 18, generator=torch.Generator().manual_seed(5))).numpy()
    return np.clip(picture + np.random.default_rng(1).normal(0, 0.1, picture.shape), -1, 1).astype(np.float32)


@pytest.fixture(scope="module")
def defaults(bundle: LoadedBundle) -> AttributionSettings:
    return resolve_attribution_settings(AttributeRequest(), bundle.description)


@pytest.fixture(scope="module")
def attribute(ask, bundle: LoadedBundle, x: np.ndarray, defaults: AttributionSettings):
    """Attributes x by some methods, with the defaults and what is set otherwise."""

    def attribute_by(
        methods: Sequence[AttributionMethod], maximum_batch: int = 8, image: np.ndarray = x, **changed: object
    ) -> Attributions:
        return ask(bundle, lambda model: model.attribute(image, methods, replace(defaults, **changed)), maximum_batch)

    return attribute_by


@pytest.fixture(scope="module")
def attribute_one(attribute):
    def attribute_by(method: AttributionMethod, **changed: object) -> AttributionMap:
        (attribution,) = attribute([method], **changed).maps
        return attribution

    return attribute_by


def assert_close(found: np.ndarray, expected: torch.Tensor) -> None:
    """To 1e-4 of the largest value, which is what float32 keeps of a sum of a thousand products."""
    reference = expected.detach().numpy().reshape(SIZE, SIZE)
    assert np.abs(reference).max() > 0
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, reference, rtol=1e-4, atol=1e-4 * np.abs(reference).max())


def tensor(x: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(x.copy())


def test_every_method_of_the_enum_has_a_row_in_its_order() -> None:
    assert list(EXPLAINERS) == [each for each in AttributionMethod.values() if each != ATTRIBUTION_METHOD_UNSPECIFIED]


def test_every_method_answers_in_the_order_asked_for(attribute, bundle) -> None:
    methods = served_methods(bundle.description)[::-1]
    answer = attribute(methods)
    assert [each.method for each in answer.maps] == list(methods)
    for each in answer.maps:
        assert (each.values.shape, each.values.dtype) == ((SIZE, SIZE), np.float32), each.method
        assert np.isfinite(each.values).all(), each.method
        assert np.ptp(each.values) > 0, each.method
        assert each.seconds > 0
    assert answer.explained is not None


def test_methods_that_need_no_generator_cause_no_inversion(attribute) -> None:
    assert attribute([ATTRIBUTION_METHOD_GRADIENT]).explained is None


def test_the_gradient_is_that_of_captum(attribute_one, tiny_model, x) -> None:
    expected = Saliency(tiny_model.classifier).attribute(tensor(x), abs=False)
    assert_close(attribute_one(ATTRIBUTION_METHOD_GRADIENT).values, expected)


def test_guided_backpropagation_is_that_of_captum(attribute_one, tiny_model, x) -> None:
    expected = GuidedBackprop(tiny_model.classifier).attribute(tensor(x))
    assert_close(attribute_one(ATTRIBUTION_METHOD_GUIDED_BACKPROPAGATION).values, expected)


def test_grad_cam_is_that_of_captum(attribute_one, tiny_model, x) -> None:
    layer = LayerGradCam(tiny_model.classifier, tiny_model.classifier.blocks[-1])
    coarse = layer.attribute(tensor(x), relu_attributions=True)
    expected = LayerAttribution.interpolate(coarse, (SIZE, SIZE), interpolate_mode="bilinear")
    assert_close(attribute_one(ATTRIBUTION_METHOD_GRAD_CAM).values, expected)


def test_guided_grad_cam_is_that_of_captum(attribute_one, tiny_model, x) -> None:
    both = GuidedGradCam(tiny_model.classifier, tiny_model.classifier.blocks[-1])
    expected = both.attribute(tensor(x), interpolate_mode="bilinear")
    assert_close(attribute_one(ATTRIBUTION_METHOD_GUIDED_GRAD_CAM).values, expected)


@pytest.mark.parametrize(("steps", "baseline"), [(50, -1.0), (1, 0.0), (13, 0.5)])
def test_integrated_gradients_are_those_of_captum(attribute_one, tiny_model, x, steps, baseline) -> None:
    expected, error = IntegratedGradients(tiny_model.classifier).attribute(
        tensor(x), baselines=baseline, n_steps=steps, return_convergence_delta=True
    )
    found = attribute_one(ATTRIBUTION_METHOD_INTEGRATED_GRADIENTS, path_steps=steps, baseline=baseline)
    assert_close(found.values, expected)
    completeness = found.completeness
    assert completeness.attributed == pytest.approx(float(found.values.sum()), rel=1e-4)
    with torch.no_grad():
        ends = tiny_model.classifier(torch.cat([tensor(x), torch.full((1, 1, SIZE, SIZE), baseline)]))
    assert completeness.change == pytest.approx(float(ends[0] - ends[1]), rel=1e-4)
    assert completeness.error == pytest.approx(abs(float(error)), abs=1e-4 * max(1, abs(completeness.change)))


@pytest.mark.parametrize(("window", "stride"), [(4, 2), (5, 3), (7, 7), (32, 32), (10, 9)])
def test_occlusion_is_that_of_captum(attribute_one, tiny_model, x, window, stride) -> None:
    with torch.no_grad():
        expected = Occlusion(tiny_model.classifier).attribute(
            tensor(x), sliding_window_shapes=(1, window, window), strides=(1, stride, stride), baselines=-0.25
        )
    found = attribute_one(ATTRIBUTION_METHOD_OCCLUSION, window=window, stride=stride, level=-0.25)
    assert_close(found.values, expected)
    assert found.completeness is None


def test_latent_integrated_gradients_are_those_of_autograd(attribute, tiny_model) -> None:
    answer = attribute([ATTRIBUTION_METHOD_LATENT_INTEGRATED_GRADIENTS], path_steps=20)
    ((found,), z) = answer.maps, torch.from_numpy(answer.explained.z)
    nodes, weights = np.polynomial.legendre.leggauss(20)
    total = torch.zeros(1, 1, SIZE, SIZE)
    with torch.no_grad():
        points = [torch.cat([z[:, :12], (1 + node) / 2 * z[:, 12:]], 1) for node in [*nodes.tolist(), 1.0, -1.0]]
        *path, end, begin = (tiny_model.generator(point) for point in points)
        change = float(tiny_model.classifier(end) - tiny_model.classifier(begin))
    for picture, weight in zip(path, weights / 2, strict=True):
        picture.requires_grad_()
        total += float(weight) * torch.autograd.grad(tiny_model.classifier(picture).sum(), picture)[0]
    expected = total * (end - begin)
    assert_close(found.values, expected)
    assert found.completeness.change == pytest.approx(change, rel=1e-3)
    assert found.completeness.attributed == pytest.approx(float(expected.sum()), rel=1e-3)
    assert found.completeness.error == abs(found.completeness.attributed - found.completeness.change)


def test_maps_of_the_generator_share_one_inversion_with_explain(ask, bundle, attribute, x, defaults) -> None:
    methods = [ATTRIBUTION_METHOD_DIFFERENCE_MAP, ATTRIBUTION_METHOD_RESIDUAL_MAP]
    answer = attribute(methods)
    (difference, residual), explained = answer.maps, answer.explained
    np.testing.assert_array_equal(difference.values, explained.reconstruction - explained.negative_realization)
    d, r = (
        torch.nn.functional.avg_pool2d(torch.from_numpy(each)[None, None], 3, 1, 1)
        for each in (difference.values, x[0, 0] - explained.negative_realization)
    )
    expected = torch.where(torch.sign(r) == torch.sign(d), torch.sign(d) * r.abs() * d.abs(), torch.zeros(()))
    assert_close(residual.values, expected)
    assert 0.1 < np.mean(residual.values == 0) < 0.9, "the signs differ somewhere and agree somewhere"
    assert explained.outcome.steps_taken >= 1
    assert explained.scores.original == pytest.approx(1 / (1 + np.exp(-answer.logit)), abs=1e-6)
    assert explained.verdict.status
    (again,) = ask(bundle, lambda model: model.attribute(x, methods[:1], defaults)).maps
    np.testing.assert_array_equal(again.values, difference.values)


def test_the_size_of_a_chunk_does_not_matter(attribute, bundle) -> None:
    methods = [
        method
        for method in served_methods(bundle.description)
        # Of the generator's methods those that run in chunks; the inversion's own batch has one row either way.
        if not EXPLAINERS[method].needs_generator or method in INTEGRATING
    ]
    for one, eight in zip(attribute(methods, 1).maps, attribute(methods, 8).maps, strict=True):
        np.testing.assert_allclose(one.values, eight.values, atol=1e-5 * max(1, np.abs(eight.values).max()))


@given(level=st.floats(-1, 1, width=32), window=st.integers(1, 32), data=st.data())
@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_blanking_what_is_blank_changes_nothing(attribute_one, level, window, data) -> None:
    stride = data.draw(st.integers(max(1, window // 2), window))
    blank = np.full((1, 1, SIZE, SIZE), level, np.float32)
    found = attribute_one(ATTRIBUTION_METHOD_OCCLUSION, image=blank, window=window, stride=stride, level=level)
    np.testing.assert_allclose(found.values, 0, atol=1e-5)


@given(seed=st.integers(0, 2**32), baseline=st.sampled_from([-1.0, -0.3, 0.0, 1.0]))
@settings(max_examples=10)
def test_integrated_gradients_add_up_with_enough_steps(attribute_one, tiny_model, seed, baseline) -> None:
    with torch.no_grad():
        image = tiny_model.generator(torch.randn(1, 18, generator=torch.Generator().manual_seed(seed))).numpy()
    one, many = (
        attribute_one(ATTRIBUTION_METHOD_INTEGRATED_GRADIENTS, image=image, baseline=baseline, path_steps=steps)
        for steps in (1, 200)
    )
    scale = float(np.abs(many.values).sum())
    assert many.completeness.error < 0.01 * scale
    assert many.completeness.error < max(one.completeness.error, 1e-3 * scale)


def test_a_path_of_no_length_attributes_nothing(attribute_one) -> None:
    blank = np.full((1, 1, SIZE, SIZE), 0.25, np.float32)
    found = attribute_one(ATTRIBUTION_METHOD_INTEGRATED_GRADIENTS, image=blank, baseline=0.25, path_steps=3)
    np.testing.assert_array_equal(found.values, 0)
    assert found.completeness.change == pytest.approx(0, abs=1e-5)


@given(st.integers(1, 60))
def test_the_quadrature_is_exact_for_polynomials(count) -> None:
    points, weights = gauss_legendre(count)
    for degree in {0, 1, 2 * count - 1}:
        assert float(weights @ points**degree) == pytest.approx(1 / (degree + 1))


@given(side=st.integers(1, 80), data=st.data())
def test_windows_cover_every_pixel_and_end_at_the_border(side, data) -> None:
    window = data.draw(st.integers(1, side))
    stride = data.draw(st.integers(1, window))
    covers = window_covers(side, window, stride)
    assert covers.any(axis=0).all()
    assert len(covers) == -(-(side - window) // stride) + 1
    assert covers[0].sum() == window
    assert covers[-1, -1]
    assert not covers[:-1, -1].any(), "no window before the last reaches the border"


def test_grad_cam_is_where_activations_raise_the_logit() -> None:
    activations = np.zeros((2, 4, 4), np.float32)
    activations[0, 0, 0] = activations[1, 3, 3] = 1
    gradients = np.stack([np.full((4, 4), 2, np.float32), np.full((4, 4), -3, np.float32)])
    evidence = class_activation_map(activations, gradients, 16)
    assert (evidence.shape, evidence.dtype) == ((16, 16), np.float32)
    assert evidence.min() == 0
    assert evidence.max() == evidence[0, 0] == pytest.approx(2)
    assert np.all(evidence[8:, 8:] == 0)


@given(arrays(np.float32, (3, 4, 4), elements=st.floats(-1, 1, width=32)))
def test_grad_cam_is_never_negative(activations) -> None:
    assert class_activation_map(activations, activations[::-1].copy(), 8).min() >= 0


@given(arrays(np.float32, (3, 7, 7), elements=st.floats(0, 1, width=32)), st.sampled_from([7, 14, 32, 50, 224]))
def test_activation_maps_are_resized_as_torch_does(activations, side) -> None:
    expected = torch.nn.functional.interpolate(torch.from_numpy(activations)[None], (side, side), mode="bilinear")[0]
    for channel, resized in zip(activations, expected, strict=True):
        found = class_activation_map(channel[np.newaxis], np.ones((1, 7, 7), np.float32), side)
        np.testing.assert_allclose(found, resized.numpy(), atol=1e-5)


@pytest.mark.parametrize(("side", "window"), [(8, 3), (32, 3), (64, 5), (96, 9), (224, 19), (512, 43)])
def test_the_smoothing_follows_the_size_of_the_image(side, window) -> None:
    assert smoothing_window(side) == window
    assert window % 2 == 1
    assert window == 3 or abs(window - side / 12) <= 1


@given(arrays(np.float32, (9, 9), elements=st.floats(-2, 2, width=32)), st.sampled_from([3, 5]))
def test_smoothing_is_that_of_torch(image, window) -> None:
    expected = torch.nn.functional.avg_pool2d(torch.from_numpy(image)[None, None], window, 1, window // 2)[0, 0]
    np.testing.assert_allclose(box_mean(image, window), expected.numpy(), atol=1e-5)


PICTURES = arrays(np.float32, (8, 8), elements=st.floats(-2, 2, width=32))


@given(PICTURES, PICTURES)
def test_the_residual_map_has_the_sign_that_both_agree_on(residual, difference) -> None:
    found = agreement(residual, difference)
    both = box_mean(residual, 3) * box_mean(difference, 3)
    np.testing.assert_allclose(np.abs(found), np.maximum(both, 0), atol=1e-6)
    np.testing.assert_array_equal(agreement(-residual, -difference), -found)
    np.testing.assert_array_equal(agreement(residual, -difference) * found, 0)


def test_a_method_that_the_target_does_not_suit_is_refused(attribute) -> None:
    with pytest.raises(InvalidRequestError) as refusal:
        attribute([ATTRIBUTION_METHOD_GRADIENT, ATTRIBUTION_METHOD_DIFFERENCE_MAP], target=1)
    assert refusal.value.field == "target"
    assert "ATTRIBUTION_METHOD_DIFFERENCE_MAP" in refusal.value.expected
