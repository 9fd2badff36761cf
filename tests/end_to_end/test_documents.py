"""A newcomer's first hour: the shell and the Python of every document are run as they stand, in a folder of their own.

A server answers where the text says localhost:50051, or the text's own `medxgan serve` does; the port is a free one.
`training/configs` holds one small training under every name, since no data set lies here. A text that goes on from a
run has one of it, measured already: that of `models/` makes its own. A report is of few images where the text does not
say of how many. `pip` and `make` do nothing: `tests/test_documents.py` compares what the first installs with what is
imported, and `make` only says what it would do.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from contextlib import AbstractContextManager, nullcontext
from importlib.resources import files
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from safetensors.torch import save_file
from tests.ports import free_port
from tests.training.small import small_content, toml
from torch import nn

from medxgan.server.embedded import EmbeddedServer
from medxgan.training.data import phantoms

ROOT = Path(__file__).parents[2]
PORT = "50051"
DOCUMENTS = sorted(
    path.relative_to(ROOT).as_posix()
    for path in [*ROOT.glob("*.md"), *ROOT.glob("[a-z]*/README.md"), *ROOT.glob("docs/*.md")]
)

SHELL = re.compile(r"(?:<!-- not run: (?P<reason>.+?) -->\n)?```bash\n(?P<code>.*?)```", re.DOTALL)

NOT_RUN = {
    "training/README.md": ["it takes two machines"],
    "docs/cohorts.md": ["it takes a cluster"],
    "docs/distributed-training.md": ["it takes two machines"],
    "docs/gpu.md": ["it takes a GPU"],
    "docs/scale.md": ["it takes half an hour and a machine that does nothing else"],
    "docs/portability.md": ["it takes Triton's image"],
    "docs/reading-room.md": ["it serves until it is stopped"] * 5,
    "web/README.md": ["it serves until it is stopped"],
    "docs/gateway.md": ["it runs until it is stopped", "it asks about a gateway that has run"],
    "docs/cluster.md": [
        "it serves until it is stopped",
        "it takes a cluster of Ray",
        "it takes Docker",
        "it takes a cluster",
        "it takes a cluster",
    ],
    "docs/deployment.md": [
        *["it takes Docker"] * 3,
        *["it takes a cluster"] * 2,
        *["it takes root, and changes the machine"] * 2,
    ],
}
"""The reasons that documents give for shell that is not run."""

PRELUDE = r"""
set -euo pipefail
pip() { :; }
make() { command make --dry-run --directory "$ROOT" "$@" >/dev/null; }
medxgan() {
    # The text's own options come last, and so count.
    if [ "$1" = evaluate ]; then set -- evaluate --images 2 --sanity-images 1 --sheet-images 1 "${@:2}"; fi
    if [ "$1" != serve ]; then command medxgan "$@" </dev/null; return; fi
    command medxgan "$@" &
    until (: </dev/tcp/127.0.0.1/"$PORT") 2>/dev/null; do kill -0 $!; sleep 0.1; done
}
trap 'for job in $(jobs -p); do kill "$job"; done' EXIT
"""

MODULE = """
from torch import nn


def make_network() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 1))
"""

NETWORK = """
    <ir_version: 9, opset_import: ["" : 18]>
    network (float[B, 1, 32, 32] x) => (float[B, 1] logits)
        <float[1, 1] w = {3}, float[1] b = {-0.4}> {
        bright = LeakyRelu<alpha = 0.3>(x)
        mean = GlobalAveragePool(bright)
        flat = Flatten(mean)
        logits = Gemm(flat, w, b)
    }"""


def text_of(document: str) -> str:
    return (ROOT / document).read_text(encoding="utf-8")


def shell_of(document: str) -> str:
    """The shell that is run of a document, one block after the other."""
    return "".join(match["code"] for match in SHELL.finditer(text_of(document)) if match["reason"] is None)


def python_of(document: str) -> str:
    return "\n".join(re.findall(r"```python\n(.*?)```", text_of(document), re.DOTALL))


def small_configuration() -> str:
    return toml(small_content())


@pytest.fixture
def folder(tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder of a reader: a film, models and configurations as in a clone, and what texts presuppose."""
    document = request.getfixturevalue("document")
    shutil.copy(str(files("data_store") / "data" / "RG1_UNCR.dcm"), tmp_path / "film.dcm")
    shutil.copytree(ROOT / "models", tmp_path / "models", ignore=shutil.ignore_patterns("*.py", "*.toml"))
    for configuration in (ROOT / "training" / "configs").glob("*.toml"):
        copy = tmp_path / configuration.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(small_configuration(), encoding="utf-8")
    if "runs/" in text_of(document) and "train generator" not in shell_of(document):
        shutil.copytree(request.getfixturevalue("small_run"), tmp_path / "runs" / "phantom")
    if "more-models.zip" in text_of(document):
        with zipfile.ZipFile(tmp_path / "more-models.zip", "w") as archive:
            for file in (ROOT / "models" / "phantom").rglob("*.*"):
                archive.write(file, file.relative_to(ROOT / "models"))
    if "run-of-a-list" in python_of(document):
        cohort_of_a_list(tmp_path)
    if "export-classifier" in shell_of(document):
        classifier_of_ones_own(tmp_path)
    if "pneumoniamnist.npz" in shell_of(document):
        set_of_ones_own(tmp_path / "pneumoniamnist.npz")
    if "models/mine/1" in shell_of(document) and "export-classifier" not in shell_of(document):
        draft = shutil.copytree(request.getfixturevalue("plain_models") / "plain" / "1", tmp_path / "models/mine/1")
        description = json.loads((draft / "bundle.json").read_text()) | {"name": "mine"}
        description.pop("metrics", None)
        (draft / "bundle.json").write_text(json.dumps(description))
    (tmp_path / "out").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data-home"))
    return tmp_path


def cohort_of_a_list(folder: Path) -> None:
    """The run that the shell of the document makes, for its Python."""
    (folder / "films.csv").write_text("path,label,source\nfilm.dcm,none,north\ngone.dcm,none,south\n")
    call = "from medxgan.client.command import main; main()"
    command = ["cohort", "films.csv", "--out", "run-of-a-list", "--model", "brain-lgg"]
    subprocess.run([sys.executable, "-c", call, *command], cwd=folder, check=True, stdout=subprocess.DEVNULL)


def classifier_of_ones_own(folder: Path) -> None:
    """A factory with its weights, an ONNX file, and the configuration of both."""
    (folder / "my_package").mkdir()
    (folder / "my_package" / "__init__.py").touch()
    (folder / "my_package" / "my_module.py").write_text(MODULE, encoding="utf-8")
    space: dict[str, Any] = {}
    exec(MODULE, space)
    torch.manual_seed(0)
    network: nn.Module = space["make_network"]()
    save_file(network.state_dict(), folder / "network.safetensors")
    onnx.save(onnx.parser.parse_model(NETWORK), folder / "network.onnx")
    content = {
        "image": {"size": 32, "modality": "test pattern"},
        "classes": {"positive": "lesion", "negative": "no lesion"},
        "card": {"data": ["none: random weights"], "license": "Apache-2.0"},
    }
    small = small_content()
    # A generator of it, where a text goes on to train one.
    content |= {name: small[name] for name in ("generator", "familiarity", "inversion")}
    (folder / "classifier.toml").write_text(toml(content), encoding="utf-8")


def set_of_ones_own(file: Path) -> None:
    """Phantoms in the layout of MedMNIST, at its size."""
    images = phantoms(260, 32, 5)
    pictures = np.stack(images.images)[:, 2:30, 2:30]
    parts = {"train": slice(0, 100), "val": slice(100, 180), "test": slice(180, 260)}
    arrays = {f"{part}_images": pictures[rows] for part, rows in parts.items()}
    arrays |= {f"{part}_labels": images.labels[rows, None] for part, rows in parts.items()}
    np.savez(file, **arrays)


def server_for(text: str) -> AbstractContextManager[Any]:
    """A server of the shipped models, where a text asks one that it does not start; gives what has its address."""
    if PORT in text and "medxgan serve" not in text:
        return EmbeddedServer(ROOT / "models", "cpu")
    return nullcontext(SimpleNamespace(address=f"127.0.0.1:{free_port()}"))


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("document", [each for each in DOCUMENTS if shell_of(each)])
def test_the_shell_of_a_document_runs(document: str, folder: Path) -> None:
    shell = shell_of(document)
    with server_for(shell) as server:
        port = server.address.rpartition(":")[2]
        environment = os.environ | {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(folder),
            "ROOT": str(ROOT),
            "PORT": port,
            "MEDXGAN_ADDRESS": f"127.0.0.1:{port}",
            "OMP_NUM_THREADS": "1",
        }
        outcome = subprocess.run(
            ["bash", "-c", PRELUDE + shell.replace(PORT, port)],
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
    assert outcome.returncode == 0, outcome.stdout
    if "medxgan explain" in shell:
        assert (folder / "out" / "panel.png").exists() or (folder / "out" / "comparison.png").exists()


@pytest.mark.parametrize("document", DOCUMENTS)
def test_what_is_not_run_says_why(document: str) -> None:
    text = text_of(document)
    reasons = [match["reason"] for match in SHELL.finditer(text) if match["reason"] is not None]
    assert reasons == NOT_RUN.get(document, [])
    quoted = text.count("`<!-- not run: REASON -->`")
    assert text.count("<!-- not run:") - quoted == len(reasons), "a comment stands right before its block"
    assert text.count("```bash") == len(list(SHELL.finditer(text)))


@pytest.mark.slow
@pytest.mark.parametrize("document", [each for each in DOCUMENTS if python_of(each)])
def test_the_python_of_a_document_runs(document: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = python_of(document)
    assert PORT in code
    with server_for(code) as server:
        port = server.address.rpartition(":")[2]
        exec(compile(code.replace(PORT, port), document, "exec"), {})
    printed = capsys.readouterr().out
    if stated := re.findall(r"print\(.*\.shape\)  # (\(\d+, \d+\))", code):
        assert printed.splitlines()[-1] == stated[-1]
    assert printed
