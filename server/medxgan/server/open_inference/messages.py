"""The messages of the Open Inference Protocol, in a pool of their own.

Clients of Triton register messages of these names with the process's pool, which takes each name once: with classes of
a private pool this server and such a client live in one process.
"""

from importlib.resources import files
from types import SimpleNamespace
from typing import TYPE_CHECKING

from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper
from google.protobuf.message_factory import GetMessageClass

__all__ = ["DESCRIPTOR", "SERVICE", "inference"]

_POOL = DescriptorPool()
_SET = FileDescriptorSet.FromString(files("medxgan.open_inference").joinpath("descriptors.binpb").read_bytes())
for _file in _SET.file:
    _POOL.AddSerializedFile(_file.SerializeToString())  # type: ignore[no-untyped-call]

DESCRIPTOR: FileDescriptor = _POOL.FindFileByName(_SET.file[0].name)  # type: ignore[no-untyped-call]
SERVICE = DESCRIPTOR.services_by_name["GRPCInferenceService"]

if TYPE_CHECKING:
    from medxgan.open_inference import open_inference_pb2 as inference
else:
    inference = SimpleNamespace(
        **{name: GetMessageClass(each) for name, each in DESCRIPTOR.message_types_by_name.items()},
        **{name: EnumTypeWrapper(each) for name, each in DESCRIPTOR.enum_types_by_name.items()},
    )
    """The messages and enums by name: `inference.ModelInferRequest`."""
