"""Grey levels of every number type in single precision."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from medxgan.server.images.levels import single_precision

KINDS = ["?", "u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8"]


@given(
    st.sampled_from(KINDS).flatmap(
        lambda kind: hnp.arrays(
            kind,
            st.tuples(st.integers(1, 4), st.integers(1, 4)),
            elements={"allow_nan": False, "allow_infinity": False} if kind.startswith("f") else None,
        )
    )
)
def test_what_was_told_apart_still_is_and_in_the_same_order(values: np.ndarray) -> None:
    levels, shifted = single_precision(values)
    assert levels.dtype == (
        values.dtype if values.dtype in map(np.dtype, ["?", "u1", "i1", "u2", "i2"]) else np.float32
    )
    assert np.isfinite(levels).all()
    exact = [value.item() for value in values.ravel()]
    low, high = min(exact), max(exact)
    if not shifted:
        np.testing.assert_allclose(levels.ravel(), np.array(exact, np.float64), rtol=1e-7, atol=1e-38)
    elif high == low:
        assert np.ptp(levels) == 0
    elif np.isfinite(float(high) - float(low)):
        # A double resolves 2^-52 of the largest value, the result 2^-24 of 65,535.
        wanted = [float((value - low) / (high - low)) * 65535 for value in exact]
        np.testing.assert_allclose(levels.ravel(), wanted, atol=0.02)


@pytest.mark.parametrize(
    ("values", "shifted"),
    [
        (np.array([0, 4095], np.uint16), False),
        (np.array([0, 2**32 - 1], np.uint32), False),
        (np.array([2**31, 2**31 + 4095], np.uint32), True),
        (np.array([-(2**31), 2**31 - 1], np.int32), False),
        (np.array([2**63, 2**64 - 1], np.uint64), True),
        (np.array([0, 1], np.float32), False),
        (np.array([0, 1e-9], np.float64), True),
        (np.array([5, 5], np.float64), False),
        (np.array([0, 1e38], np.float32), True),
        (np.array([-1.7e308, 1.7e308]), True),
        (np.array([1e300, 1e300]), True),
    ],
)
def test_levels_keep_their_values_where_single_precision_holds_them(values: np.ndarray, shifted: bool) -> None:
    assert single_precision(values)[1] == shifted


@pytest.mark.parametrize("absent", [-3.4e38, 3.4e38, -1e16])
def test_a_level_that_would_make_one_of_all_others_is_refused(absent: float) -> None:
    values = np.linspace(0, 1000, 64 * 64, dtype=np.float32).reshape(64, 64)
    values[0, 0] = absent
    with pytest.raises(ValueError, match="so far from all others"):
        single_precision(values)


@pytest.mark.parametrize("absent", [-9999, -32768, 1e9])
def test_a_level_that_stands_for_no_data_and_leaves_the_others_apart_is_taken(absent: float) -> None:
    values = np.linspace(0, 1000, 64 * 64, dtype=np.float32).reshape(64, 64)
    values[0, 0] = absent
    levels, _ = single_precision(values)
    assert len(np.unique(levels)) == values.size


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_refused(wrong: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        single_precision(np.array([[0, wrong]], np.float64))
