"""A model repository of Triton, as files, and the server that a model of it starts."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import tritonclient.grpc as triton
import typer
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2
from tritonclient.utils import InferenceServerException
from typer.testing import CliRunner

from medxgan.bundle import BundleError, load_bundle
from medxgan.server.errors import InvalidRequestError
from medxgan.server.triton.command import export_triton
from medxgan.server.triton.repository import write_repository

SHIPPED = Path(__file__).parents[2] / "models"


@pytest.fixture
def models(tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    shutil.copytree(SHIPPED / "phantom", folder / "phantom")
    return folder


def configuration(repository: Path, name: str) -> model_config_pb2.ModelConfig:
    """As Triton's own schema reads it."""
    text = (repository / name / "config.pbtxt").read_text()
    return text_format.Parse(text, model_config_pb2.ModelConfig())


def test_each_model_is_whole(models: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "repository"
    assert write_repository(models, out, ["grad_cam"]) == ["phantom", "phantom.grad_cam", "phantom.progress"]
    for name, decoupled in (("phantom", False), ("phantom.grad_cam", False), ("phantom.progress", True)):
        stated = configuration(out, name)
        assert (stated.name, stated.backend, stated.max_batch_size) == (name, "python", 0)
        assert stated.model_transaction_policy.decoupled == decoupled
        assert [(group.kind, group.count) for group in stated.instance_group] == [
            (model_config_pb2.ModelInstanceGroup.KIND_CPU, 1)
        ]
        assert (out / name / "3" / "model.py").is_file()
        bundle = load_bundle(out / name / "3" / "bundles" / "phantom" / "3")
        assert bundle.sha256 == load_bundle(models / "phantom" / "3").sha256
    progress = {output.name for output in configuration(out, "phantom.progress").output}
    assert progress - {output.name for output in configuration(out, "phantom").output} == {
        *("steps_taken", "steps_total", "reconstruction_mse", "classification_loss", "phase")
    }


def test_progress_may_be_left_out(models: Path, tmp_path: Path) -> None:
    assert write_repository(models, tmp_path / "repository", progress=False) == ["phantom"]


def test_versions_stand_side_by_side_where_their_tensors_agree(models: Path, tmp_path: Path) -> None:
    as_version(models, "4", lambda description: description)
    write_repository(models, tmp_path / "repository")
    assert {folder.name for folder in (tmp_path / "repository" / "phantom").iterdir()} == {"3", "4", "config.pbtxt"}


def test_versions_whose_tensors_differ_are_refused(models: Path, tmp_path: Path) -> None:
    shutil.rmtree(models / "phantom")
    shutil.copytree(SHIPPED / "phantom", models / "pneumonia")
    as_version(models, "3", lambda description: description | {"name": "pneumonia"}, of="pneumonia")
    shutil.copytree(SHIPPED / "pneumonia" / "3", models / "pneumonia" / "4")
    as_version(models, "4", lambda description: description, of="pneumonia")
    with pytest.raises(BundleError, match="pneumonia: expected versions with the same tensors"):
        write_repository(models, tmp_path / "repository")
    assert not (tmp_path / "repository").exists()


def as_version(models: Path, version: str, change: object, of: str = "phantom") -> None:
    """Give a bundle another version, and maybe another name."""
    folder = models / of / version
    if not folder.exists():
        shutil.copytree(models / of / "3", folder)
    description = json.loads((folder / "bundle.json").read_text())
    assert callable(change)
    (folder / "bundle.json").write_text(json.dumps(change(description) | {"version": version}))


def test_an_unknown_map_is_said(models: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidRequestError, match=r"map: expected one of .*grad_cam.*, got heat"):
        write_repository(models, tmp_path / "repository", ["heat"])


def test_the_command_does_not_write_over_anything(models: Path, tmp_path: Path) -> None:
    app = typer.Typer()
    app.command()(export_triton)
    out = tmp_path / "repository"
    first, second = (CliRunner().invoke(app, [str(models), "--out", str(out)]) for _ in range(2))
    assert first.exit_code == 0, first.output
    assert second.exit_code == 1
    assert "holds something already" in second.output
    absent = CliRunner().invoke(app, [str(tmp_path / "absent"), "--out", str(tmp_path / "other")])
    assert absent.exit_code == 1
    assert "expected bundles" in absent.output


def test_the_server_of_a_model_ends_with_who_started_it(models: Path, tmp_path: Path) -> None:
    address = f"unix:{tmp_path / 'socket'}"
    command = [sys.executable, "-m", "medxgan.server.triton.child", models, address]
    process = subprocess.Popen(command, stdin=subprocess.PIPE)
    assert process.stdin is not None
    with triton.InferenceServerClient(address) as client:
        while not is_ready(client):
            assert process.poll() is None
        assert client.is_model_ready("phantom")
    process.stdin.close()
    assert process.wait(30) == 0


def is_ready(client: triton.InferenceServerClient) -> bool:
    try:
        return bool(client.is_server_ready(client_timeout=1))
    except InferenceServerException:
        return False


def test_a_server_without_bundles_says_so(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "medxgan.server.triton.child", tmp_path, f"unix:{tmp_path / 'socket'}"]
    outcome = subprocess.run(command, capture_output=True, text=True, check=False)
    assert outcome.returncode == 1
    assert "expected bundles in folders NAME/VERSION, found none" in outcome.stderr
