"""Every stored graph against PyTorch, before a bundle is let out."""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import onnx
import onnxruntime
import torch
from onnxruntime.capi.onnxruntime_pybind11_state import (
    Fail,
    InvalidArgument,
    InvalidGraph,
    NotImplemented,  # noqa: A004 - its name
    RuntimeException,
)
from torch import Tensor

from medxgan.export.comparison import (
    GRADIENT,
    HALF,
    VALUE,
    Output,
    measured_tolerance,
    measured_value_tolerance,
    require_agreement,
    require_variation,
)
from medxgan.export.errors import VerificationError
from medxgan.export.freezing import frozen
from medxgan.export.programs import read_program
from medxgan.export.step_verification import Course, Runner, verify_step
from medxgan.export.trials import OF_ALL_ROWS, THOROUGH, Trials, effort, inverted, steps
from medxgan.training.model import TrainedModel
from medxgan.training.networks import ExternalClassifier
from medxgan.training.networks.onnx_ending import cut_ending
from medxgan.training.networks.onnx_module import OnnxModule
from medxgan.v1.bundle_pb2 import (
    GRAPH_FORMAT_ONNX,
    GRAPH_ROLE_INVERSION_STEP,
    Graph,
    GraphRole,
)

INPUT_TYPES = {"tensor(float)": torch.float32, "tensor(float16)": torch.float16, "tensor(double)": torch.float64}
"""Types of a file's input, as ONNX Runtime calls them."""


def verify(model: TrainedModel, graphs: list[Graph], folder: Path) -> None:
    """Check the stored graphs.

    Args:
        model: what they ought to compute.
        graphs: what the folder holds.
        folder: of the graphs.

    Raises:
        VerificationError: a graph disagrees with PyTorch.
    """
    model = replace(
        model,
        preprocess=frozen(model.preprocess),
        classifier=frozen(model.classifier),
        generator=None if model.generator is None else frozen(model.generator),
        encoder=None if model.encoder is None else frozen(model.encoder),
    )
    tried = effort(model.classifier, model.image.height)
    trials: dict[GraphRole, Trials] = {}
    courses: dict[int, Course] = {}
    for graph in graphs:
        run = onnx_runner(graph, folder) if graph.format == GRAPH_FORMAT_ONNX else _program_runner(graph, folder)
        if graph.role == GRAPH_ROLE_INVERSION_STEP:
            for batch in THOROUGH.batches:
                if batch not in courses:
                    courses[batch] = Course(inverted(model), batch, steps(inverted(model), model.image.height))
                verify_step(courses[batch], graph.file, run)
            continue
        if graph.role not in trials:
            trials[graph.role] = Trials(model, graph.role, tried)
        for batch in tried.batches:
            verify_stateless(graph, run, trials[graph.role], batch)


def verify_stateless(graph: Graph, run: Runner, trials: Trials, batch: int) -> None:
    """Check a graph without state at one batch size.

    Where they disagree, PyTorch is compared with double precision: a graph is not blamed for being as far off as
    PyTorch itself is.

    Args:
        graph: its file and outputs.
        run: runs it.
        trials: what it is tried with, and ought to compute.
        batch: rows.

    Raises:
        VerificationError: it disagrees, or gives the same for different inputs.
    """
    computed, expected = [run(each) for each in trials.inputs(batch)], trials.expected(batch)
    for name in (each.name for each in graph.outputs):
        output = Output(graph.file, name, batch)
        # A box is of all rows of a batch, so that there is one for each draw.
        join = torch.stack if name in OF_ALL_ROWS else torch.cat
        found = join([each[name] for each in computed])
        wanted = join([each[name] for each in expected])
        largest = wanted.reshape(len(wanted), -1).abs().amax(1).reshape(-1, *[1] * (wanted.ndim - 1))
        is_gradient = name.endswith(("gradient", "gradients"))
        # Pictures, latent codes and logits are all of the order of 1.
        scale = largest if is_gradient else largest.clamp_min(1)
        try:
            require_agreement(output, found, wanted, scale, GRADIENT if is_gradient else VALUE)
        except VerificationError:
            measured = measured_tolerance if is_gradient else measured_value_tolerance
            precise = join([each[name] for each in trials.exact(batch)])
            tolerance = measured(wanted[: len(precise)], precise, scale[: len(precise)])
            require_agreement(output, found, wanted, scale, tolerance)
        # Where nothing but a mean and a linear layer follows the activations, their gradient is rightly constant.
        if name != "activation_gradients":
            require_variation(output, found, largest, "the input")


def verify_conversion(file: Path, classifier: ExternalClassifier, image_size: int) -> None:
    """Check a network that was converted from an ONNX file against ONNX Runtime on the file itself.

    Args:
        file: the ONNX file.
        classifier: holds the network.
        image_size: side S of x in pixels.

    Raises:
        VerificationError: they disagree, or ONNX Runtime can't run the file.
    """
    network = frozen(classifier.network)
    if not isinstance(network, OnnxModule):
        raise TypeError(f"{file}: expected a network that was converted from it")
    random = torch.Generator().manual_seed(0)
    pictures = effort(classifier, image_size).draws
    output = Output(file.name, "of the file itself", pictures)
    try:
        session = onnxruntime.InferenceSession(_comparable(file), _options(), providers=["CPUExecutionProvider"])
        (graph_input,) = session.get_inputs()
        if graph_input.type not in INPUT_TYPES:
            claim = f"can't be compared: it takes {graph_input.type}, which has no form in NumPy"
            raise VerificationError(file.name, output.tensor, pictures, float("nan"), 0.0, claim)
        # A file may be made for so many pictures at a time, and may say nothing of its shapes.
        stated = next(iter(graph_input.shape), None)
        batch = stated if isinstance(stated, int) else pictures
        batches = [
            torch.randn(batch, classifier.channels, *[classifier.picture_size] * 2, generator=random)
            for _ in range(math.ceil(pictures / batch))
        ]
        kind = INPUT_TYPES[graph_input.type]
        results = [
            session.run(None, {graph_input.name: network.as_the_file_takes(each).to(kind).numpy()})[0]
            for each in batches
        ]
        expected = torch.cat([torch.from_numpy(each) for each in results]).float()
    except (Fail, InvalidArgument, InvalidGraph, NotImplemented, RuntimeException) as error:
        reason = str(error).strip().splitlines()[0]
        raise VerificationError(
            file.name, output.tensor, pictures, float("nan"), 0.0, f"ONNX Runtime can't run it: {reason}"
        ) from error
    with torch.no_grad():
        computed = torch.cat([network(each) for each in batches])
    largest = expected.reshape(len(expected), -1).abs().amax(1).clamp_min(1).reshape(-1, *[1] * (expected.ndim - 1))
    require_agreement(output, computed, expected, largest, HALF if network.half_precision else VALUE)


def file_runner(file: Path) -> Runner:
    """Runs a file that is no graph of a bundle, by the names that it has itself.

    Raises:
        VerificationError: ONNX Runtime can't open it. What running it raises is raised as such, too.
    """
    options = _options()
    options.log_severity_level = 3  # that some inputs have defaults is no cause for a warning
    with _refused(file.name):
        session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    run = _runner(session, [each.name for each in session.get_outputs()])

    def run_or_refuse(inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        with _refused(file.name):
            return run(inputs)

    return run_or_refuse


@contextmanager
def _refused(name: str) -> Iterator[None]:
    try:
        yield
    except (Fail, InvalidArgument, InvalidGraph, NotImplemented, RuntimeException) as error:
        reason = str(error).strip().splitlines()[0]
        claim = f"ONNX Runtime can't run it: {reason}"
        raise VerificationError(name, "of the file", 1, float("nan"), 0.0, claim) from error


def _comparable(file: Path) -> str | bytes:
    """The file for ONNX Runtime; where it ends in probabilities, without that end."""
    model, ending = cut_ending(onnx.load(file))
    return str(file) if ending is None else model.SerializeToString()


def onnx_runner(graph: Graph, folder: Path) -> Runner:
    """Runs an ONNX graph by the names that its description states."""
    session = onnxruntime.InferenceSession(folder / graph.file, _options(), providers=["CPUExecutionProvider"])
    return _runner(session, [each.name for each in graph.outputs])


def _runner(session: onnxruntime.InferenceSession, names: list[str]) -> Runner:
    """Runs a graph for the outputs of these names."""

    def run(inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        outputs = session.run(names, {name: value.numpy() for name, value in inputs.items()})
        return {name: torch.from_numpy(value) for name, value in zip(names, outputs, strict=True)}

    return run


def _options() -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    # PyTorch and ONNX Runtime take turns: a thread that waits leaves its core to the other's.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def _program_runner(graph: Graph, folder: Path) -> Runner:
    """Runs a `torch.export` program, whose tensors have the order of its description instead of names."""
    program = read_program(graph, folder).module()

    def run(inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        outputs = program(*(inputs[each.name] for each in graph.inputs))
        return {each.name: value for each, value in zip(graph.outputs, outputs, strict=True)}

    return run
