"""The manifests for Kubernetes and compose: valid by their schemas, of one piece, and closed as far as they say."""

import json
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.server.deployment.files import (
    BASE,
    DEPLOYMENT,
    GPU,
    ROOT,
    documents,
    image_environment,
    named_settings,
    read,
)

from medxgan.server.settings import ServerSettings

VERSIONS = ("1.30", "1.37")
"""Releases of Kubernetes: the oldest that the manifests are for, and a new one."""

# What validates takes seconds to be imported, and is where it is used.

RESOURCES = [*sorted(set(BASE.glob("*.yaml")) - {BASE / "kustomization.yaml"}), GPU / "cache.yaml"]


@cache
def rendered(folder: Path) -> dict[str, dict[str, Any]]:
    """The manifests that Kustomize makes of a folder, by kind."""
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("kubectl, which renders overlays, is not installed")
    outcome = subprocess.run([kubectl, "kustomize", str(folder)], capture_output=True, text=True, check=False)
    assert outcome.returncode == 0, outcome.stderr
    return {each["kind"]: each for each in documents(outcome.stdout)}


def pod(folder: Path) -> dict[str, Any]:
    """The pod that a folder's deployment makes."""
    found: dict[str, Any] = rendered(folder)["Deployment"]["spec"]["template"]
    return found


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("file", RESOURCES, ids=lambda file: str(file.relative_to(DEPLOYMENT)))
def test_a_resource_is_valid(file: Path, version: str) -> None:
    import kubernetes_validate

    kubernetes_validate.validate(read(file), version, strict=True)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("folder", [BASE, GPU], ids=lambda folder: folder.name)
def test_what_kustomize_makes_is_valid(folder: Path, version: str) -> None:
    import kubernetes_validate

    manifests = rendered(folder)
    assert {"Deployment", "Service", "NetworkPolicy", "PodDisruptionBudget", "HorizontalPodAutoscaler"} <= set(
        manifests
    )
    for each in manifests.values():
        kubernetes_validate.validate(each, version, strict=True)


@pytest.mark.parametrize("folder", [BASE, GPU], ids=lambda folder: folder.name)
def test_a_wrong_manifest_would_be_seen(folder: Path) -> None:
    import kubernetes_validate

    wrong = json.loads(json.dumps(rendered(folder)["Deployment"]))
    wrong["spec"]["template"]["spec"]["containers"][0]["readynessProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSIONS[0], strict=True)


@pytest.mark.parametrize("folder", [BASE, GPU], ids=lambda folder: folder.name)
def test_what_selects_pods_selects_the_servers(folder: Path) -> None:
    manifests, labels = rendered(folder), pod(folder)["metadata"]["labels"].items()
    selectors = [
        manifests["Deployment"]["spec"]["selector"]["matchLabels"],
        manifests["Service"]["spec"]["selector"],
        manifests["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"],
        manifests["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
    ]
    for selector in selectors:
        assert selector.items() <= labels
    target = manifests["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]
    assert (target["kind"], target["name"]) == ("Deployment", manifests["Deployment"]["metadata"]["name"])


@pytest.mark.parametrize("folder", [BASE, GPU], ids=lambda folder: folder.name)
def test_ports_are_those_of_the_image(folder: Path) -> None:
    ports = {each["name"]: each["containerPort"] for each in pod(folder)["spec"]["containers"][0]["ports"]}
    image = image_environment()
    assert ports["grpc"] == int(image["MEDXGAN_ADDRESS"].rpartition(":")[2])
    assert ports["telemetry"] == int(image["MEDXGAN_TELEMETRY"].rpartition(":")[2])
    assert pod(folder)["metadata"]["annotations"]["prometheus.io/port"] == str(ports["telemetry"])
    policy = rendered(folder)["NetworkPolicy"]["spec"]
    assert [rule["ports"][0]["port"] for rule in policy["ingress"]] == ["grpc", "telemetry"]
    assert policy["egress"] == []
    assert rendered(folder)["Service"]["spec"]["ports"][0]["targetPort"] == "grpc"


@pytest.mark.parametrize("folder", [BASE, GPU], ids=lambda folder: folder.name)
def test_pods_meet_the_restricted_standard(folder: Path) -> None:
    spec = pod(folder)["spec"]
    assert spec["securityContext"]["runAsNonRoot"]
    assert spec["securityContext"]["runAsUser"] == 10001
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not spec["automountServiceAccountToken"]
    assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys()
    for container in [*spec["containers"], *spec.get("initContainers", [])]:
        context = container["securityContext"]
        assert context["readOnlyRootFilesystem"]
        assert not context["allowPrivilegeEscalation"]
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert container["resources"].keys() == {"requests", "limits"}
    assert not [volume for volume in spec["volumes"] if "hostPath" in volume]


@pytest.mark.parametrize("folder", [BASE, GPU], ids=lambda folder: folder.name)
def test_what_is_mounted_is_a_volume_of_the_pod(folder: Path) -> None:
    spec = pod(folder)["spec"]
    mounted = {
        mount["name"]
        for each in [*spec["containers"], *spec.get("initContainers", [])]
        for mount in each["volumeMounts"]
    }
    assert mounted == {volume["name"] for volume in spec["volumes"]}


@pytest.mark.parametrize("folder", [BASE, GPU], ids=lambda folder: folder.name)
def test_a_pod_has_the_time_that_its_server_takes_to_stop(folder: Path) -> None:
    spec = pod(folder)["spec"]
    pause = spec["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    grace = float(rendered(folder)["ConfigMap"]["data"]["MEDXGAN_SHUTDOWN_GRACE_SECONDS"])
    assert spec["terminationGracePeriodSeconds"] >= pause + grace + 5


@pytest.mark.parametrize("folder", [BASE, GPU], ids=lambda folder: folder.name)
def test_a_server_takes_the_settings_of_a_pod(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    container = pod(folder)["spec"]["containers"][0]
    settings = image_environment() | rendered(folder)["ConfigMap"]["data"]
    mounts = [mount["mountPath"] for mount in container["volumeMounts"]]
    for name, value in settings.items():
        if value.startswith("/run/"):
            assert any(value.startswith(f"{mount}/") for mount in mounts)
            (tmp_path / name).touch()
            settings[name] = str(tmp_path / name)
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    taken = ServerSettings()
    assert not taken.insecure
    assert taken.tls_certificate is not None
    assert taken.identities is not None
    assert taken.telemetry
    by_reference = {each["name"] for each in container["env"] if each["name"].startswith("MEDXGAN_")}
    assert {
        name.removeprefix("MEDXGAN_").lower() for name in settings.keys() | by_reference
    } <= ServerSettings.model_fields.keys()


def test_an_overlay_as_documented_changes_what_it_says(tmp_path: Path) -> None:
    (overlay,) = re.findall(
        r"```yaml\n(.*?)```", (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8"), re.DOTALL
    )
    shutil.copytree(BASE, tmp_path / "medxgan" / BASE.relative_to(ROOT))
    (tmp_path / "ours").mkdir()
    (tmp_path / "ours" / "kustomization.yaml").write_text(overlay, encoding="utf-8")
    image = pod(BASE)["spec"]["containers"][0]["image"]
    assert pod(tmp_path / "ours")["spec"]["containers"][0]["image"] == f"registry.hospital.example/{image}"
    settings = rendered(tmp_path / "ours")["ConfigMap"]["data"]
    assert settings == rendered(BASE)["ConfigMap"]["data"] | {"MEDXGAN_MAXIMUM_WAITING": "32"}


def test_without_kustomize_too_the_settings_exist() -> None:
    given = named_settings((BASE / "settings.env").read_text(encoding="utf-8"))
    given |= dict(each.split("=") for each in read(GPU / "kustomization.yaml")["configMapGenerator"][0]["literals"])
    assert given
    assert {name.removeprefix("MEDXGAN_").lower() for name in given} <= ServerSettings.model_fields.keys()


def compose(*names: str) -> list[dict[str, Any]]:
    """Compose files; the tag that replaces a list instead of appending to it is compose's own."""

    class Loader(yaml.SafeLoader):
        pass

    Loader.add_constructor("!override", lambda loader, node: loader.construct_sequence(node, deep=True))
    return [yaml.load((DEPLOYMENT / name).read_text(encoding="utf-8"), Loader) for name in names]


@pytest.mark.parametrize("name", ["compose.yaml", "compose.tls.yaml"])
def test_a_compose_file_is_valid(name: str) -> None:
    import check_jsonschema
    import jsonschema

    folder = Path(check_jsonschema.__file__).parent / "builtin_schemas" / "vendor"
    schema = json.loads((folder / "compose-spec.json").read_text(encoding="utf-8"))
    (content,) = compose(name)
    jsonschema.validate(content, schema, jsonschema.Draft7Validator)


def test_a_server_of_compose_is_for_this_machine_until_it_has_tls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, secured = (each["services"]["server"] for each in compose("compose.yaml", "compose.tls.yaml"))
    assert all(port.startswith("127.0.0.1:") for port in plain["ports"])
    for name, value in (image_environment() | plain["environment"]).items():
        monkeypatch.setenv(name, value)
    assert ServerSettings().insecure
    (plaintext,) = [port for port in secured["ports"] if not port.startswith("127.0.0.1:")]
    assert plaintext == "50051:50051"
    for name, value in secured["environment"].items():
        if value.startswith("/run/secrets/"):
            assert value.removeprefix("/run/secrets/") in secured["secrets"]
            (tmp_path / name).touch()
        monkeypatch.setenv(name, str(tmp_path / name) if value.startswith("/run/") else value)
    taken = ServerSettings()
    assert not taken.insecure
    assert taken.identities is not None
    assert float(re.sub("s$", "", plain["stop_grace_period"])) >= taken.shutdown_grace_seconds + 5


def test_what_compose_builds_and_mounts_is_there() -> None:
    (server,) = (each["services"]["server"] for each in compose("compose.yaml"))
    context = (DEPLOYMENT / server["build"]["context"]).resolve()
    assert context == ROOT
    assert (context / server["build"]["dockerfile"]).is_file()
    source, target, mode = server["volumes"][0].split(":")
    assert (DEPLOYMENT / source / "default-model").is_file()
    assert (target, mode) == (image_environment()["MEDXGAN_MODELS"], "ro")
    assert server["read_only"]
    assert server["cap_drop"] == ["ALL"]
