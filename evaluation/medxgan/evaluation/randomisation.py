"""The classifier with layers of random weights, in every graph of the bundle that holds it.

The sanity check of Adebayo et al., Sanity Checks for Saliency Maps, NeurIPS 2018: a map that explains a classifier must
change when the classifier forgets what it learned. Layers lose their weights from the output downwards, cumulatively.

The classifier lies in every graph of a bundle, with weights that may be transposed, flipped or reshaped. So a layer is
not given new numbers by position: its distinct values are exchanged for one another, in a random cycle, wherever a
graph holds a tensor of exactly these values. Every copy is then the same arrangement of the same new layer, and the
layer keeps the distribution of its weights.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from medxgan.bundle import LoadedBundle
from medxgan.bundle.hashing import sha256_of
from medxgan.bundle.schema import DESCRIPTION_FILE, description_json
from medxgan.evaluation.errors import SanityError
from medxgan.evaluation.statistics import random_for
from medxgan.v1 import bundle_pb2

LEARNED = frozenset(
    {
        "BatchNormalization",
        "Conv",
        "ConvTranspose",
        "Gemm",
        "GroupNormalization",
        "InstanceNormalization",
        "LayerNormalization",
        "MatMul",
    }
)
"""Operators whose constant operands are learned; those of others (a scaling of x, a shape) are not."""

REARRANGING = frozenset({"Flatten", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze"})
"""Operators that hand a weight on without changing its values."""

MAXIMUM_STAGES = 8
"""A deep classifier is randomised at this many depths, evenly chosen, the last being all of it."""


@dataclass(frozen=True)
class Layer:
    """A layer of the classifier.

    Attributes:
        name: of its first weight, in `classifier.onnx`.
        kind: what it is, in words: "Conv [16, 8, 3, 3]".
        weights: the values of each of its tensors, as they lie there. A tensor of one value repeated is not among them:
            exchanging its values would not change it.
    """

    name: str
    kind: str
    weights: tuple[NDArray[np.float32], ...]


@dataclass(frozen=True)
class Stage:
    """A point of the cascade: the topmost `count` layers are random, down to the one that `lowest` describes."""

    count: int
    lowest: str


def classifier_layers(classifier: onnx.ModelProto) -> list[Layer]:
    """The layers that have weights, from the input to the output."""
    weights = {each.name: numpy_helper.to_array(each) for each in _floats(classifier)}
    origin = {name: name for name in weights}
    layers, seen = [], set()
    for node in classifier.graph.node:
        if node.op_type in REARRANGING and node.input[0] in origin:
            origin[node.output[0]] = origin[node.input[0]]
        if node.op_type not in LEARNED:
            continue
        names = dict.fromkeys(origin[name] for name in node.input if name in origin)
        own = [name for name in names if name not in seen and len(np.unique(weights[name])) > 1]
        seen.update(own)
        if own:
            kind = f"{node.op_type} {list(weights[own[0]].shape)}"
            layers.append(Layer(own[0], kind, tuple(weights[name] for name in own)))
    return layers


def cascade(layers: Sequence[Layer]) -> list[Stage]:
    """The stages, from the output layer alone to all layers: at most `MAXIMUM_STAGES`."""
    count = min(MAXIMUM_STAGES, len(layers))
    depths = np.unique(np.linspace(1, len(layers), count).round().astype(int)) if count else np.zeros(0, int)
    return [Stage(int(depth), layers[-int(depth)].kind) for depth in depths]


def write_randomised(bundle: LoadedBundle, layers: Sequence[Layer], seed: int, folder: Path) -> Path:
    """Write the bundle with random weights in these layers of its classifier.

    Args:
        bundle: the bundle as it is; its ONNX graphs alone are taken over.
        layers: of `classifier_layers`, those to randomise.
        seed: the same seed gives a layer the same random weights at every stage.
        folder: where to make NAME/VERSION/.

    Returns:
        The new bundle's folder.

    Raises:
        SanityError: a graph that must hold the classifier lacks a tensor of these layers.
    """
    out = folder / bundle.description.name / bundle.description.version
    out.mkdir(parents=True)
    description = bundle_pb2.Bundle()
    description.CopyFrom(bundle.description)
    del description.graphs[:]
    del description.data_files[:]
    for stated in bundle.description.graphs:
        if stated.format != bundle_pb2.GRAPH_FORMAT_ONNX:
            continue
        model = onnx.load(bundle.folder / stated.file)
        _randomise(model, layers, seed, stated.file)
        # With the weights inside.
        onnx.save(model, out / stated.file)
        graph = description.graphs.add()
        graph.CopyFrom(stated)
        graph.sha256 = sha256_of(out / stated.file)
    (out / DESCRIPTION_FILE).write_text(description_json(description), encoding="utf-8")
    return out


def _randomise(model: onnx.ModelProto, layers: Sequence[Layer], seed: int, file: str) -> None:
    holding: defaultdict[bytes, list[onnx.TensorProto]] = defaultdict(list)
    for tensor in _floats(model):
        holding[_content(numpy_helper.to_array(tensor))].append(tensor)
    for layer in layers:
        for index, weight in enumerate(layer.weights):
            copies = holding.get(_content(weight))
            if not copies:
                raise SanityError(
                    f"{file}: holds no tensor with the values of the classifier's {layer.name}, {list(weight.shape)}, "
                    "so that its weights can't be randomised in every graph alike; leave the check out by "
                    "--sanity-images 0"
                )
            known, exchanged = _exchange(weight, random_for(seed, "randomisation", layer.name, str(index)))
            for tensor in copies:
                values = exchanged[np.searchsorted(known, numpy_helper.to_array(tensor))]
                tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))


def _content(values: NDArray[np.float32]) -> bytes:
    """A digest of the values, however they are arranged."""
    return hashlib.sha256(np.sort(values, axis=None).tobytes()).digest()


def _exchange(weight: NDArray[np.float32], random: np.random.Generator) -> tuple[NDArray[np.float32], ...]:
    """The distinct values in order, and what each becomes: another one, along one random cycle through all of them."""
    known = np.unique(weight)
    cycle = random.permutation(len(known))
    exchanged = np.empty_like(known)
    exchanged[cycle] = known[np.roll(cycle, 1)]
    return known, exchanged


def _floats(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    return (each for each in model.graph.initializer if each.data_type == onnx.TensorProto.FLOAT)
