"""What the comparison lets pass and what it doesn't."""

import math

import pytest
import torch

from medxgan.export.comparison import (
    GRADIENT,
    KINK,
    LARGEST_OWN_ERROR,
    ROUNDING,
    SHARE_OF_KINKS,
    VALUE,
    Output,
    measured_tolerance,
    measured_value_tolerance,
    require_agreement,
    require_variation,
)
from medxgan.export.errors import VerificationError

OUTPUT = Output("inversion_step.onnx", "next_first_moment", 8)
ROWS = 100
EXPECTED = torch.linspace(-1, 1, 3 * ROWS).reshape(ROWS, 3)
SCALE = torch.full((ROWS, 1), 2.0)


def off(rows: int, relative_error: float) -> torch.Tensor:
    """`EXPECTED` with one wrong element in some rows."""
    computed = EXPECTED.clone()
    computed[:rows, 1] += 2.0 * relative_error
    return computed


def test_rounding_passes_everywhere() -> None:
    require_agreement(OUTPUT, off(ROWS, 0.9 * ROUNDING), EXPECTED, SCALE, VALUE)


def test_a_gradient_may_jump_in_a_few_rows_and_a_value_may_not() -> None:
    few = int(SHARE_OF_KINKS * ROWS)
    require_agreement(OUTPUT, off(few, 0.9 * KINK), EXPECTED, SCALE, GRADIENT)
    with pytest.raises(VerificationError, match=r"in 11 of 100 rows"):
        require_agreement(OUTPUT, off(few + 1, 0.9 * KINK), EXPECTED, SCALE, GRADIENT)
    with pytest.raises(VerificationError, match=r"in 1 of 100 rows"):
        require_agreement(OUTPUT, off(1, 0.9 * KINK), EXPECTED, SCALE, VALUE)


@pytest.mark.parametrize("wrong", [1.1 * KINK, math.nan, math.inf])
def test_no_row_may_be_far_off(wrong: float) -> None:
    with pytest.raises(VerificationError, match=r"in 1 of 100 rows"):
        require_agreement(OUTPUT, off(1, wrong), EXPECTED, SCALE, GRADIENT)


def test_a_wrong_shape_is_said() -> None:
    with pytest.raises(VerificationError, match=r"expected shape \[100, 3\], found \[100, 2\]"):
        require_agreement(OUTPUT, EXPECTED[:, :2], EXPECTED, SCALE, VALUE)


def test_the_error_says_where_and_how_much() -> None:
    with pytest.raises(VerificationError) as caught:
        require_agreement(OUTPUT, off(1, 0.01), EXPECTED, SCALE, VALUE)
    error = caught.value
    assert (error.graph, error.tensor, error.batch) == ("inversion_step.onnx", "next_first_moment", 8)
    assert error.difference == pytest.approx(0.02, rel=1e-4)
    assert error.tolerance == pytest.approx(2 * ROUNDING)
    message = "inversion_step.onnx, output next_first_moment, batch 8: disagrees with PyTorch in 1 of 100 rows: "
    assert str(error) == message + "maximum difference 0.02, tolerance 0.0002"


def test_rows_that_are_all_alike_are_refused() -> None:
    require_variation(OUTPUT, EXPECTED, SCALE, "the image")
    with pytest.raises(VerificationError, match="does not depend on the image"):
        require_variation(OUTPUT, EXPECTED[:1].expand(ROWS, 3), SCALE, "the image")


def test_a_gradient_may_be_as_far_off_as_pytorch_itself() -> None:
    exact, scale = torch.zeros(4, 3), torch.ones(4, 1)
    own = torch.tensor([[0.0, 1e-3, 0.0]]).expand(4, 3)
    assert measured_tolerance(own, exact, scale).usual == pytest.approx(4e-3)
    assert measured_tolerance(exact, exact, scale).usual == GRADIENT.usual
    assert measured_tolerance(own * 1000, exact, scale).usual == GRADIENT.utmost


def test_most_rows_of_a_large_network_agree_to_rounding() -> None:
    exact = measured_tolerance(EXPECTED, EXPECTED.clone(), SCALE)
    require_agreement(OUTPUT, off(rows=40, relative_error=0.01), EXPECTED, SCALE, exact)
    with pytest.raises(VerificationError, match="60 of 100 rows"):
        require_agreement(OUTPUT, off(rows=60, relative_error=0.01), EXPECTED, SCALE, exact)


@pytest.mark.parametrize(("own", "allowed"), [(0.0, ROUNDING), (5e-5, 2e-4), (1e-2, LARGEST_OWN_ERROR)])
def test_a_value_may_be_off_by_some_times_of_what_pytorch_is(own: float, allowed: float) -> None:
    tolerance = measured_value_tolerance(EXPECTED + 2.0 * own, EXPECTED.double(), SCALE)
    assert tolerance.usual == pytest.approx(allowed, rel=1e-2)
    require_agreement(OUTPUT, off(1, 0.9 * allowed), EXPECTED, SCALE, tolerance)
    with pytest.raises(VerificationError):
        require_agreement(OUTPUT, off(1, 1.1 * allowed), EXPECTED, SCALE, tolerance)
