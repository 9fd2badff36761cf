"""The notebooks of the documentation run as they stand, in the folder that they lie in, and are small."""

import json
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))
LARGEST = 500_000
"""Bytes of a notebook with its outputs."""

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_runs_and_shows_what_it_showed(path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    # What Jupyter writes beside the notebook goes here.
    for variable in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(variable, str(tmp_path))
    notebook = nbformat.read(path, as_version=4)
    shown = kinds(notebook)
    NotebookClient(
        notebook, timeout=120, resources={"metadata": {"path": str(path.parent)}}, store_widget_state=False
    ).execute()  # raises where a cell does
    assert kinds(notebook) == shown
    assert {"image/png", "application/vnd.jupyter.widget-view+json"} <= {kind for cell in shown for kind in cell}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_is_small_and_was_executed_in_order(path: Path) -> None:
    assert path.stat().st_size < LARGEST
    cells = [cell for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))


def kinds(notebook: nbformat.NotebookNode) -> list[list[str]]:
    """Of what kind the outputs of each cell are; errors are a kind of their own."""
    return [
        sorted(kind for output in cell.outputs for kind in output.get("data", {output.output_type: None}))
        for cell in notebook.cells
        if cell.cell_type == "code"
    ]
