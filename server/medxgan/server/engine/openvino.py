"""What OpenVINO needs of a graph and is told of how to run it.

Its plugin for the CPU keeps the weights of a convolution in an order of its own, and finds them again by where they lay
and by their shape. A gradient reads a layer's weights forwards in a Conv and backwards in a ConvTranspose, or the other
way round; where there are as many channels on both sides, the second is given what was made for the first, and the
gradient is wrong by as much as it is large, while the losses are right (OpenVINO 2025.4.1, in ONNX Runtime 1.24).
So each of the two gets weights of its own.
"""

from pathlib import Path

from medxgan.server.engine.settings import EngineSettings
from medxgan.server.errors import UnsupportedError
from medxgan.v1 import bundle_pb2

_CONVOLUTIONS = ("Conv", "ConvTranspose")
_WEIGHTS = 1
"""Which of their inputs."""


def takes(graph: bundle_pb2.Graph) -> bool:
    """Whether a graph is one for OpenVINO. One that takes films of any size would be compiled anew for each."""
    return graph.role != bundle_pb2.GRAPH_ROLE_OPEN


def options(settings: EngineSettings) -> dict[str, str]:
    """Of the provider. In the graph's own precision: left to itself it takes 16 bits where the processor has them."""
    threads = {"num_of_threads": str(settings.threads)} if settings.threads else {}
    return {"device_type": "CPU", "precision": "ACCURACY", **threads}


def with_weights_apart(file: Path) -> bytes:
    """A graph, its weights within, in which no Conv reads the weights of a ConvTranspose.

    Args:
        file: an ONNX graph; its weights may lie beside it.

    Raises:
        UnsupportedError: the library that rewrites graphs is not installed.
    """
    try:
        import onnx
    except ModuleNotFoundError as error:
        raise UnsupportedError("the provider openvino needs onnx: pip install 'medxgan[server-openvino]'") from error
    model = onnx.load(file)
    weights = {each.name: each for each in model.graph.initializer}
    readers: dict[str, str] = {}
    for node in model.graph.node:
        if node.op_type not in _CONVOLUTIONS or node.input[_WEIGHTS] not in weights:
            continue
        name = node.input[_WEIGHTS]
        if readers.setdefault(name, node.op_type) == node.op_type:
            continue
        own = f"{name}/{node.op_type}"
        if own not in weights:
            weights[own] = onnx.TensorProto()
            weights[own].CopyFrom(weights[name])
            weights[own].name = own
            model.graph.initializer.append(weights[own])
        node.input[_WEIGHTS] = own
    content: bytes = model.SerializeToString()
    return content
