"""The manifests for KServe and KubeRay: pods by Kubernetes' schemas, Serve's part by Ray's own, the rest by rules here.

No package has the schemas of their resources. The rules are of the fields that the manifests use, and of no others.
"""

from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from tests.server.deployment.files import DEPLOYMENT, documents, image_environment, read

from medxgan.server.cluster import proxy
from medxgan.server.settings import ServerSettings

KSERVE = DEPLOYMENT / "kserve" / "inference-service.yaml"
KUBERAY = DEPLOYMENT / "kuberay" / "ray-service.yaml"
KUBERNETES = "1.37"


# ruff: noqa: N815 - fields have their names in the manifests
class Strict(BaseModel):
    """Takes the fields that it names and no others."""

    model_config = ConfigDict(extra="forbid", strict=True, populate_by_name=True)


class Metadata(Strict):
    name: str
    namespace: str | None = None


class Predictor(Strict):
    """`PredictorSpec` of serving.kserve.io/v1beta1: an extension of the component, with the fields of a pod inline."""

    minReplicas: int = Field(ge=0)
    maxReplicas: int = Field(ge=0)
    scaleMetric: str = Field(pattern="^(concurrency|rps|cpu|memory)$")
    scaleTarget: int = Field(ge=1)
    timeout: int = Field(ge=1)
    automountServiceAccountToken: bool
    enableServiceLinks: bool
    securityContext: dict[str, Any]
    containers: list[dict[str, Any]] = Field(min_length=1)
    volumes: list[dict[str, Any]]

    @property
    def pod(self) -> dict[str, Any]:
        """The fields of a pod."""
        own = {"minReplicas", "maxReplicas", "scaleMetric", "scaleTarget", "timeout"}
        return self.model_dump(exclude=own)


class InferenceServiceSpec(Strict):
    predictor: Predictor


class InferenceService(Strict):
    apiVersion: str = Field(pattern=r"^serving\.kserve\.io/v1beta1$")
    kind: str = Field(pattern="^InferenceService$")
    metadata: Metadata
    spec: InferenceServiceSpec


class PodTemplate(Strict):
    spec: dict[str, Any]


class Group(Strict):
    rayStartParams: dict[str, str]
    template: PodTemplate


class WorkerGroup(Group):
    groupName: str
    replicas: int = Field(ge=0)
    minReplicas: int = Field(ge=0)
    maxReplicas: int = Field(ge=1)


class RayCluster(Strict):
    rayVersion: str
    enableInTreeAutoscaling: bool
    headGroupSpec: Group
    workerGroupSpecs: list[WorkerGroup]


class ServeService(Strict):
    metadata: Metadata
    spec: dict[str, Any]


class RayServiceSpec(Strict):
    serveConfigV2: str
    serveService: ServeService
    rayClusterConfig: RayCluster


class RayService(Strict):
    apiVersion: str = Field(pattern=r"^ray\.io/v1$")
    kind: str = Field(pattern="^RayService$")
    metadata: Metadata
    spec: RayServiceSpec


@pytest.fixture
def kserve() -> InferenceService:
    return InferenceService.model_validate(read(KSERVE))


@pytest.fixture
def kuberay() -> RayService:
    return RayService.model_validate(read(KUBERAY))


@pytest.fixture
def serve(kuberay: RayService) -> dict[str, Any]:
    """What Ray Serve is told."""
    (found,) = documents(kuberay.spec.serveConfigV2)
    return found


def validate_pod(spec: dict[str, Any]) -> None:
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"}, "spec": spec}
    kubernetes_validate.validate(pod, KUBERNETES, strict=True)


def groups(service: RayService) -> list[Group]:
    cluster = service.spec.rayClusterConfig
    return [cluster.headGroupSpec, *cluster.workerGroupSpecs]


def test_pods_are_valid_by_the_schemas_of_kubernetes(kserve: InferenceService, kuberay: RayService) -> None:
    for spec in (kserve.spec.predictor.pod, *(each.template.spec for each in groups(kuberay))):
        validate_pod(spec)
        assert {mount["name"] for mount in spec["containers"][0]["volumeMounts"]} == {
            volume["name"] for volume in spec["volumes"]
        }
        assert spec["securityContext"]["runAsNonRoot"]
        context = spec["containers"][0]["securityContext"]
        assert not context["allowPrivilegeEscalation"]
        assert context["capabilities"] == {"drop": ["ALL"]}
    serve_service = {"apiVersion": "v1", "kind": "Service", **kuberay.spec.serveService.model_dump(exclude_none=True)}
    kubernetes_validate.validate(serve_service, KUBERNETES, strict=True)


@pytest.mark.parametrize(
    ("file", "model", "right", "wrong"),
    [(KSERVE, InferenceService, "minReplicas:", "minReplica:"), (KUBERAY, RayService, "rayVersion:", "raysVersion:")],
)
def test_a_wrong_manifest_would_be_seen(file: Path, model: type[BaseModel], right: str, wrong: str) -> None:
    text = file.read_text().replace(right, wrong, 1)
    assert text != file.read_text()
    with pytest.raises(ValidationError):
        model.model_validate(yaml.safe_load(text))


def test_a_server_takes_the_settings_of_kserve(
    kserve: InferenceService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (container,) = kserve.spec.predictor.containers
    environment = image_environment() | {each["name"]: each["value"] for each in container["env"] if "value" in each}
    identities = tmp_path / "identities.toml"
    identities.touch()
    environment["MEDXGAN_IDENTITIES"] = str(identities)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    settings = ServerSettings()
    (port,) = container["ports"]
    # KServe knows HTTP/2 without TLS by the name of the port.
    assert (port["name"], port["containerPort"]) == ("h2c", int(settings.address.rpartition(":")[2]))
    assert container["readinessProbe"]["grpc"]["port"] == port["containerPort"]


def test_a_server_takes_the_settings_of_kuberay(
    serve: dict[str, Any], kuberay: RayService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in image_environment().items():
        monkeypatch.setenv(name, value)
    (application,) = serve["applications"]
    identities = tmp_path / "identities.toml"
    identities.touch()
    settings = ServerSettings(**application["args"] | {"ray": "auto", "identities": identities})
    port = serve["grpc_options"]["port"]
    assert settings.address == f"0.0.0.0:{port}"
    assert serve["grpc_options"]["grpc_servicer_functions"] == proxy.SERVICER_FUNCTIONS
    assert serve["grpc_options"]["request_timeout_s"] == settings.deadline_ceiling_seconds
    assert kuberay.spec.serveService.spec["ports"] == [{"name": "grpc", "port": port, "targetPort": port}]
    for group in groups(kuberay):
        (container,) = group.template.spec["containers"]
        ports = {each["name"]: each["containerPort"] for each in container["ports"]}
        assert (ports["grpc"], ports["serve"]) == (port, serve["http_options"]["port"])
    # A replica's cores are a worker's.
    (worker,) = kuberay.spec.rayClusterConfig.workerGroupSpecs
    assert int(worker.template.spec["containers"][0]["resources"]["limits"]["cpu"]) >= settings.threads


@pytest.mark.filterwarnings("ignore:Using extra keyword arguments on `Field`")  # in ray.serve.schema itself
def test_ray_serve_takes_its_part(serve: dict[str, Any]) -> None:
    pytest.importorskip("ray", reason="Ray, whose schema it is, is not installed")
    from ray.serve.schema import ServeDeploySchema

    read_by_ray = ServeDeploySchema.model_validate(serve)
    assert read_by_ray.grpc_options.grpc_servicer_functions == proxy.SERVICER_FUNCTIONS
    (application,) = read_by_ray.applications
    module, _, name = application.import_path.partition(":")
    assert callable(getattr(__import__(module, fromlist=[name]), name))
