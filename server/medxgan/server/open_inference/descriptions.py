"""What the protocol tells of the server and its models."""

from importlib.metadata import version

from medxgan.server.explanation.table import MAPS
from medxgan.server.models.version_policy import VersionPolicy
from medxgan.server.open_inference.messages import inference
from medxgan.server.open_inference.models import INPUTS, InferenceModel, TensorSpecification
from medxgan.server.open_inference.parameters import PRIORITIES, SETTINGS
from medxgan.v1.explanation_pb2 import PRIORITY_ROUTINE

PLATFORM = "medxgan"

_CONFIGURATION_TYPES = {"BYTES": "TYPE_STRING"}
"""Where ModelConfig has another name for a type than TYPE_ and its name."""

_EVERY = VersionPolicy()

_REQUESTS_OF_ONE_IMAGE = 0
"""Tensors have no axis of a batch: a request is one image, with settings and a verdict of its own. The server makes
batches of the rows of many requests by itself."""


def server_metadata(*, shared_memory: bool) -> inference.ServerMetadataResponse:
    """What the server is."""
    extensions = ["model_repository", "schedule_policy", "model_configuration", "parameters", "statistics"]
    return inference.ServerMetadataResponse(
        name=PLATFORM,
        version=version("medxgan"),
        extensions=[*extensions, "system_shared_memory"] if shared_memory else extensions,
    )


def model_metadata(model: InferenceModel, versions: list[InferenceModel]) -> inference.ModelMetadataResponse:
    """The tensors of a model.

    Args:
        model: the model.
        versions: of it that are served.
    """
    return inference.ModelMetadataResponse(
        name=model.name,
        versions=[each.version for each in versions],
        platform=PLATFORM,
        inputs=[_tensor_metadata(each) for each in INPUTS],
        outputs=[_tensor_metadata(each) for each in model.outputs],
    )


def model_configuration(model: InferenceModel, policy: VersionPolicy = _EVERY) -> inference.ModelConfig:
    """How a model is set up.

    Args:
        model: the model.
        policy: by which its versions are chosen.
    """
    running = model.served.engine.execution
    on_cpu = running.provider.startswith("CPU")
    configuration = inference.ModelConfig(
        name=model.name,
        platform=PLATFORM,
        backend=PLATFORM,
        version_policy=_version_policy(policy),
        max_batch_size=_REQUESTS_OF_ONE_IMAGE,
        input=[
            inference.ModelInput(name=each.name, data_type=_configuration_type(each), dims=each.shape)
            for each in INPUTS
        ],
        output=[
            inference.ModelOutput(name=each.name, data_type=_configuration_type(each), dims=each.shape)
            for each in model.outputs
        ],
        instance_group=[
            inference.ModelInstanceGroup(
                name=running.provider,
                kind=inference.ModelInstanceGroup.KIND_CPU if on_cpu else inference.ModelInstanceGroup.KIND_GPU,
                count=len(model.served.replicas),
            )
        ],
        dynamic_batching=inference.ModelDynamicBatching(
            priority_levels=len(PRIORITIES) - 1,
            default_priority_level=PRIORITIES.index(PRIORITY_ROUTINE),
            default_queue_policy=inference.ModelQueuePolicy(allow_timeout_override=True),
        ),
        model_transaction_policy=inference.ModelTransactionPolicy(decoupled=model.decoupled),
    )
    notes = {
        "maps": ", ".join(MAPS[kind].title for kind in model.maps),
        "image": "BYTES [1], a PNG, JPEG, TIFF or DICOM file; or UINT8, UINT16 or FP32 [H, W], grey levels",
        "request_parameters": ", ".join(SETTINGS),
        "bundle_sha256": model.served.bundle.sha256,
        "signed_by": model.served.bundle.signed_by,
    }
    for name, text in notes.items():
        configuration.parameters[name].string_value = text
    return configuration


def _version_policy(policy: VersionPolicy) -> inference.ModelVersionPolicy:
    kinds = inference.ModelVersionPolicy
    if policy.specific:
        return kinds(specific=kinds.Specific(versions=sorted(policy.specific)))
    if policy.latest is not None:
        return kinds(latest=kinds.Latest(num_versions=policy.latest))
    return kinds(all=kinds.All())


def _tensor_metadata(each: TensorSpecification) -> inference.ModelMetadataResponse.TensorMetadata:
    return inference.ModelMetadataResponse.TensorMetadata(name=each.name, datatype=each.datatype, shape=each.shape)


def _configuration_type(each: TensorSpecification) -> str:
    return _CONFIGURATION_TYPES.get(each.datatype, f"TYPE_{each.datatype}")
