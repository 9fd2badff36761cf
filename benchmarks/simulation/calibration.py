"""What the parts of an explanation take on one machine, as measured there: all that the simulation knows of a model."""

from pathlib import Path
from typing import Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator


class Calibration(BaseModel):
    """Measured by `measurement.py`. Times are in seconds, of one copy of the model with its own thread.

    Attributes:
        model: bundle, NAME/VERSION.
        conditions: command, machine and versions, as every benchmark states them.
        steps: gradient steps of an explanation by default.
        check_interval: steps between two checks of the tolerance, where a block ends.
        longest_block: most steps of a block.
        open: the OPEN graph, for one film.
        close: the CLOSE graph, for one row.
        host: all else of an explanation, from the client's call to its answer.
        start: from the start of a server to its first answer.
        rows: sizes of the batch that were measured, rising from 1.
        block: a block's time beside its steps, for each of them.
        step: one gradient step, for each of them.
        slowdown: how many times longer work takes with 1, 2, 3, ... at work on the machine's cores at once.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    conditions: dict[str, str | int | float]
    steps: PositiveInt
    check_interval: PositiveInt
    longest_block: PositiveInt
    open: NonNegativeFloat
    close: NonNegativeFloat
    host: NonNegativeFloat
    start: NonNegativeFloat
    rows: tuple[PositiveInt, ...] = Field(min_length=1)
    block: tuple[NonNegativeFloat, ...]
    step: tuple[PositiveFloat, ...]
    slowdown: tuple[PositiveFloat, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if self.rows[0] != 1 or any(later <= earlier for earlier, later in zip(self.rows, self.rows[1:], strict=False)):
            raise ValueError(f"rows: expected sizes that rise from 1, got {self.rows}")
        if not len(self.rows) == len(self.block) == len(self.step):
            raise ValueError(f"block and step: expected one for each of {len(self.rows)} sizes")
        return self

    @classmethod
    def read(cls, file: Path) -> Self:
        """Read what `write` wrote.

        Raises:
            pydantic.ValidationError: naming the field.
        """
        return cls.model_validate_json(file.read_text(encoding="utf-8"))

    def write(self, file: Path) -> None:
        """Write it as JSON, into a folder that is made if need be."""
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(self.model_dump_json(indent=2) + "\n", encoding="utf-8")

    def block_seconds(self, rows: int, steps: int) -> float:
        """A block of so many rows and steps, between the sizes that were measured by interpolation.

        Raises:
            ValueError: more rows than were measured.
        """
        if rows > self.rows[-1]:
            raise ValueError(f"rows: expected at most {self.rows[-1]}, the largest batch measured, got {rows}")
        beside, each = (float(np.interp(rows, self.rows, measured)) for measured in (self.block, self.step))
        return beside + steps * each

    def slowed(self, busy: int) -> float:
        """How many times longer work takes with `busy` (>= 1) at work at once.

        Beyond what was measured, where all cores have long been taken, it grows with their number.
        """
        measured = len(self.slowdown)
        return self.slowdown[busy - 1] if busy <= measured else self.slowdown[-1] * busy / measured

    @property
    def alone(self) -> float:
        """Seconds of one explanation on an idle machine, by the parts."""
        blocks, taken = 0.0, 0
        while taken < self.steps:
            steps = min(self.steps - taken, self.check_interval - taken % self.check_interval, self.longest_block)
            blocks, taken = blocks + self.block_seconds(1, steps), taken + steps
        return self.host + self.open + blocks + self.close
