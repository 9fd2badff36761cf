"""An explanation as named tensors, in the response or in shared memory."""

import struct
from collections.abc import Mapping
from dataclasses import dataclass

from google.protobuf import json_format

from medxgan.server.errors import InvalidRequestError, shown
from medxgan.server.explanation.explain import Progress
from medxgan.server.explanation.table import map_name
from medxgan.server.open_inference.messages import inference
from medxgan.server.open_inference.models import InferenceModel
from medxgan.server.open_inference.parameters import FINAL_RESPONSE
from medxgan.server.open_inference.shared_memory import SharedMemory
from medxgan.server.open_inference.tensors import BYTE_SIZE, OFFSET, REGION, Place, bytes_tensor, place_of
from medxgan.v1 import explanation_pb2


@dataclass(frozen=True)
class RequestedOutput:
    """An output that a request wants.

    Attributes:
        name: of the output.
        datatype: of its elements.
        place: where it shall be put; None: into the response.
    """

    name: str
    datatype: str
    place: Place | None


def requested_outputs(
    request: inference.ModelInferRequest, model: InferenceModel, regions: SharedMemory
) -> list[RequestedOutput]:
    """The outputs that a request wants, in its order; all that the model has, where it names none.

    Raises:
        InvalidRequestError: naming an output that the model does not have, that is named twice, or that has no room.
        UnknownRegionError: a region is not registered.
    """
    specifications = {output.name: output for output in model.outputs}
    if not request.outputs:
        return [RequestedOutput(each.name, each.datatype, None) for each in model.outputs]
    wanted: dict[str, RequestedOutput] = {}
    for output in request.outputs:
        if output.name not in specifications:
            raise InvalidRequestError(
                "outputs", f"expected outputs of {', '.join(specifications)}, got {shown(output.name)}"
            )
        if output.name in wanted:
            raise InvalidRequestError("outputs", f"expected each output once, got {output.name} again")
        specification = specifications[output.name]
        place = place_of(output.parameters, f"outputs.{output.name}", regions)
        if place is not None and specification.byte_size is not None:
            place.check(specification.byte_size)
        wanted[output.name] = RequestedOutput(output.name, specification.datatype, place)
    return list(wanted.values())


def infer_response(
    request: inference.ModelInferRequest,
    model: InferenceModel,
    wanted: list[RequestedOutput],
    explained: explanation_pb2.ExplainResponse,
) -> inference.ModelInferResponse:
    """The response that holds an explanation.

    Args:
        request: that it answers.
        model: that answers.
        wanted: the outputs, as `requested_outputs` gives them.
        explained: the explanation, of the model's maps as tensors. The maps are taken out of it.
    """
    response = _response(request, model)
    tensors = _tensors(explained)
    for each in wanted:
        shape, content = tensors[each.name]
        output = response.outputs.add(name=each.name, datatype=each.datatype, shape=shape)
        if each.place is None:
            response.raw_output_contents.append(content)
            continue
        each.place.write(content)
        output.parameters[REGION].string_param = each.place.region.name
        output.parameters[BYTE_SIZE].int64_param = len(content)
        if each.place.offset:
            output.parameters[OFFSET].int64_param = each.place.offset
        # Clients find the contents of an output by its place among all outputs.
        response.raw_output_contents.append(b"")
    return response


def progress_response(
    request: inference.ModelInferRequest, model: InferenceModel, progress: Progress
) -> inference.ModelStreamInferResponse:
    """A response without outputs, whose parameters are the fields of `Progress` in explanation.proto."""
    response = _response(request, model)
    response.parameters[FINAL_RESPONSE].bool_param = False
    response.parameters["steps_taken"].int64_param = progress.steps_taken
    response.parameters["steps_total"].int64_param = progress.steps_total
    response.parameters["reconstruction_mse"].double_param = progress.reconstruction_mse
    response.parameters["classification_loss"].double_param = progress.classification_loss
    phase = explanation_pb2.ProgressPhase.Name(progress.phase)
    response.parameters["phase"].string_param = phase.removeprefix("PROGRESS_PHASE_").lower()
    return inference.ModelStreamInferResponse(infer_response=response)


def final_response(request: inference.ModelInferRequest, model: InferenceModel) -> inference.ModelStreamInferResponse:
    """A response without outputs that says that it is the last of its request."""
    response = _response(request, model)
    response.parameters[FINAL_RESPONSE].bool_param = True
    return inference.ModelStreamInferResponse(infer_response=response)


def _response(request: inference.ModelInferRequest, model: InferenceModel) -> inference.ModelInferResponse:
    return inference.ModelInferResponse(model_name=model.name, model_version=model.version, id=request.id)


def _tensors(explained: explanation_pb2.ExplainResponse) -> Mapping[str, tuple[tuple[int, ...], bytes]]:
    """Shape and elements of every output."""
    tensors: dict[str, tuple[tuple[int, ...], bytes]] = {
        map_name(each.kind): (tuple(each.tensor.shape), each.tensor.data) for each in explained.maps
    }
    for each in explained.maps:
        each.ClearField("tensor")
    score = explained.scores.original
    verdict = explanation_pb2.VerdictStatus.Name(explained.verdict.status).removeprefix("VERDICT_STATUS_")
    reasons = [reason.sentence.encode() for reason in explained.verdict.reasons]
    details = json_format.MessageToJson(
        explained, preserving_proto_field_name=True, always_print_fields_with_no_presence=True, indent=None
    )
    return tensors | {
        "score": ((1,), struct.pack("<d", score.probability)),
        "positive": ((1,), struct.pack("?", score.positive)),
        "verdict": ((1,), bytes_tensor([verdict.encode()])),
        "reasons": ((len(reasons),), bytes_tensor(reasons)),
        "details": ((1,), bytes_tensor([details.encode()])),
    }
