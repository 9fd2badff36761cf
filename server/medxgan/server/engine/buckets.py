"""Sizes of batches that an accelerator is made ready for: a batch in between is filled up to the next."""

from dataclasses import fields
from typing import TypeVar

import numpy as np

from medxgan.server.engine.port import InversionState

State = TypeVar("State", bound=InversionState)


def bucket_sizes(maximum_rows: int) -> tuple[int, ...]:
    """The powers of two below the largest batch, and that batch: at most half of a batch is filling."""
    powers = (1 << power for power in range(maximum_rows.bit_length()))
    return (*(size for size in powers if size < maximum_rows), maximum_rows)


def bucket_of(rows: int, sizes: tuple[int, ...]) -> int:
    """The least size that holds the rows; what is larger than any gets a size of its own."""
    return next((size for size in sizes if size >= rows), rows)


def filled(state: State, rows: int) -> State:
    """A batch with copies of its last row behind it: `rows` in all. Rows do not see each other."""
    behind = rows - len(state.step)
    if behind == 0:
        return state
    return type(state)(
        **{
            field.name: np.concatenate([values, np.repeat(values[-1:], behind, 0)])
            for field in fields(state)
            for values in [getattr(state, field.name)]
        }
    )
