"""Whether an accelerator computes what the CPU does: asked before it answers anybody.

A provider may be wrong and say nothing: by another precision, a faulty kernel, an engine built for another version. So
three pictures go through every graph on both, and the figures that differ most are compared.
"""

from dataclasses import dataclass

import numpy as np

from medxgan.bundle import LoadedBundle
from medxgan.bundle.graphs import STATE
from medxgan.server.engine.port import Engine, FloatArray, InversionState
from medxgan.server.engine.sample import sample_inputs
from medxgan.v1 import bundle_pb2

PICTURES = 3
STEPS = 5
LARGEST_DEVIATION = 1e-2
"""Share of an output's largest magnitude: what half precision does to a map stays below it, a wrong kernel does not."""


@dataclass(frozen=True)
class Deviation:
    """How far two engines are apart.

    Attributes:
        where: the graph and the output that differ most: "GRAPH_ROLE_CLOSE: reconstruction".
        share: largest difference over the output's largest magnitude; infinite where one of them is not finite.
    """

    where: str
    share: float


def largest_deviation(bundle: LoadedBundle, engine: Engine, reference: Engine) -> Deviation:
    """Run every graph of a bundle on both engines.

    Args:
        bundle: that both have opened.
        engine: that is asked about.
        reference: that is believed.
    """
    description, side = bundle.description, bundle.description.image.height
    found = []
    for graph in description.graphs:
        if graph.format != bundle_pb2.GRAPH_FORMAT_ONNX:
            continue
        inputs = [_inputs(graph, side, number) for number in range(PICTURES)]
        if graph.role == bundle_pb2.GRAPH_ROLE_INVERSION_STEP:
            state = InversionState(**{name: np.concatenate([each[name] for each in inputs]) for name in inputs[0]})
            found += _steps(engine, reference, state)
            continue
        names = [output.name for output in graph.outputs]
        for each in inputs:
            ours, theirs = (each_engine.run(graph.role, each, names) for each_engine in (engine, reference))
            role = bundle_pb2.GraphRole.Name(graph.role)
            found += [_deviation(f"{role}: {name}", ours[name], theirs[name]) for name in names]
    return max(found, key=lambda deviation: deviation.share)


def _steps(engine: Engine, reference: Engine, state: InversionState) -> list[Deviation]:
    runs = engine.start(state), reference.start(state)
    (_, ours), (_, theirs) = (run.gradient(state.z) for run in runs)
    found = [_deviation("the gradient", ours, theirs)]
    losses = [run.advance(STEPS) for run in runs]
    ends = [run.state() for run in runs]
    found += [
        _deviation(f"loss after {STEPS} steps", one, other)
        for one, other in zip(vars(losses[0]).values(), vars(losses[1]).values(), strict=True)
    ]
    # Adam makes much of small gradients: of the latents it is the moments that tell.
    found += [
        _deviation(f"{name} after {STEPS} steps", getattr(ends[0], name), getattr(ends[1], name))
        for name in STATE
        if name.endswith("moment")
    ]
    return found


def _inputs(graph: bundle_pb2.Graph, side: int, number: int) -> dict[str, FloatArray]:
    """Smooth pictures, and codes as a prior draws them."""
    random = np.random.default_rng(number)
    rows, columns = np.mgrid[0:side, 0:side] / side
    waves = np.sin((2 + number) * np.pi * rows) * np.cos((3 + number) * np.pi * columns)
    picture = (0.6 * waves + random.normal(0, 0.05, waves.shape)).clip(-1, 1).astype(np.float32)
    inputs = sample_inputs(graph, side)
    for name, values in inputs.items():
        if values.ndim == 4 and values.shape[1] == 1:
            inputs[name] = np.broadcast_to(picture, values.shape).copy()
        elif name in {"z", "negative_z"}:
            inputs[name] = random.standard_normal(values.shape, np.float32)
        elif name in {"inverted", "step", "first_moment", "second_moment"}:
            inputs[name] = np.zeros_like(values)
        elif name == "learning_rate":
            inputs[name] = np.full_like(values, 0.05)
    return inputs


def _deviation(where: str, one: FloatArray, other: FloatArray) -> Deviation:
    if not (np.isfinite(one).all() and np.isfinite(other).all()):
        return Deviation(where, float("inf"))
    scale = max(float(np.abs(other).max(initial=0)), 1e-6)
    return Deviation(where, float(np.abs(one - other).max(initial=0)) / scale)
