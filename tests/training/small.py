"""A generator that trains in seconds, and a whole training with one."""

import json
import tomllib
from pathlib import Path
from typing import Any

PHANTOM = Path(__file__).parents[2] / "training" / "configs" / "phantom.toml"

SMALL_GENERATOR = """\
z1_size = 6
z2_size = 3
channels = [8, 8, 6]
pathology_channels = [8, 6, 4]
discriminator_channels = [4, 6, 8]
encoder_channels = [4, 6, 8]"""
"""Lines of a configuration's section `[generator]`."""


def small_content() -> dict[str, Any]:
    """`phantom.toml`, small enough to train in seconds, with patients of every part."""
    content = tomllib.loads(PHANTOM.read_text(encoding="utf-8"))
    content["data"] |= {"count": 120, "size": 48, "calibration_share": 0.4, "test_share": 0.1}
    content["classifier"] |= {"width": 6, "epochs": 8}
    content["generator"] |= {"steps": 2, "checkpoint_interval": 2, "batch_size": 4, **tomllib.loads(SMALL_GENERATOR)}
    content["inversion"]["steps"] = 5
    content["familiarity"] = {"steps": 2}
    return content


def toml(content: dict[str, Any], path: str = "") -> str:
    """TOML of numbers, strings, lists and tables; the first three are written alike in JSON."""
    plain = {key: value for key, value in content.items() if not isinstance(value, dict)}
    lines = [f"[{path}]"] if path else []
    lines += [f"{key} = {json.dumps(value)}" for key, value in plain.items()]
    tables = [toml(content[key], f"{path}.{key}".strip(".")) for key in content.keys() - plain.keys()]
    return "\n".join([*lines, *tables]) + "\n"


def make_small_run(run: Path) -> None:
    """Train by `small_content`, and measure the run as it is served."""
    from medxgan.evaluation.runs import evaluate_run
    from medxgan.training.configuration import load_configuration
    from medxgan.training.train_classifier import train_classifier
    from medxgan.training.train_generator import train_generator

    file = run.with_suffix(".toml")
    file.write_text(toml(small_content()), encoding="utf-8")
    configuration = load_configuration(file)
    train_classifier(configuration, run, run)
    train_generator(configuration, run, run)
    evaluate_run(run, run, "cpu", 1)
