"""What tests of classifiers of another make share, and those of the one file."""

from pathlib import Path

import pytest
import typer
from tests.conftest import MadeOnce

from medxgan.export.command import export_classifier


@pytest.fixture(scope="session")
def command() -> typer.Typer:
    """The command `export-classifier`."""
    app = typer.Typer()
    app.command()(export_classifier)
    return app


@pytest.fixture(scope="session")
def configuration() -> str:
    """The sections of its file that say nothing of the classifier; pictures are 32x32."""
    return """
[image]
size = 32
modality = "test pattern"

[classes]
positive = "lesion"
negative = "no lesion"

[card]
data = ["none: random weights"]
license = "Apache-2.0"
"""


@pytest.fixture(scope="session")
def phantom(made_once: MadeOnce) -> Path:
    """The one file of the shipped phantom: to read, not to change."""
    from tests.export.one_files import MODELS

    from medxgan.export.one_file import write_one_file

    bundle = MODELS / "phantom" / "3"
    return made_once("one_file", lambda folder: write_one_file(bundle, folder / "explain.onnx")) / "explain.onnx"
