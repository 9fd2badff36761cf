"""A bundle's whole explanation as one graph: open, invert, close, judge."""

from collections.abc import Mapping

import numpy as np
from onnx_ir import Graph, Value, tensor
from onnxscript import GraphBuilder

from medxgan.bundle import LoadedBundle
from medxgan.bundle.graphs import REALIZATIONS
from medxgan.export.errors import UnsupportedBundleError
from medxgan.export.one_file.inversion import invert
from medxgan.export.one_file.parts import Operators, Parts
from medxgan.export.one_file.problem import Problem
from medxgan.export.one_file.tensors import declare_inputs, described_outputs
from medxgan.export.one_file.verdict import Measured, judge
from medxgan.export.onnx_graphs import OPSET
from medxgan.v1.bundle_pb2 import GRAPH_ROLE_CLOSE, GRAPH_ROLE_OPEN, Bundle, LatentSpecification


def explanation_graph(bundle: LoadedBundle, *, with_defaults: bool = True) -> Graph:
    """One image's explanation.

    Args:
        bundle: a bundle that passed `load_bundle`.
        with_defaults: whether a caller may leave settings out, to have those of the bundle.

    Raises:
        UnsupportedBundleError: it has no generator.
    """
    description = bundle.description
    if not bundle.has_generator:
        raise UnsupportedBundleError(f"{description.name}/{description.version} has no generator to invert")
    builder = GraphBuilder(Graph([], [], nodes=[], opset_imports={"": OPSET}, name="explain"))
    op = builder.op
    parts = Parts(bundle, builder)
    given = declare_inputs(builder, description.inversion, with_defaults=with_defaults)

    opened = parts.call(op, GRAPH_ROLE_OPEN, given)
    probability = op.Sigmoid(opened["logit"])
    constants = {
        "image": opened["x"],
        "target": probability,
        "learning_rate": _rates(op, given["learning_rate"], description, guessed="z" in opened),
        "reconstruction_weight": given["reconstruction_weight"],
    }
    latent = description.latent
    problem = Problem(parts, constants, latent.z1_size + latent.z2_size)
    found = invert(op, problem, description.inversion, opened.get("z") or _start(op, latent), given["steps"])

    closed = parts.call(op, GRAPH_ROLE_CLOSE, {"x": opened["x"], "z": found.z})
    probabilities = {f"{name}_probability": op.Sigmoid(closed[f"{name}_logit"]) for name in REALIZATIONS}
    difference = op.Sub(closed["reconstruction"], closed["negative_realization"])
    error = op.Sub(closed["reconstruction"], opened["x"])
    mse = op.ReduceMean(op.Mul(error, error), [1, 2, 3], keepdims=0)
    measured = Measured(
        unfamiliarity=opened.get("unfamiliarity"),
        image=probability,
        **{name: probabilities[f"{name}_probability"] for name in REALIZATIONS},
        reconstruction_mse=mse,
        difference_peak=op.ReduceMax(op.Abs(difference), [1, 2, 3], keepdims=0),
    )
    verdict, reasons = judge(op, measured, description)
    made = {
        "x": opened["x"],
        "box": opened["box"],
        "probability": probability,
        **({"unfamiliarity": opened["unfamiliarity"]} if "unfamiliarity" in opened else {}),
        **{name: closed[name] for name in REALIZATIONS},
        **probabilities,
        "difference": difference,
        "reconstruction_mse": mse,
        "classification_loss": _cross_entropy(op, closed["reconstruction_logit"], probability),
        "steps_taken": found.steps_taken,
        "z": found.z,
        "verdict": verdict,
        "reasons": reasons,
    }
    _give(op, builder, made, description)
    return builder.graph


def _rates(op: Operators, learning_rate: Value, bundle: Bundle, *, guessed: bool) -> Value:
    """[1, D] a learning rate for each latent: where an encoder guessed it, z2 has the bundle's share of it."""
    shares = np.ones((1, bundle.latent.z1_size + bundle.latent.z2_size), np.float32)
    if guessed and bundle.inversion.HasField("pathology_rate"):
        shares[:, bundle.latent.z1_size :] = bundle.inversion.pathology_rate
    return op.Mul(learning_rate, op.Constant(value=tensor(shares)))


def _start(op: Operators, latent: LatentSpecification) -> Value:
    """[1, D] where an inversion without a guess starts on the server when nobody names a seed."""
    z = np.zeros((1, latent.z1_size + latent.z2_size), np.float32)
    z[0, latent.z1_size :] = np.random.Generator(np.random.Philox(0)).standard_normal(latent.z2_size, np.float32)
    return op.Constant(value=tensor(z))


def _cross_entropy(op: Operators, logit: Value, target: Value) -> Value:
    """[1] in nats, for logits of any size."""
    linear = op.Sub(op.Max(logit, 0.0), op.Mul(logit, target))
    return op.Add(linear, op.Log(op.Add(op.Exp(op.Neg(op.Abs(logit))), 1.0)))


def _give(op: Operators, builder: GraphBuilder, made: Mapping[str, Value], bundle: Bundle) -> None:
    """Name the outputs, and say what each is."""
    stated = described_outputs(bundle)
    for name, value in made.items():
        # Some values are needed on the way, too: an output is a value of its own.
        output = op.Identity(value)
        output.dtype, output.shape, output.doc_string = stated[name].dtype, stated[name].shape, stated[name].meaning
        builder.add_output(output, name)
