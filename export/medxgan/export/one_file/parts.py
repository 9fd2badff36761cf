"""A bundle's graphs as parts of a larger one, each weight stored once."""

from collections.abc import Mapping
from typing import Any

import onnx_ir
from onnx_ir import Function, TensorProtocol, Value
from onnx_ir.convenience import replace_all_uses_with
from onnxscript import GraphBuilder

from medxgan.bundle import LoadedBundle
from medxgan.v1.bundle_pb2 import GraphRole

Operators = Any
"""ONNX's operators by name, as onnxscript's `OpBuilder`: a call adds a node to a graph, or to the body of a loop."""


class Parts:
    """The graphs of a bundle, put into one.

    Args:
        bundle: a bundle that passed `load_bundle`.
        whole: builds the graph that they become parts of, and that holds their weights.
    """

    def __init__(self, bundle: LoadedBundle, whole: GraphBuilder) -> None:
        self._bundle = bundle
        self._whole = whole
        self._weights: dict[tuple[object, ...], Value] = {}

    def call(self, op: Operators, role: GraphRole, inputs: Mapping[str, Value]) -> dict[str, Value]:
        """Put a graph's nodes where `op` adds them.

        Args:
            op: of the whole graph, or of the body of a loop in it.
            role: of the graph; of several, of the one with all outputs.
            inputs: all of its inputs by name.

        Returns:
            Its outputs by name.
        """
        graph = onnx_ir.load(self._bundle.folder / self._bundle.whole_graph(role).file).graph
        for initializer in graph.initializers.values():
            if initializer.const_value is not None:
                replace_all_uses_with(initializer, self._weight(initializer.const_value))
        names = [str(output.name) for output in graph.outputs]
        name = GraphRole.Name(role).removeprefix("GRAPH_ROLE_").lower()
        arguments = [inputs[str(value.name)] for value in graph.inputs]
        outputs = op.call_inline(Function("medxgan", name, graph=graph, attributes={}), *arguments)
        return dict(zip(names, outputs, strict=True))

    def _weight(self, tensor: TensorProtocol) -> Value:
        key = (tensor.dtype, tuple(tensor.shape), tensor.tobytes())
        if key not in self._weights:
            self._weights[key] = self._whole.initializer(tensor, f"weight_{len(self._weights)}", qualify=False)
        return self._weights[key]
