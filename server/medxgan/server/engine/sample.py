"""One row of blank inputs for a graph, with which an engine warms up."""

import numpy as np

from medxgan.server.engine.port import FloatArray
from medxgan.v1 import bundle_pb2


def sample_inputs(graph: bundle_pb2.Graph, side: int) -> dict[str, FloatArray]:
    """Ones for every input of the graph: a ratio of 0, such as a pixel's aspect, would be no input.

    Args:
        graph: the graph, as the bundle states it.
        side: extent in pixels of the axes that the graph leaves open, other than the batch.
    """
    return {tensor.name: np.ones(_one_row(tensor, side), np.float32) for tensor in graph.inputs}


def _one_row(tensor: bundle_pb2.TensorSpecification, side: int) -> list[int]:
    return [1, *(side if extent == -1 else extent for extent in tensor.shape[1:])]
