"""Which models there are, and what is said of them."""

import pytest
from google.protobuf.json_format import MessageToDict
from tests.server.linear import SIDE, LinearEngine

from medxgan.bundle import LoadedBundle, load_bundle
from medxgan.server.engine.selection import open_engine
from medxgan.server.engine.settings import EngineSettings
from medxgan.server.errors import InvalidRequestError, UnknownModelError
from medxgan.server.explanation.table import MAPS, map_name
from medxgan.server.models.admission import ModelCapacity
from medxgan.server.models.repository import ModelRepository
from medxgan.server.models.served_model import ServedModel
from medxgan.server.models.version_policy import VersionPolicies
from medxgan.server.open_inference.descriptions import model_configuration, model_metadata, server_metadata
from medxgan.server.open_inference.messages import inference
from medxgan.server.open_inference.models import Catalogue, TensorSpecification


def served(engine: LinearEngine, version: str = "1") -> ServedModel:
    engine.bundle.version = version
    return ServedModel(LoadedBundle(engine.bundle, engine.bundle, "0" * 64), [engine], ModelCapacity())


@pytest.fixture
def catalogue() -> Catalogue:
    """Two versions of the linear model."""
    return Catalogue(ModelRepository([served(LinearEngine(), "2"), served(LinearEngine(), "10")]))


def test_a_bundle_is_a_model_and_so_is_each_of_its_maps(catalogue: Catalogue) -> None:
    names = [model.name for model in catalogue if model.version == "10"]
    assert names == ["linear", *(f"linear.{map_name(kind)}" for kind in MAPS)]


def test_without_a_version_it_is_the_highest(catalogue: Catalogue) -> None:
    assert catalogue.find("linear", "").version == "10"
    assert catalogue.find("linear.residual", "2").version == "2"
    assert [model.version for model in catalogue.versions("linear")] == ["2", "10"]


@pytest.mark.parametrize(
    ("name", "version", "text"),
    [
        ("nonsense", "", "no model nonsense is served"),
        ("linear.nonsense", "", "no model linear.nonsense is served"),
        ("linear", "3", "no version 3 of linear is served; there is 2, 10"),
        ("linear", "two", "no version two of linear"),
        ("x" * 10_000, "", "is served; RepositoryIndex"),
    ],
)
def test_an_unknown_model_is_said_to_be_so(catalogue: Catalogue, name: str, version: str, text: str) -> None:
    with pytest.raises(UnknownModelError, match=text) as refusal:
        catalogue.find(name, version)
    assert len(str(refusal.value)) < 200


def test_a_model_has_to_be_named(catalogue: Catalogue) -> None:
    with pytest.raises(InvalidRequestError, match="model_name: expected the name of a model"):
        catalogue.find("", "")


def test_the_outputs_are_the_maps_and_what_is_found(catalogue: Catalogue) -> None:
    outputs = {output.name: output for output in catalogue.find("linear", "").outputs}
    assert outputs["difference"] == TensorSpecification("difference", "FP32", (SIDE, SIDE))
    assert outputs["difference"].byte_size == 4 * SIDE * SIDE
    assert outputs["colorized"].shape == (SIDE, SIDE, 3)
    assert outputs["score"].byte_size == 8
    assert outputs["verdict"].byte_size is None
    (cam, *findings) = catalogue.find("linear.grad_cam", "").outputs
    assert (cam.name, cam.shape) == ("grad_cam", (SIDE, SIDE))
    assert [each.name for each in findings] == ["score", "positive", "verdict", "reasons", "details"]


def test_only_what_inverts_tells_of_its_progress(catalogue: Catalogue) -> None:
    assert catalogue.find("linear", "").decoupled
    assert catalogue.find("linear.evidence", "").decoupled
    assert not catalogue.find("linear.grad_cam", "").decoupled
    assert catalogue.find("linear.uncertainty", "").default_restarts == 2
    assert catalogue.find("linear", "").default_restarts == 1


def test_metadata_and_configuration_state_the_same_tensors(catalogue: Catalogue) -> None:
    for model in catalogue:
        metadata = model_metadata(model, catalogue.versions(model.name))
        configuration = model_configuration(model)
        assert list(metadata.versions) == ["2", "10"]
        assert configuration.name == metadata.name == model.name
        assert configuration.max_batch_size == 0
        for stated, configured in zip(
            [*metadata.inputs, *metadata.outputs], [*configuration.input, *configuration.output], strict=True
        ):
            assert stated.name == configured.name
            assert list(stated.shape) == list(configured.dims)
            name = inference.DataType.Name(configured.data_type)
            assert name.removeprefix("TYPE_").replace("STRING", "BYTES") == stated.datatype
        assert configuration.model_transaction_policy.decoupled == model.decoupled
        assert configuration.dynamic_batching.priority_levels == 2
        assert configuration.instance_group[0].count == 1


@pytest.mark.parametrize(
    ("policy", "stated"),
    [
        ("all", {"all": {}}),
        ("latest:2", {"latest": {"num_versions": 2}}),
        ("all;linear=specific:10,2", {"specific": {"versions": ["2", "10"]}}),
    ],
)
def test_the_configuration_states_the_policy_of_versions(
    catalogue: Catalogue, policy: str, stated: dict[str, object]
) -> None:
    configuration = model_configuration(catalogue.find("linear", ""), VersionPolicies.parse(policy).of("linear"))
    described = MessageToDict(configuration.version_policy, preserving_proto_field_name=True)
    assert described == stated


def test_a_bundle_without_generator_has_the_maps_that_need_none(several_folder) -> None:
    bundle = load_bundle(several_folder)
    model = ServedModel(bundle, [open_engine(bundle, EngineSettings("cpu", 1))], ModelCapacity())
    models = list(Catalogue(ModelRepository([model])))
    assert "several.occlusion" in [each.name for each in models]
    assert "several.difference" not in [each.name for each in models]
    assert not any(each.decoupled for each in models)


def test_the_server_claims_shared_memory_only_where_it_takes_it() -> None:
    assert "system_shared_memory" in server_metadata(shared_memory=True).extensions
    assert "system_shared_memory" not in server_metadata(shared_memory=False).extensions
    assert "statistics" in server_metadata(shared_memory=False).extensions
