from collections.abc import Callable

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from medxgan.export.decompositions import gradient_decompositions, guided_decompositions
from medxgan.export.errors import UnsupportedOperatorError
from medxgan.export.tracing import trace

Operation = Callable[[Tensor], Tensor]


def input_gradient(operation: Operation) -> Callable[[Tensor, Tensor], Tensor]:
    """From x and the gradient of the output to the gradient of x."""
    return lambda x, upstream: torch.func.vjp(operation, x)[1](upstream)[0]


def assert_same_gradient(operation: Operation, x: Tensor) -> None:
    """The traced gradient is autograd's. All numbers are small integers: nothing is rounded, so nothing may differ."""
    upstream = whole_numbers(operation(x).shape)
    gradient = input_gradient(operation)
    traced = trace(gradient, [x, upstream], gradient_decompositions())
    torch.testing.assert_close(traced(x, upstream), gradient(x, upstream), rtol=0, atol=0)


def whole_numbers(shape: torch.Size | tuple[int, ...]) -> Tensor:
    return torch.randint(-4, 5, shape).float()


def frozen(module: nn.Module) -> nn.Module:
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(whole_numbers(parameter.shape))
    return module.requires_grad_(False)


@st.composite
def convolutions(draw: st.DrawFn) -> nn.Conv2d | nn.ConvTranspose2d:
    def pair(low: int, high: int) -> tuple[int, int]:
        return draw(st.integers(low, high)), draw(st.integers(low, high))

    groups = draw(st.integers(1, 3))
    inputs, outputs = pair(1, 2)
    channels = groups * inputs, groups * outputs
    kernel, stride, padding, dilation = pair(1, 4), pair(1, 3), pair(0, 2), pair(1, 3)
    if draw(st.booleans()):
        return nn.Conv2d(*channels, kernel, stride, padding, dilation, groups)
    extra = tuple(draw(st.integers(0, max(axis) - 1)) for axis in zip(stride, dilation, strict=True))
    transposed = nn.ConvTranspose2d(*channels, kernel, stride, padding, groups=groups, dilation=dilation)
    transposed.output_padding = extra
    return transposed


@settings(max_examples=15, deadline=None)
@given(convolutions(), st.integers(10, 13), st.integers(10, 13))
@example(nn.Conv2d(4, 4, 3, stride=2, padding=1, groups=2), 10, 11)
@example(nn.ConvTranspose2d(4, 2, 4, stride=2, padding=1, groups=2), 5, 6)
@example(nn.ConvTranspose2d(2, 2, 3, stride=1, dilation=3, output_padding=2), 5, 6)
def test_convolutions_of_every_shape(convolution: nn.Conv2d | nn.ConvTranspose2d, height: int, width: int) -> None:
    assert_same_gradient(frozen(convolution), whole_numbers((9, convolution.in_channels, height, width)))


@pytest.mark.parametrize("shape", [(2, 2, 0, 1), (3, 2, 1, 1), (3, 1, 1, 1), (3, 2, 0, 2), (2, 3, 0, 1)])
@pytest.mark.parametrize("ceil_mode", [False, True])
def test_max_pooling_also_where_windows_overlap_or_leave_gaps(
    shape: tuple[int, int, int, int], ceil_mode: bool
) -> None:
    kernel, stride, padding, dilation = shape
    pool = nn.MaxPool2d(kernel, stride, padding, dilation, ceil_mode=ceil_mode)
    assert_same_gradient(pool, whole_numbers((5, 3, 11, 12)))


@settings(max_examples=15, deadline=None)
@given(axis=st.integers(-3, 2), start=st.integers(-9, 5), length=st.integers(1, 12), step=st.integers(1, 3))
def test_slices_of_every_axis(axis: int, start: int, length: int, step: int) -> None:
    x = whole_numbers((9, 9, 9))
    assert_same_gradient(lambda x: torch.ops.aten.slice(x, axis, start, start % 9 + length, step), x)


def test_relu_passes_the_gradient_where_it_was_active() -> None:
    assert_same_gradient(nn.ReLU(), whole_numbers((5, 7)))


def test_guided_relu_passes_only_positive_gradients_where_it_was_active() -> None:
    x, upstream = torch.tensor([[-1.0, -1.0, 0.0, 2.0, 2.0, 2.0]]), torch.tensor([[-3.0, 3.0, 3.0, -3.0, 0.0, 3.0]])
    guided = trace(input_gradient(torch.relu), [x, upstream], guided_decompositions())
    assert guided(x, upstream).tolist() == [[0, 0, 0, 0, 0, 3]]


def test_a_traced_gradient_takes_any_batch() -> None:
    gradient = input_gradient(frozen(nn.Sequential(nn.Conv2d(1, 4, 3, 2), nn.ReLU(), nn.MaxPool2d(2))))
    traced = trace(gradient, [torch.zeros(5, 1, 13, 13), torch.zeros(5, 4, 3, 3)], gradient_decompositions())
    for batch in (1, 2, 9):
        x, upstream = whole_numbers((batch, 1, 13, 13)), whole_numbers((batch, 4, 3, 3))
        torch.testing.assert_close(traced(x, upstream), gradient(x, upstream), rtol=0, atol=0)


def test_an_operator_without_decomposition_is_named() -> None:
    pool = nn.AdaptiveMaxPool2d(2)
    with pytest.raises(UnsupportedOperatorError, match=r"aten\.adaptive_max_pool2d_backward\.default") as caught:
        assert_same_gradient(pool, torch.randn(3, 2, 8, 8))
    assert caught.value.operator == "aten.adaptive_max_pool2d_backward.default"


def test_weights_that_are_not_frozen_are_refused() -> None:
    weight = torch.randn(4, 2, 3, 3)

    def weight_gradient(weight: Tensor, x: Tensor) -> Tensor:
        gradient: Tensor = torch.func.grad(lambda weight: nn.functional.conv2d(x, weight).sum())(weight)
        return gradient

    with pytest.raises(UnsupportedOperatorError, match="expected frozen weights"):
        trace(weight_gradient, [weight, torch.randn(5, 2, 8, 8)], gradient_decompositions())
