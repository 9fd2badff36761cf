"""The TOML file of a configuration, read."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from medxgan.training.configuration.whole import ServedClassifierConfig, TrainingConfig
from medxgan.training.data.source import DataConfig


class ConfigurationError(Exception):
    """A file is not TOML; the message names it and the place."""


def load_configuration(file: Path) -> TrainingConfig:
    """Read a TOML file; `extends = "other.toml"` takes what the file itself does not state from another beside it.

    Raises:
        FileNotFoundError: no such file.
        ConfigurationError: it is not TOML.
        pydantic.ValidationError: a key that is unknown, missing or out of range, by its path.
    """
    return TrainingConfig.model_validate(_read(file))


def read_stated(file: Path, source: str) -> dict[str, Any]:
    """What a file says, for a recipe to complete, with `source` as its external classifier's.

    Args:
        file: TOML file, as for a training, with as few keys as its author cares for.
        source: a path starts from here.

    Raises:
        FileNotFoundError: no such file.
        ConfigurationError: it is not TOML.
    """
    content = _read(file)
    external = content.get("external_classifier", {})
    if isinstance(external, dict):
        content["external_classifier"] = external | _located({"source": source}, Path.cwd())
    return content


def completed(recipe: Mapping[str, Any], stated: Mapping[str, Any]) -> TrainingConfig:
    """What is stated, and from the recipe what is not.

    Raises:
        pydantic.ValidationError: a key that is unknown, missing or out of range, by its path.
    """
    return TrainingConfig.model_validate(_merge(dict(recipe), dict(stated)))


class _DataSection(BaseModel):
    data: DataConfig


def load_data_section(file: Path) -> DataConfig:
    """The `data` section of a TOML file; other sections are passed over.

    Raises:
        FileNotFoundError: no such file.
        ConfigurationError: it is not TOML.
        pydantic.ValidationError: there is no such section, or something in it is wrong.
    """
    return _DataSection.model_validate(_read(file)).data


def _read(file: Path) -> dict[str, Any]:
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{file}: not TOML: {error}") from error
    if isinstance(external := content.get("external_classifier"), dict):
        content["external_classifier"] = _located(external, file.parent)
    base = content.pop("extends", None)
    return content if base is None else _merge(_read(file.parent / base), content)


def load_served_classifier(
    file: Path, source: str | None = None, weights: Path | None = None
) -> ServedClassifierConfig:
    """Read what a bundle of an external classifier is made from; sections that only a training needs are passed over.

    Args:
        file: TOML file, as for a training.
        source: what to take instead of the file's `external_classifier.source`; a path starts from here.
        weights: what to take instead of the file's `external_classifier.weights`.

    Raises:
        FileNotFoundError: no such file.
        ConfigurationError: it is not TOML.
        pydantic.ValidationError: a key that is unknown, missing or out of range, by its path.
    """
    content = _read(file)
    stated = {"source": source, "weights": None if weights is None else str(weights)}
    given = {key: value for key, value in stated.items() if value is not None}
    external = content.get("external_classifier", {})
    if isinstance(external, dict) and (external or given):
        content["external_classifier"] = external | _located(given, Path.cwd())
    passed_over = TrainingConfig.model_fields.keys() - ServedClassifierConfig.model_fields.keys()
    return ServedClassifierConfig.model_validate(
        {key: value for key, value in content.items() if key not in passed_over}
    )


def _located(external: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The section with absolute paths."""
    located = dict(external)
    for key in ("source", "weights"):
        value = external.get(key)
        if isinstance(value, str) and (key == "weights" or value.endswith(".onnx")):
            located[key] = str((folder / value).resolve())
    return located


def _merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    # Of another kind, a table has other keys: it takes the place of the base's.
    if over.get("kind", base.get("kind")) != base.get("kind"):
        return over
    merged = dict(base)
    for key, value in over.items():
        both_tables = isinstance(value, dict) and isinstance(base.get(key), dict)
        merged[key] = _merge(base[key], value) if both_tables else value
    return merged
