"""The command, called in this process, and what it writes and says."""

from pathlib import Path

from typer.testing import CliRunner, Result

from medxgan.client.command.app import app

FILES = {
    "original.png",
    "reconstruction.png",
    "negative.png",
    "difference.png",
    "colorized.png",
    "applied-negative.png",
    "residual.png",
    "panel.png",
    "explanation.json",
}
"""What `medxgan explain` writes if nothing else is asked for."""

PLAIN = ("gradient", "guided-backpropagation", "grad-cam", "guided-grad-cam", "integrated-gradients", "occlusion")
INVERTING = ("difference", "residual", "evidence", "latent-integrated-gradients")
"""Maps that need no inversion, and those that do."""


def run(*arguments: object) -> Result:
    """The command with these arguments."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def names(folder: Path) -> set[str]:
    """Names of what a folder holds."""
    return {path.name for path in folder.iterdir()}


def words(text: str) -> str:
    """A text without the terminal's line breaks and frames."""
    return " ".join(text.replace("\N{BOX DRAWINGS LIGHT VERTICAL}", " ").split())
