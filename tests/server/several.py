"""A bundle written by hand, without a generator, whose linear classifier W · x has three outputs."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import onnx
from tests.server.linear import linear_bundle

from medxgan.bundle.schema import DESCRIPTION_FILE, description_json
from medxgan.server.engine.port import FloatArray
from medxgan.v1 import bundle_pb2
from medxgan.v1.bundle_pb2 import GraphRole

CLASSES = ("effusion", "nodule", "clear")
PIXELS = 32
WEIGHTS = "linear.bin"

# The film stretched to 32 x 32 and from its least to its greatest level; `linear_weights` weigh x.
OPEN = """
    <ir_version: 9, opset_import: ["" : 18]>
    open (float[B, 1, H, W] image, float[B] inverted, float[1] pixel_aspect)
        => (float[B, 1, 32, 32] x, float[4] box, float[B] logit)
        <float[3, 1024] w, int64[2] flat = {0, -1}, int64[1] p = {1}, int64[2] others = {0, 2}, int64[1] one = {1},
         float[1] two = {2}, float[1] unit = {1}, int64[2] size = {32, 32}, float[2] corner = {0, 0},
         int64[4] each = {-1, 1, 1, 1}, int64[3] pixels = {1, 2, 3}> {
        sized = Resize <mode = "linear", axes = [2, 3]> (image, , , size)
        least = ReduceMin <keepdims = 1> (sized, pixels)
        greatest = ReduceMax <keepdims = 1> (sized, pixels)
        above = Sub(sized, least)
        span = Sub(greatest, least)
        share = Div(above, span)
        doubled = Mul(share, two)
        upright = Sub(doubled, unit)
        turned = Mul(inverted, two)
        signs = Sub(unit, turned)
        sign = Reshape(signs, each)
        x = Mul(upright, sign)
        extent = Shape <start = 2> (image)
        edges = Cast <to = 1> (extent)
        box = Concat <axis = 0> (corner, edges)
        rows = Reshape(x, flat)
        wt = Transpose <perm = [1, 0]> (w)
        outputs = MatMul(rows, wt)
        positive = Gather <axis = 1> (outputs, p)
        rest = Gather <axis = 1> (outputs, others)
        against = ReduceLogSumExp <keepdims = 1> (rest, one)
        odds = Sub(positive, against)
        logit = Squeeze(odds, one)
    }"""

CLASSIFIER = """
    <ir_version: 9, opset_import: ["" : 18]>
    classifier (float[B, 1, 32, 32] x) => (float[B] logit, float[B, 3] outputs)
        <float[3, 1024] w, int64[2] flat = {0, -1}, int64[1] p = {1}, int64[2] others = {0, 2}, int64[1] one = {1}> {
        rows = Reshape(x, flat)
        wt = Transpose <perm = [1, 0]> (w)
        outputs = MatMul(rows, wt)
        positive = Gather <axis = 1> (outputs, p)
        rest = Gather <axis = 1> (outputs, others)
        against = ReduceLogSumExp <keepdims = 1> (rest, one)
        odds = Sub(positive, against)
        logit = Squeeze(odds, one)
    }"""

# Activations of 1 x 1, which no other graph has: a test can tell which of the two ran.
ACTIVATIONS = """
    <ir_version: 9, opset_import: ["" : 18]>
    activations (float[B, 1, 32, 32] x, float[B, 3] target)
        => (float[B] logit, float[B, 1, 1, 1] activations, float[B, 1, 1, 1] activation_gradients)
        <float[3, 1024] w, int64[2] flat = {0, -1}, int64[1] one = {1}, int64[4] shape = {-1, 1, 1, 1}> {
        rows = Reshape(x, flat)
        chosen = MatMul(target, w)
        products = Mul(rows, chosen)
        logit = ReduceSum <keepdims = 0> (products, one)
        activations = Reshape(logit, shape)
        activation_gradients = Div(activations, activations)
    }"""

ATTRIBUTION = """
    <ir_version: 9, opset_import: ["" : 18]>
    attribution (float[B, 1, 32, 32] x, float[B, 3] target)
        => (float[B] logit, float[B, 1, 32, 32] gradient, float[B, 1, 32, 32] activations,
            float[B, 1, 32, 32] activation_gradients, float[B, 1, 32, 32] guided_gradient)
        <float[3, 1024] w, int64[2] flat = {0, -1}, int64[1] one = {1}> {
        rows = Reshape(x, flat)
        chosen = MatMul(target, w)
        products = Mul(rows, chosen)
        logit = ReduceSum <keepdims = 0> (products, one)
        shape = Shape(x)
        gradient = Reshape(chosen, shape)
        activations = Identity(x)
        activation_gradients = Identity(gradient)
        guided_gradient = Relu(gradient)
    }"""


def write_bundle(folder: Path, weights: FloatArray) -> None:
    """Write the bundle several/1 into a folder.

    Args:
        folder: several/1, which does not exist yet.
        weights: [3, S·S] of the classifier.
    """
    folder.mkdir(parents=True)
    weights.astype("<f4").tofile(folder / WEIGHTS)
    bundle = linear_bundle()
    bundle.name = "several"
    for part in ("latent", "inversion", "reliability"):
        bundle.ClearField(part)
    bundle.image.height = bundle.image.width = PIXELS
    del bundle.classification.outputs[:]
    for name in CLASSES:
        bundle.classification.outputs.add(name=name)
    bundle.classification.activation = bundle_pb2.OUTPUT_ACTIVATION_SOFTMAX
    bundle.classification.positive_class = "nodule"
    bundle.data_files.add(file=WEIGHTS, sha256=hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest())
    for role, file, text in (
        (bundle_pb2.GRAPH_ROLE_OPEN, "open.onnx", OPEN),
        (bundle_pb2.GRAPH_ROLE_CLASSIFIER, "classifier.onnx", CLASSIFIER),
        (bundle_pb2.GRAPH_ROLE_ATTRIBUTION, "activations.onnx", ACTIVATIONS),
        (bundle_pb2.GRAPH_ROLE_ATTRIBUTION, "attribution.onnx", ATTRIBUTION),
    ):
        model = onnx.parser.parse_model(text)
        model.graph.initializer.append(_stored_weights(weights.shape))
        onnx.save(model, folder / file)
        onnx.checker.check_model(str(folder / file))
        bundle.graphs.append(_stated(model, role, folder / file))
    (folder / DESCRIPTION_FILE).write_text(description_json(bundle))


def _stored_weights(shape: Sequence[int]) -> onnx.TensorProto:
    """The weights w, where they are stored for all graphs."""
    tensor = onnx.TensorProto(name="w", dims=shape, data_type=onnx.TensorProto.FLOAT)
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=WEIGHTS)
    return tensor


def _stated(model: onnx.ModelProto, role: GraphRole, file: Path) -> bundle_pb2.Graph:
    """What the bundle states of a graph."""

    def tensors(values: Sequence[onnx.ValueInfoProto]) -> list[bundle_pb2.TensorSpecification]:
        return [
            bundle_pb2.TensorSpecification(
                name=value.name,
                data_type=bundle_pb2.DATA_TYPE_FLOAT32,
                shape=[axis.dim_value or -1 for axis in value.type.tensor_type.shape.dim],
            )
            for value in values
        ]

    return bundle_pb2.Graph(
        role=role,
        format=bundle_pb2.GRAPH_FORMAT_ONNX,
        file=file.name,
        sha256=hashlib.sha256(file.read_bytes()).hexdigest(),
        opset=18,
        inputs=tensors(model.graph.input),
        outputs=tensors(model.graph.output),
    )
