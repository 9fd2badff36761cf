from collections import OrderedDict
from collections.abc import Callable

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from medxgan.export.decompositions import aten, gradient_decompositions, guided_threshold_backward
from medxgan.export.errors import TracingError, UnsupportedOperatorError
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


@settings(max_examples=15)
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


@pytest.mark.parametrize("size", [(10, 12), (2, 2), (10, 11)])
def test_max_pooling_to_half_the_size(size: tuple[int, int]) -> None:
    assert_same_gradient(nn.MaxPool2d(2), whole_numbers((5, 3, *size)))


@settings(max_examples=15)
@given(
    axis=st.sampled_from([-3, -2, -1, 1, 2, 3]),
    start=st.integers(-9, 5),
    length=st.integers(1, 12),
    step=st.integers(1, 3),
)
def test_slices_of_every_axis_but_the_batch(axis: int, start: int, length: int, step: int) -> None:
    x = whole_numbers((13, 9, 9, 9))
    assert_same_gradient(lambda x: torch.ops.aten.slice(x, axis, start, start % 9 + length, step), x)


def test_relu_passes_the_gradient_where_it_was_active() -> None:
    assert_same_gradient(nn.ReLU(), whole_numbers((5, 7)))


def test_guided_relu_passes_only_positive_gradients_where_it_was_active() -> None:
    x, upstream = torch.tensor([[-1.0, -1.0, 0.0, 2.0, 2.0, 2.0]]), torch.tensor([[-3.0, 3.0, 3.0, -3.0, 0.0, 3.0]])
    decompositions = gradient_decompositions() | {aten.threshold_backward.default: guided_threshold_backward}
    guided = trace(input_gradient(torch.relu), [x, upstream], decompositions)
    assert guided(x, upstream).tolist() == [[0, 0, 0, 0, 0, 3]]


def test_a_traced_gradient_takes_any_batch() -> None:
    gradient = input_gradient(frozen(nn.Sequential(nn.Conv2d(1, 4, 3, 2), nn.ReLU(), nn.MaxPool2d(2))))
    traced = trace(gradient, [torch.zeros(5, 1, 13, 13), torch.zeros(5, 4, 3, 3)], gradient_decompositions())
    for batch in (1, 2, 9):
        x, upstream = whole_numbers((batch, 1, 13, 13)), whole_numbers((batch, 4, 3, 3))
        torch.testing.assert_close(traced(x, upstream), gradient(x, upstream), rtol=0, atol=0)


@settings(max_examples=25)
@given(
    kernel=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    stride=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    padded=st.booleans(),
    ceil_mode=st.booleans(),
    count_include_pad=st.booleans(),
)
@example(kernel=(2, 2), stride=(2, 2), padded=False, ceil_mode=False, count_include_pad=True)
@example(kernel=(1, 2), stride=(1, 2), padded=False, ceil_mode=False, count_include_pad=True)
@example(kernel=(3, 2), stride=(3, 2), padded=False, ceil_mode=False, count_include_pad=False)
@example(kernel=(3, 3), stride=(2, 2), padded=True, ceil_mode=True, count_include_pad=False)
@example(kernel=(3, 3), stride=(2, 2), padded=True, ceil_mode=True, count_include_pad=True)
def test_average_pooling_of_every_shape(
    kernel: tuple[int, int], stride: tuple[int, int], padded: bool, ceil_mode: bool, count_include_pad: bool
) -> None:
    padding = (kernel[0] // 2, kernel[1] // 2) if padded else 0
    pool, x = nn.AvgPool2d(kernel, stride, padding, ceil_mode, count_include_pad), torch.randn(13, 3, 11, 12)
    assert_near_gradient(pool, x)
    torch.testing.assert_close(trace(pool, [x], gradient_decompositions())(x), pool(x), rtol=1e-5, atol=1e-6)


def test_average_pooling_by_a_divisor_of_its_own() -> None:
    pool, x = nn.AvgPool2d(2, divisor_override=3), torch.randn(13, 3, 8, 12)
    assert_near_gradient(pool, x)
    torch.testing.assert_close(trace(pool, [x], gradient_decompositions())(x), pool(x), rtol=1e-5, atol=1e-6)


def assert_near_gradient(operation: Operation, x: Tensor) -> None:
    """The traced gradient is autograd's, for numbers that are rounded."""
    with torch.no_grad():
        upstream = torch.randn(operation(x).shape)
    gradient = input_gradient(operation)
    traced = trace(gradient, [x, upstream], gradient_decompositions())
    for rows in (len(x), 1):
        found, expected = traced(x[:rows], upstream[:rows]), gradient(x[:rows], upstream[:rows])
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6 * float(1 + expected.abs().max()))


class SqueezeExcitation(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(4, 2, 1), nn.SiLU(), nn.Conv2d(2, 4, 1))

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(self.gate(x))


LAYERS: dict[str, Operation] = {
    "overlapping max-pool": nn.MaxPool2d(3, 2, 1),
    "divided average": nn.AvgPool2d(2, 1, divisor_override=3),
    "adaptive average to 1": nn.AdaptiveAvgPool2d(1),
    "adaptive average to 4": nn.AdaptiveAvgPool2d(4),
    "adaptive average to 3 of 8": nn.AdaptiveAvgPool2d(3),
    "adaptive average to (2, 5)": nn.AdaptiveAvgPool2d((2, 5)),
    "SiLU": nn.SiLU(),
    "sigmoid": nn.Sigmoid(),
    "tanh": nn.Tanh(),
    "hardswish": nn.Hardswish(),
    "hardsigmoid": nn.Hardsigmoid(),
    "GELU": nn.GELU(),
    "tanh GELU": nn.GELU(approximate="tanh"),
    "leaky ReLU": nn.LeakyReLU(0.2),
    "ReLU6": nn.ReLU6(),
    "ReLU in place": lambda x: nn.functional.relu_(x * 1.0),
    "PReLU": nn.PReLU(4),
    "ELU": nn.ELU(),
    "SELU": nn.SELU(),
    "softplus": nn.Softplus(),
    "Mish": nn.Mish(),
    "softmax": nn.Softmax(1),
    "log-softmax": nn.LogSoftmax(1),
    "batch norm": nn.BatchNorm2d(4),
    "group norm": nn.GroupNorm(2, 4),
    "instance norm": nn.InstanceNorm2d(4, affine=True),
    "layer norm": nn.LayerNorm(8),
    "grouped convolution": nn.Conv2d(4, 6, 3, groups=2),
    "depthwise convolution": nn.Conv2d(4, 4, 3, padding=1, groups=4),
    "dilated convolution": nn.Conv2d(4, 3, 3, padding=2, dilation=2),
    "strided convolution": nn.Conv2d(4, 3, 3, stride=2, padding=1),
    "linear": nn.Sequential(nn.Flatten(), nn.Linear(256, 5)),
    "concatenation": lambda x: torch.cat([x, 2 * x, x * x], 1),
    "mean": lambda x: x.mean((2, 3)),
    "squeeze and excitation": SqueezeExcitation(),
    "nearest upsampling": nn.Upsample(scale_factor=2),
    "bilinear upsampling": nn.Upsample(size=(13, 11), mode="bilinear"),
    "constant padding": nn.ConstantPad2d((0, 1, 2, 1), 0.0),
    "reflection padding": nn.ReflectionPad2d((1, 2, 2, 1)),
    "global maximum": lambda x: x.amax((2, 3)),
    "transposition": lambda x: x.permute(0, 2, 3, 1).flatten(1),
    "channel shuffle": nn.ChannelShuffle(2),
    "split": lambda x: x.chunk(2, 1)[1],
}


@pytest.mark.parametrize("name", LAYERS)
def test_gradients_of_usual_layers(name: str) -> None:
    layer = LAYERS[name]
    if isinstance(layer, nn.Module):
        layer.eval().requires_grad_(False)
    assert_near_gradient(layer, torch.randn(13, 4, 8, 8))


def test_an_operator_without_decomposition_is_named_with_its_layer() -> None:
    network = nn.Sequential(
        OrderedDict(
            features=nn.Sequential(OrderedDict(conv0=nn.Conv2d(1, 2, 3), pool0=nn.AdaptiveMaxPool2d(2))),
            head=nn.Sequential(nn.Flatten(), nn.ReLU(), nn.Linear(8, 1)),
        )
    ).requires_grad_(False)

    def gradient(x: Tensor) -> Tensor:
        x = x.detach().requires_grad_()
        return torch.autograd.grad(network(x).sum(), x)[0]

    with pytest.raises(UnsupportedOperatorError) as caught:
        trace(gradient, [torch.randn(13, 1, 8, 8)], gradient_decompositions(), network)
    assert str(caught.value).startswith(
        "operator aten.adaptive_max_pool2d_backward.default (layer 'features.pool0'): has no decomposition"
    )
    assert (caught.value.operator, caught.value.layer) == (
        "aten.adaptive_max_pool2d_backward.default",
        "features.pool0",
    )


def test_weights_that_are_not_frozen_are_refused() -> None:
    weight = torch.randn(4, 2, 3, 3)

    def weight_gradient(weight: Tensor, x: Tensor) -> Tensor:
        gradient: Tensor = torch.func.grad(lambda weight: nn.functional.conv2d(x, weight).sum())(weight)
        return gradient

    with pytest.raises(UnsupportedOperatorError, match="expected frozen weights"):
        trace(weight_gradient, [weight, torch.randn(5, 2, 8, 8)], gradient_decompositions())


def test_a_batch_that_is_taken_for_a_number_is_refused() -> None:
    with pytest.raises(TracingError, match="the number of pictures in a batch"):
        trace(lambda x: x.reshape(13, 6), [torch.randn(13, 2, 3)], gradient_decompositions())


def test_what_depends_on_values_is_refused() -> None:
    with pytest.raises(TracingError, match="can't be written as one graph"):
        trace(lambda x: x if x.sum() > 0 else -x, [torch.randn(13, 2)], gradient_decompositions())
