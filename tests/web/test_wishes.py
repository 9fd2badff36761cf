"""What readers ask for is checked for its type, whatever JSON holds."""

import json

import pytest

from medxgan.web.errors import FieldError
from medxgan.web.wishes import read_wish

HUGE = "1" + "0" * 400


@pytest.mark.parametrize(
    ("told", "field"),
    [
        (f'{{"learning_rate": {HUGE}}}', "learning_rate"),
        (f'{{"baseline": -{HUGE}}}', "baseline"),
        ('{"model": "\\ud800"}', "model"),
        ('{"target": 3}', "target"),
        ('{"solver": ["adam"]}', "solver"),
        ('{"steps": 1.0}', "steps"),
        (f'{{"seed": {2**53}}}', "seed"),
        ('{"seed": 1e18}', "seed"),
        ('{"patient": ""}', "patient"),
    ],
)
def test_what_is_wrong_is_named(told: str, field: str) -> None:
    with pytest.raises(FieldError) as raised:
        read_wish(json.loads(told))
    assert raised.value.field == field


def test_a_seed_keeps_its_digits() -> None:
    assert read_wish({"seed": 2**53 - 1}).settings.seed == 9007199254740991
