import re
import shutil
from importlib.resources import files
from pathlib import Path

import pytest

from medxgan.server.embedded import EmbeddedServer

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("document", ["README.md", "docs/explainers.md"])
def test_a_documents_python_runs_on_the_demos_film(
    document: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / document).read_text(encoding="utf-8"), re.DOTALL)
    shutil.copy(str(files("data_store") / "data" / "RG1_UNCR.dcm"), tmp_path / "film.dcm")
    monkeypatch.chdir(tmp_path)
    with EmbeddedServer(ROOT / "models") as server:
        exec(code.replace("localhost:50051", server.address), {})
    assert capsys.readouterr().out.splitlines()[-1] == "(64, 64)"


def test_the_files_that_documents_point_to_exist() -> None:
    for document in [*ROOT.glob("*.md"), *ROOT.glob("[a-z]*/*.md")]:
        targets = re.findall(r"\]\((?!http)([^)#]+)\)", document.read_text(encoding="utf-8"))
        missing = [target for target in targets if not (document.parent / target).exists()]
        assert not missing, f"{document.relative_to(ROOT)}: {missing}"
