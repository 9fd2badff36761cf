"""What a pass, a step and a gradient cost: processor time on ONNX Runtime, one thread, as served."""

import io
import statistics
import time
from collections.abc import Callable, Mapping

import numpy as np
import onnxruntime
import torch
from time_to_quality import Images, codes, ours_rates, starting
from torch import Tensor, nn

from learned.networks import LearnedStep, ResidualEncoder
from medxgan.bundle import LoadedBundle
from medxgan.server.engine.port import Engine
from medxgan.server.inversion.runs import Runs
from medxgan.server.inversion.solver import concatenate
from medxgan.v1 import bundle_pb2

BLOCK = 8
"""Steps that are timed together."""
REPEATS = 15


class NumberedStep(nn.Module):
    """One of the learned steps."""

    def __init__(self, step: LearnedStep, number: int) -> None:
        super().__init__()
        self.step, self.number = step, number

    def forward(self, gradient: Tensor, losses: Tensor, first_moment: Tensor, second_moment: Tensor) -> Tensor:
        """The code's move and Adam's next moments, [B, 3 D]."""
        return torch.cat(self.step(self.number, gradient, losses, first_moment, second_moment), 1)


def exported(network: nn.Module, inputs: Mapping[str, Tensor]) -> onnxruntime.InferenceSession:
    """A network as ONNX Runtime runs it, compared with PyTorch on these inputs [B, ...], B of any size."""
    rows = torch.export.Dim("rows")
    program = torch.onnx.export(
        network.eval(),
        kwargs=dict(inputs),
        dynamic_shapes={name: {0: rows} for name in inputs},
        input_names=list(inputs),
        dynamo=True,
        verbose=False,
    )
    if program is None:
        raise TypeError("torch.onnx.export returned no program")
    file = io.BytesIO()
    program.save(file)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(file.getvalue(), options, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {name: value.numpy() for name, value in inputs.items()})
    with torch.no_grad():
        np.testing.assert_allclose(found, network(**inputs).numpy(), rtol=1e-3, atol=1e-5)
    return session


def costs(
    engine: Engine, bundle: LoadedBundle, images: Images, encoder: ResidualEncoder, step: LearnedStep, rows: int
) -> dict[str, float]:
    """Milliseconds of processor time for each of `rows` images together, by what is done; medians, taken in turn."""
    alone = Images(images.x[:rows], images.guess[:rows], images.target[:rows], None)
    by_solver = {
        name: Runs(engine, starting(alone, alone.guess, bundle, ours_rates(bundle), solver))
        for name, solver in (("a step of Adam", bundle_pb2.SOLVER_ADAM), ("a step of L-BFGS", bundle_pb2.SOLVER_LBFGS))
    }
    states = starting(alone, alone.guess, bundle, ours_rates(bundle), bundle_pb2.SOLVER_ADAM)
    run, z = engine.start(concatenate(states)), codes(states)
    logit, picture = np.zeros(rows, np.float32), alone.x
    seen = {"x": alone.x, "drawn": picture, "z": z, "wanted": logit, "logit": logit}
    losses = np.full((rows, 2), 0.1, np.float32)
    felt = {"gradient": z, "losses": losses, "first_moment": z, "second_moment": np.square(z)}
    encoding, stepping = (
        exported(network, {name: torch.from_numpy(value) for name, value in inputs.items()})
        for network, inputs in ((encoder, seen), (NumberedStep(step, 0), felt))
    )
    close = {"x": alone.x, "z": z}
    calls: dict[str, tuple[int, Callable[[], object]]] = {
        **{name: (BLOCK, lambda runs=runs: runs.advance(BLOCK)) for name, runs in by_solver.items()},  # type: ignore[misc]
        "a gradient": (1, lambda: run.gradient(z)),
        "a drawing": (1, lambda: engine.run(bundle_pb2.GRAPH_ROLE_GENERATOR, {"z": z})),
        "the encoder of residuals": (1, lambda: encoding.run(None, seen)),
        "a learned move": (1, lambda: stepping.run(None, felt)),
        "CLOSE": (1, lambda: engine.run(bundle_pb2.GRAPH_ROLE_CLOSE, close)),
    }
    return {name: milliseconds / rows for name, milliseconds in _processor_milliseconds(calls).items()}


def _processor_milliseconds(calls: Mapping[str, tuple[int, Callable[[], object]]]) -> dict[str, float]:
    """Of one of what each call does so many of."""
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for repeat in range(REPEATS + 1):
        for name, (count, call) in calls.items():
            before = time.process_time()
            call()
            if repeat:  # the first warms up
                taken[name].append(1000 * (time.process_time() - before) / count)
    return {name: statistics.median(times) for name, times in taken.items()}
