"""Every classic map on a real bundle against captum, autograd or its formula, and the properties that it promises."""

from collections.abc import Sequence
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
from hypothesis import given, settings
from hypothesis import strategies as st

from medxgan.bundle import LoadedBundle, load_bundle
from medxgan.server.explanation.explanation import Explanation, MapValues
from medxgan.server.explanation.table import MAPS, served_maps
from medxgan.v1.explanation_pb2 import (
    MAP_KIND_DIFFERENCE,
    MAP_KIND_GRAD_CAM,
    MAP_KIND_GRADIENT,
    MAP_KIND_GUIDED_BACKPROPAGATION,
    MAP_KIND_GUIDED_GRAD_CAM,
    MAP_KIND_INTEGRATED_GRADIENTS,
    MAP_KIND_LATENT_INTEGRATED_GRADIENTS,
    MAP_KIND_OCCLUSION,
    MAP_KIND_RESIDUAL,
    MAP_NEED_INVERSION,
    MapKind,
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
def make(explain, bundle: LoadedBundle, x: np.ndarray):
    """Makes some maps of x, with the defaults and what is set otherwise."""

    def make_maps(
        kinds: Sequence[MapKind], maximum_rows: int = 8, image: np.ndarray = x, **changed: object
    ) -> Explanation:
        return explain(bundle, image, kinds, maximum_rows, **changed)

    return make_maps


@pytest.fixture(scope="module")
def make_one(make):
    def make_map(kind: MapKind, **changed: object) -> MapValues:
        return make([kind], **changed).maps[kind]

    return make_map


def assert_close(found: np.ndarray, expected: torch.Tensor, share: float = 1e-4) -> None:
    """To a share of the largest value: 1e-4 is what float32 keeps of a sum of a thousand products."""
    reference = expected.detach().numpy().reshape(SIZE, SIZE)
    assert np.abs(reference).max() > 0
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, reference, rtol=1e-4, atol=share * np.abs(reference).max())


def tensor(x: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(x.copy())


def test_every_map_comes_in_the_order_asked_for(make, bundle) -> None:
    kinds = served_maps(bundle.description)[::-1]
    answer = make(kinds, inversion={"restarts": 2})
    assert list(answer.maps) == list(kinds)
    for kind, each in answer.maps.items():
        assert each.values.shape[:2] == (SIZE, SIZE), MapKind.Name(kind)
        assert each.values.dtype == np.float32
        assert np.isfinite(each.values).all(), MapKind.Name(kind)
        assert np.ptp(each.values) > 0, MapKind.Name(kind)
        assert each.seconds > 0


def test_the_gradient_is_that_of_captum(make_one, tiny_model, x) -> None:
    expected = Saliency(tiny_model.classifier).attribute(tensor(x), abs=False)
    assert_close(make_one(MAP_KIND_GRADIENT).values, expected)


def test_guided_backpropagation_is_that_of_captum(make_one, tiny_model, x) -> None:
    expected = GuidedBackprop(tiny_model.classifier).attribute(tensor(x))
    assert_close(make_one(MAP_KIND_GUIDED_BACKPROPAGATION).values, expected)


def test_grad_cam_is_that_of_captum(make_one, tiny_model, x) -> None:
    layer = LayerGradCam(tiny_model.classifier, tiny_model.classifier.blocks[-1])
    coarse = layer.attribute(tensor(x), relu_attributions=True)
    expected = LayerAttribution.interpolate(coarse, (SIZE, SIZE), interpolate_mode="bilinear")
    assert_close(make_one(MAP_KIND_GRAD_CAM).values, expected)


def test_guided_grad_cam_is_that_of_captum(make_one, tiny_model, x) -> None:
    both = GuidedGradCam(tiny_model.classifier, tiny_model.classifier.blocks[-1])
    expected = both.attribute(tensor(x), interpolate_mode="bilinear")
    assert_close(make_one(MAP_KIND_GUIDED_GRAD_CAM).values, expected)


@pytest.mark.parametrize(("steps", "baseline"), [(50, -1.0), (1, 0.0), (13, 0.5)])
def test_integrated_gradients_are_those_of_captum(make_one, tiny_model, x, steps, baseline) -> None:
    expected, error = IntegratedGradients(tiny_model.classifier).attribute(
        tensor(x), baselines=baseline, n_steps=steps, return_convergence_delta=True
    )
    found = make_one(MAP_KIND_INTEGRATED_GRADIENTS, integrated_gradients={"steps": steps, "baseline": baseline})
    # A unit at the kink of its ReLU falls to either side by rounding, at one point of the path.
    assert_close(found.values, expected, share=5e-3)
    completeness = found.completeness
    assert completeness.attributed == pytest.approx(float(found.values.sum()), rel=1e-4)
    with torch.no_grad():
        ends = tiny_model.classifier(torch.cat([tensor(x), torch.full((1, 1, SIZE, SIZE), baseline)]))
    assert completeness.change == pytest.approx(float(ends[0] - ends[1]), rel=1e-4)
    assert completeness.error == pytest.approx(abs(float(error)), abs=1e-4 * max(1, abs(completeness.change)))


@pytest.mark.parametrize(("window", "stride"), [(4, 2), (5, 3), (7, 7), (32, 32), (10, 9)])
def test_occlusion_is_that_of_captum(make_one, tiny_model, x, window, stride) -> None:
    with torch.no_grad():
        expected = Occlusion(tiny_model.classifier).attribute(
            tensor(x), sliding_window_shapes=(1, window, window), strides=(1, stride, stride), baselines=-0.25
        )
    found = make_one(MAP_KIND_OCCLUSION, occlusion={"window": window, "stride": stride, "level": -0.25})
    assert_close(found.values, expected)
    assert found.completeness is None


def test_latent_integrated_gradients_are_those_of_autograd(make, tiny_model) -> None:
    kind = MAP_KIND_LATENT_INTEGRATED_GRADIENTS
    answer = make([kind], integrated_gradients={"steps": 20})
    found, z = answer.maps[kind], torch.from_numpy(answer.inverted.z)
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


def test_difference_and_residual_are_of_the_one_inversion(make, x) -> None:
    answer = make([MAP_KIND_DIFFERENCE, MAP_KIND_RESIDUAL])
    inverted, difference = answer.inverted, answer.maps[MAP_KIND_DIFFERENCE].values
    np.testing.assert_array_equal(difference, inverted.reconstruction - inverted.negative_realization)
    d, r = (
        torch.nn.functional.avg_pool2d(torch.from_numpy(each)[None, None], 3, 1, 1)
        for each in (difference, x[0, 0] - inverted.negative_realization)
    )
    expected = torch.where(torch.sign(r) == torch.sign(d), torch.sign(d) * r.abs() * d.abs(), torch.zeros(()))
    residual = answer.maps[MAP_KIND_RESIDUAL].values
    assert_close(residual, expected)
    assert 0.1 < np.mean(residual == 0) < 0.9, "the signs differ somewhere and agree somewhere"
    again = make([MAP_KIND_DIFFERENCE]).maps[MAP_KIND_DIFFERENCE].values
    np.testing.assert_array_equal(again, difference)


def test_the_size_of_a_chunk_does_not_matter(make, bundle) -> None:
    # Of the generator's maps the one that runs in chunks; the inversion's own batch has one row either way.
    kinds = [
        kind
        for kind in served_maps(bundle.description)
        if MAP_NEED_INVERSION not in MAPS[kind].needs or kind == MAP_KIND_LATENT_INTEGRATED_GRADIENTS
    ]
    one, eight = make(kinds, 1).maps, make(kinds, 8).maps
    for kind in kinds:
        expected = eight[kind].values
        np.testing.assert_allclose(one[kind].values, expected, atol=1e-5 * max(1, np.abs(expected).max()))


@given(level=st.floats(-1, 1, width=32), window=st.integers(1, 32), data=st.data())
@settings(max_examples=10)
def test_blanking_what_is_blank_changes_nothing(make_one, level, window, data) -> None:
    stride = data.draw(st.integers(max(1, window // 2), window))
    blank = np.full((1, 1, SIZE, SIZE), level, np.float32)
    found = make_one(MAP_KIND_OCCLUSION, image=blank, occlusion={"window": window, "stride": stride, "level": level})
    np.testing.assert_allclose(found.values, 0, atol=1e-5)


@given(seed=st.integers(0, 2**32), baseline=st.sampled_from([-1.0, -0.3, 0.0, 1.0]))
@settings(max_examples=10)
def test_integrated_gradients_add_up_with_enough_steps(make_one, tiny_model, seed, baseline) -> None:
    with torch.no_grad():
        image = tiny_model.generator(torch.randn(1, 18, generator=torch.Generator().manual_seed(seed))).numpy()
    one, many = (
        make_one(
            MAP_KIND_INTEGRATED_GRADIENTS, image=image, integrated_gradients={"steps": steps, "baseline": baseline}
        )
        for steps in (1, 200)
    )
    scale = float(np.abs(many.values).sum())
    assert many.completeness.error < 0.01 * scale
    assert many.completeness.error < max(one.completeness.error, 1e-3 * scale)


def test_a_path_of_no_length_attributes_nothing(make_one) -> None:
    blank = np.full((1, 1, SIZE, SIZE), 0.25, np.float32)
    found = make_one(MAP_KIND_INTEGRATED_GRADIENTS, image=blank, integrated_gradients={"steps": 3, "baseline": 0.25})
    np.testing.assert_array_equal(found.values, 0)
    assert found.completeness.change == pytest.approx(0, abs=1e-5)
