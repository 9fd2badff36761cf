"""The part of an ONNX graph that some of its outputs need.

ONNX Runtime computes a whole graph whichever outputs are fetched: `RunOptions.only_execute_path_to_fetches` has an
effect in its training builds alone. A session of its own for a part does less work and is fused better.
"""

from collections.abc import Collection, Iterator
from pathlib import Path

import onnx


def prune(file: Path, outputs: Collection[str]) -> bytes:
    """Leave out what these outputs do not need. Every input stays.

    Args:
        file: an ONNX graph with its weights inside.
        outputs: names of outputs of the graph.

    Returns:
        The ONNX graph with these outputs alone, in the order that the graph has them.
    """
    model = onnx.load(file)
    graph = model.graph
    needed, nodes = set(outputs), []
    for node in reversed(graph.node):
        if not needed.isdisjoint(node.output):
            needed.update(_names_read(node))
            nodes.append(node)
    pruned = onnx.helper.make_graph(
        nodes[::-1],
        graph.name,
        graph.input,
        [output for output in graph.output if output.name in outputs],
        [weight for weight in graph.initializer if weight.name in needed],
    )
    for node in pruned.node:
        _drop_unread_indices(node, needed)
    model.graph.CopyFrom(pruned)
    return model.SerializeToString()


def _names_read(node: onnx.NodeProto) -> Iterator[str]:
    yield from node.input
    for attribute in node.attribute:
        # The branches of an If and the body of a Loop read the names of the graph around them.
        for graph in (attribute.g, *attribute.graphs):
            yield from (output.name for output in graph.output)
            for inner in graph.node:
                yield from _names_read(inner)


def _drop_unread_indices(node: onnx.NodeProto, needed: Collection[str]) -> None:
    # ONNX Runtime's fast layout for convolutions ends at a MaxPool that gives indices, read or not.
    if node.op_type == "MaxPool" and len(node.output) == 2 and node.output[1] not in needed:
        del node.output[1:]
