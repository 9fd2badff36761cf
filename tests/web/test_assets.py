"""What ships with the room: colours, the sample, texts, errors."""

import io
import re
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from medxgan.client import errors as client_errors
from medxgan.training.data.phantom import phantoms
from medxgan.web import color_maps
from medxgan.web.errors import CLIENT_ERRORS, described

STATIC = Path(str(files("medxgan.web") / "static"))
MODULES = sorted(STATIC.rglob("*.js"))


def test_the_colours_are_what_matplotlib_has() -> None:
    assert color_maps.FILE.read_text(encoding="utf-8") == color_maps.script()


def test_the_sample_is_a_drawn_slice() -> None:
    """Made by this very line, so that it is of nobody. Processors round a level differently now and then."""
    drawn = phantoms(1, size=512, seed=8, positive_share=1.0).images[0]
    content = (files("medxgan.web") / "samples" / "phantom.png").read_bytes()
    shown = np.asarray(Image.open(io.BytesIO(content))).astype(int)
    np.testing.assert_allclose(shown, drawn, atol=1)
    assert np.mean(shown != drawn) < 1e-3


def test_every_error_of_the_client_has_its_answer() -> None:
    base = client_errors.MedxganClientError
    known = {each for each in vars(client_errors).values() if isinstance(each, type) and issubclass(each, base)}
    assert known == set(CLIENT_ERRORS)
    assert described(client_errors.BusyError("full", 2.0)) == (
        503, {"kind": "busy", "message": "full", "retry_delay": 2.0}
    )  # fmt: skip


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(STATIC)))
def test_modules_import_what_is_there_and_nothing_from_elsewhere(module: Path) -> None:
    text = module.read_text(encoding="utf-8")
    for target in re.findall(r'from "([^"]+)"', text):
        assert target.startswith("."), target
        assert (module.parent / target).resolve().is_file(), target
    assert not re.search(r"https?://(?!www\.w3\.org/)", text)
    assert "innerHTML" not in text
    assert "eval(" not in text


def test_every_text_that_is_asked_for_is_there() -> None:
    texts = (STATIC / "texts.js").read_text(encoding="utf-8")
    used = {name for module in MODULES for name in re.findall(r"\bT\.(\w+)(?:\.(\w+))?", module.read_text("utf-8"))}
    for group, name in used:
        assert re.search(rf"^  {group}[:,]", texts, re.MULTILINE), group
        if name and not re.search(rf"^  {group}: [\"(]", texts, re.MULTILINE):
            block = re.search(rf"^  {group}: {{(.*?)^  }},|^  {group}: {{(.*?)}},$", texts, re.MULTILINE | re.DOTALL)
            assert block, group
            assert re.search(rf"\b{name}\b", "".join(part or "" for part in block.groups())), f"{group}.{name}"
