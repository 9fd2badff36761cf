"""What a reader asks for, from JSON: each field is checked for its type here, and for its range by the server."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from medxgan.client.results import IntegratedGradientsSettings, InversionSettings, OcclusionSettings, Settings
from medxgan.client.vocabulary import MapKind, Solver
from medxgan.web.errors import FieldError

FIELDS = {
    "model", "version", "maps", "trajectory", "target", "seed", "steps", "solver", "learning_rate",
    "reconstruction_weight", "restarts", "path_steps", "baseline", "window", "stride", "occlusion_level",
}  # fmt: skip

LARGEST_SEED = 2**53 - 1
"""Of the server's 64 bits, those that JavaScript's numbers have."""


@dataclass(frozen=True)
class Wish:
    """An explanation that is wished for."""

    model: str
    version: str
    maps: tuple[MapKind, ...]
    trajectory: int | None
    settings: Settings


def read_wish(told: Mapping[str, Any]) -> Wish:
    """Read a wish; raises FieldError."""
    for name in told.keys() - FIELDS:
        raise FieldError(name, f"one of the fields {', '.join(sorted(FIELDS))}")
    return Wish(
        model=text(told, "model"),
        version=text(told, "version"),
        maps=_maps(told.get("maps", [])),
        trajectory=_whole(told, "trajectory"),
        settings=Settings(
            target_class=text(told, "target"),
            seed=_seed(told),
            inversion=InversionSettings(
                steps=_whole(told, "steps"),
                learning_rate=_number(told, "learning_rate"),
                reconstruction_weight=_number(told, "reconstruction_weight"),
                restarts=_whole(told, "restarts"),
                solver=_solver(told.get("solver")),
            ),
            integrated_gradients=IntegratedGradientsSettings(
                steps=_whole(told, "path_steps"), baseline=_number(told, "baseline")
            ),
            occlusion=OcclusionSettings(
                window=_whole(told, "window"), stride=_whole(told, "stride"), level=_number(told, "occlusion_level")
            ),
        ),
    )


def text(told: Mapping[str, Any], name: str) -> str:
    """A text; empty where it is left out."""
    value = told.get(name, "")
    if not isinstance(value, str):
        raise FieldError(name, "a text")
    try:
        value.encode()
    except UnicodeEncodeError as error:  # half of a character, which JSON can hold
        raise FieldError(name, "a text of whole characters") from error
    return value


def _maps(named: Any) -> tuple[MapKind, ...]:
    if not isinstance(named, list) or not all(isinstance(each, str) for each in named):
        raise FieldError("maps", "a list of names of maps")
    try:
        return tuple(MapKind(each) for each in named)
    except ValueError as error:
        raise FieldError("maps", "names of maps, such as grad_cam") from error


def _solver(named: Any) -> Solver | None:
    if named is None:
        return None
    if named not in tuple(Solver):
        raise FieldError("solver", " or ".join(Solver))
    return Solver(named)


def _whole(told: Mapping[str, Any], name: str) -> int | None:
    value = told.get(name)
    if value is not None and (not isinstance(value, int) or isinstance(value, bool)):
        raise FieldError(name, "a whole number")
    return value


def _seed(told: Mapping[str, Any]) -> int | None:
    value = _whole(told, "seed")
    if value is not None and value > LARGEST_SEED:
        raise FieldError("seed", f"a whole number up to {LARGEST_SEED}, which a browser tells from the next one")
    return value


def _number(told: Mapping[str, Any], name: str) -> float | None:
    value = told.get(name)
    if value is None:
        return None
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise FieldError(name, "a number")
    try:
        return float(value)
    except OverflowError as error:
        raise FieldError(name, "a number that a double holds") from error
