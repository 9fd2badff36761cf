"""What tests of classifiers of another make share."""

import pytest
import typer

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
