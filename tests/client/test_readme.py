import re
from pathlib import Path

README = Path(__file__).parents[2] / "client" / "README.md"


def test_the_readmes_python_runs(service, tmp_path: Path, monkeypatch, capsys) -> None:
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 4
    code = "\n".join(blocks)
    assert "localhost:50051" in code
    monkeypatch.chdir(tmp_path)
    (tmp_path / "film.dcm").write_bytes(bytes(128) + b"DICM")
    (tmp_path / "out").mkdir()
    exec(compile(code.replace("localhost:50051", service.address), str(README), "exec"), {})
    said, uncertain, scores, attributed, error = capsys.readouterr().out.splitlines()
    assert said == "0.9 -> 0.1"
    assert uncertain.startswith("0.6 0.02")
    assert len(scores.split(",")) == 8
    assert attributed.startswith("pneumonia ")
    assert error == "0.1"
    assert (tmp_path / "out" / "panel.png").exists()
