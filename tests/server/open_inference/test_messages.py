"""Our form of the protocol is the one that Triton's clients have, and stands beside theirs in one process."""

from collections.abc import Iterator

import pytest
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor, FileDescriptor
from tritonclient.grpc import model_config_pb2, service_pb2

from medxgan.server.open_inference.messages import DESCRIPTOR, SERVICE, inference

FILES = (service_pb2.DESCRIPTOR, model_config_pb2.DESCRIPTOR)


def messages(file: FileDescriptor | Descriptor) -> Iterator[Descriptor]:
    """All messages, also those within others."""
    own = file.nested_types if isinstance(file, Descriptor) else file.message_types_by_name.values()
    for each in own:
        yield each
        yield from messages(each)


def enums(file: FileDescriptor) -> Iterator[EnumDescriptor]:
    yield from file.enum_types_by_name.values()
    for message in messages(file):
        yield from message.enum_types


OURS = {each.full_name: each for each in messages(DESCRIPTOR)}
THEIRS = {each.full_name: each for file in FILES for each in messages(file)}
THEIR_ENUMS = {each.full_name: each for file in FILES for each in enums(file)}


def on_the_wire(field: FieldDescriptor) -> tuple[object, ...]:
    """All that decides what bytes a field makes and what it means."""
    of_type = field.message_type or field.enum_type
    return (
        field.name,
        field.number,
        field.type,
        field.is_repeated,
        of_type.full_name if of_type else "",
        field.containing_oneof.name if field.containing_oneof else "",
    )


@pytest.mark.parametrize("name", OURS)
def test_a_message_has_fields_of_the_protocol(name: str) -> None:
    theirs = {on_the_wire(field) for field in THEIRS[name].fields}
    assert {on_the_wire(field) for field in OURS[name].fields} <= theirs


@pytest.mark.parametrize("name", service_pb2.DESCRIPTOR.message_types_by_name)
def test_no_field_of_a_request_or_response_is_left_out(name: str) -> None:
    full = f"inference.{name}"
    assert {on_the_wire(field) for field in OURS[full].fields} == {on_the_wire(field) for field in THEIRS[full].fields}


def test_enums_have_the_values_of_the_protocol() -> None:
    for enum in enums(DESCRIPTOR):
        theirs = THEIR_ENUMS[enum.full_name]
        assert {each.name: each.number for each in enum.values} == {each.name: each.number for each in theirs.values}


def test_the_service_has_the_calls_of_the_protocol() -> None:
    theirs = service_pb2.DESCRIPTOR.services_by_name[SERVICE.name]
    assert SERVICE.full_name == theirs.full_name

    def calls(service):
        return {
            (
                each.name,
                each.input_type.full_name,
                each.output_type.full_name,
                each.client_streaming,
                each.server_streaming,
            )
            for each in service.methods
        }

    assert calls(SERVICE) == calls(theirs)
    assert len(SERVICE.methods) == 20


def test_what_one_side_writes_the_other_reads() -> None:
    theirs = service_pb2.ModelInferRequest(model_name="chest", id="7", raw_input_contents=[b"levels"])
    theirs.parameters["priority"].uint64_param = 1
    theirs.inputs.add(name="image", datatype="UINT8", shape=[2, 3])
    ours = inference.ModelInferRequest.FromString(theirs.SerializeToString())
    assert type(ours) is not type(theirs)
    assert service_pb2.ModelInferRequest.FromString(ours.SerializeToString()) == theirs
