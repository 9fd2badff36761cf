"""The Dockerfile, and the locks that its image is made of."""

import json
import re
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from tests.server.deployment.files import BASE, DEPLOYMENT, DOCKERFILE, GPU, ROOT, dockerfile, image_environment, read

from medxgan.server.settings import ServerSettings

LOCKS = DEPLOYMENT / "requirements"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
EXTRAS = {"server": ["server", "dicom"], "server-gpu": ["server-gpu", "dicom"]}


def instructions(name: str) -> list[str]:
    return [each["value"] for each in dockerfile().structure if each["instruction"] == name]


def test_every_stage_is_of_one_named_base() -> None:
    (base,) = instructions("ARG")[:1]
    name, _, image = base.partition("=")
    assert re.fullmatch(r"\S+/python:3\.\d+-slim-\w+", image), "a release, and without a compiler"
    stages: set[str] = set()
    for value in instructions("FROM"):
        source, *alias = value.split(" AS ")
        assert source == f"${{{name}}}" or source in stages
        stages.update(alias)
    assert stages == {"build", "bare", "with-models"}
    assert "latest" not in DOCKERFILE.read_text(encoding="utf-8")


def test_nothing_runs_as_root_and_nothing_is_a_shell() -> None:
    structure = [each for each in dockerfile().structure if each["instruction"] != "COMMENT"]
    names = [each["instruction"] for each in structure]
    user = names.index("USER")
    assert structure[user]["value"] == "10001:10001"
    assert "RUN" not in names[user:]
    assert instructions("ENTRYPOINT") == ['["medxgan"]']
    assert instructions("CMD") == ['["serve"]']


def test_what_is_copied_is_there_and_not_ignored() -> None:
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    kept = {line[1:] for line in ignored if line.startswith("!")}
    sources = [each.split() for each in instructions("COPY") if not each.startswith("--from")]
    assert sources
    for *copied, _ in sources:
        for source in copied:
            assert (ROOT / source).exists()
            assert source.split("/")[0] in kept
    packages = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    copied = {source.rstrip("/") for each in sources for source in each[:-1]}
    for package in packages:
        assert any(package == source or package.startswith(f"{source}/") for source in copied), "the wheel lacks it"


def test_only_what_is_locked_is_installed() -> None:
    installs = [
        line for each in instructions("RUN") for line in re.findall(r"pip (?:--python \S+ )?install.*?(?=&&|$)", each)
    ]
    assert len(installs) == 3
    for line in installs:
        assert "--require-hashes" in line or "--no-index" in line
    assert not re.search(r"apt-get|curl|wget|--build-arg|(?i:token|password|secret)=", " ".join(instructions("RUN")))


def test_settings_of_the_image_exist() -> None:
    names = image_environment()
    assert {"MEDXGAN_ADDRESS", "MEDXGAN_TELEMETRY", "MEDXGAN_MODELS"} <= names.keys()
    assert {name.removeprefix("MEDXGAN_").lower() for name in names} <= ServerSettings.model_fields.keys()


def test_the_probe_asks_the_port_that_the_image_tells_on(monkeypatch: pytest.MonkeyPatch) -> None:
    port = image_environment()["MEDXGAN_TELEMETRY"].rpartition(":")[2]
    (probe,) = instructions("HEALTHCHECK")
    assert f"http://127.0.0.1:{port}/v2/health/ready" in probe
    assert instructions("EXPOSE") == [f"{image_environment()['MEDXGAN_ADDRESS'].rpartition(':')[2]} {port}"]


def test_a_server_without_tls_does_not_start_unless_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in image_environment().items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match="expected tls_certificate"):
        ServerSettings()


def test_the_version_is_that_of_the_project() -> None:
    version = PROJECT["project"]["version"]
    assert f"medxgan-server:{version}" in DOCKERFILE.read_text(encoding="utf-8")
    assert read(DEPLOYMENT / "compose.yaml")["services"]["server"]["image"] == f"medxgan-server:{version}"
    assert read(BASE / "kustomization.yaml")["images"][0]["newTag"] == f"{version}-with-models"
    assert read(GPU / "kustomization.yaml")["images"][0]["newTag"] == f"{version}-gpu-with-models"


@cache
def lock() -> dict[str, Any]:
    return tomllib.loads((ROOT / "uv.lock").read_text(encoding="utf-8"))


def locked() -> set[tuple[str, str]]:
    return {(each["name"], each["version"]) for each in lock()["package"] if "registry" in each["source"]}


def pinned(name: str) -> list[Requirement]:
    """What a list of hashed requirements asks for."""
    text = re.sub(r"#.*", "", (LOCKS / f"{name}.txt").read_text(encoding="utf-8"))
    entries = re.split(r"\n(?=\S)", text.replace("\\\n", " ").strip())
    found = []
    for entry in entries:
        requirement, _, hashes = entry.partition("--hash=")
        assert hashes.startswith("sha256:"), f"{requirement} has no hash"
        found.append(Requirement(requirement.strip()))
    return found


def test_the_lock_is_of_this_project() -> None:
    (ours,) = (each for each in lock()["package"] if each["name"] == "medxgan")
    assert ours["version"] == PROJECT["project"]["version"], "make lock"
    stated = {
        (canonicalize_name(each["name"]), each.get("specifier", "")) for each in ours["metadata"]["requires-dist"]
    }
    optional = PROJECT["project"]["optional-dependencies"].values()
    lines = [*PROJECT["project"]["dependencies"], *(line for each in optional for line in each)]
    wanted = {Requirement(line) for line in lines}
    own = {(canonicalize_name(each.name), each.specifier) for each in wanted if each.name != "medxgan"}
    assert {(name, Requirement(f"x{specifier}").specifier) for name, specifier in stated if name != "medxgan"} == own, (
        "make lock"
    )


@pytest.mark.parametrize("name", [*EXTRAS, "build"])
def test_an_image_installs_what_the_lock_says(name: str) -> None:
    for requirement in pinned(name):
        (version,) = requirement.specifier
        assert version.operator == "=="
        assert (canonicalize_name(requirement.name), version.version) in locked(), "make lock"


@pytest.mark.slow
@pytest.mark.parametrize("name", EXTRAS)
def test_the_list_of_what_an_image_holds_is_whole(name: str, tmp_path: Path) -> None:
    wanted = [
        line for line in (ROOT / "Makefile").read_text(encoding="utf-8").splitlines() if f"dist/{name}.cdx" in line
    ]
    arguments = wanted[0].replace("$(LOCKS)", str(LOCKS)).replace("dist/", f"{tmp_path}/").split()[1:]
    command = [sys.executable, "-m", "cyclonedx_py", *arguments]
    outcome = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert outcome.returncode == 0, outcome.stderr
    bill = json.loads((tmp_path / f"{name}.cdx.json").read_text(encoding="utf-8"))
    assert bill["bomFormat"] == "CycloneDX"
    assert bill["metadata"]["component"]["name"] == "medxgan"
    listed = {(canonicalize_name(each["name"]), f"=={each['version']}") for each in bill["components"]}
    assert listed == {(canonicalize_name(each.name), str(each.specifier)) for each in pinned(name)}


@pytest.mark.parametrize("name", EXTRAS)
def test_an_image_has_what_its_server_asks_for_and_no_torch(name: str) -> None:
    from tests.test_documents import requirements

    names = {canonicalize_name(each.name) for each in pinned(name)}
    assert requirements(EXTRAS[name]) <= names
    assert not {"torch", "onnx", "matplotlib"} & names
    assert len({"onnxruntime", "onnxruntime-gpu"} & names) == 1
