"""A model whose parts take simple times."""

from collections.abc import Callable

import pytest
from simulation.calibration import Calibration

Calibrated = Callable[..., Calibration]


@pytest.fixture(scope="session")
def calibrated() -> Calibrated:
    """A model of 10 steps of a hundredth of a second for a row, with nothing beside them, but for what is changed."""

    def calibration(**changed: object) -> Calibration:
        simple = {
            "model": "simple/1",
            "conditions": {},
            "steps": 10,
            "check_interval": 10,
            "longest_block": 5,
            "open": 0.0,
            "close": 0.0,
            "host": 0.0,
            "start": 2.0,
            "rows": (1, 2, 8),
            "block": (0.0, 0.0, 0.0),
            "step": (0.01, 0.02, 0.08),
            "slowdown": (1.0,),
        }
        return Calibration(**(simple | changed))

    return calibration
