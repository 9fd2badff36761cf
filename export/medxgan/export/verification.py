"""Every stored graph against PyTorch, before a bundle is let out."""

import copy
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
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
    require_agreement,
    require_variation,
)
from medxgan.export.errors import VerificationError
from medxgan.export.freezing import frozen
from medxgan.export.programs import read_program
from medxgan.export.reference import reference_attribution, reference_closing, reference_opening
from medxgan.export.step_verification import Inverted, Runner, likely_images, verify_step
from medxgan.training.model import TrainedModel
from medxgan.training.networks import ExternalClassifier
from medxgan.training.networks.onnx_ending import cut_ending
from medxgan.training.networks.onnx_module import OnnxModule
from medxgan.v1.bundle_pb2 import (
    GRAPH_FORMAT_ONNX,
    GRAPH_ROLE_ATTRIBUTION,
    GRAPH_ROLE_CLASSIFIER,
    GRAPH_ROLE_CLOSE,
    GRAPH_ROLE_GENERATOR,
    GRAPH_ROLE_INVERSION_STEP,
    GRAPH_ROLE_OPEN,
    Graph,
    GraphRole,
)

BATCHES = (1, 3, 8)

DRAWS = 10
"""Batches of each size that a graph without state is tried with."""

EXACT_DRAWS = 3
"""Those of them that PyTorch's own error is measured with, where it has to be."""

INPUT_TYPES = {"tensor(float)": torch.float32, "tensor(float16)": torch.float16, "tensor(double)": torch.float64}
"""Types of a file's input, as ONNX Runtime calls them."""

Draw = Callable[[int, torch.Generator], dict[str, Tensor]]
"""Inputs of a graph: from the batch and a source of randomness."""


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
    for graph in graphs:
        run = _onnx_runner(graph, folder) if graph.format == GRAPH_FORMAT_ONNX else _program_runner(graph, folder)
        for batch in BATCHES:
            if graph.role == GRAPH_ROLE_INVERSION_STEP:
                verify_step(_inverted(model), graph.file, run, batch)
            else:
                reference, exact = _reference(model, graph), None
                if graph.role == GRAPH_ROLE_ATTRIBUTION:
                    exact = partial(_in_double_precision, model)
                verify_stateless(graph.file, run, _draw(model, graph.role), reference, batch, exact)


def verify_stateless(
    graph: str, run: Runner, draw: Draw, reference: Runner, batch: int, exact: Runner | None = None
) -> None:
    """Check a graph without state at one batch size.

    Args:
        graph: file name, for messages.
        run: runs the stored graph.
        draw: makes its inputs.
        reference: what it ought to compute.
        batch: rows.
        exact: what it ought to compute, in double precision. It is asked where a gradient disagrees: a graph is not
            blamed for being as far off as PyTorch itself is.

    Raises:
        VerificationError: it disagrees, or gives the same for different inputs.
    """
    random = torch.Generator().manual_seed(batch)
    inputs = [draw(batch, random) for _ in range(DRAWS)]
    computed = [run(each) for each in inputs]
    expected = [reference(each) for each in inputs]
    for name in expected[0]:
        output = Output(graph, name, batch)
        # A box is of all rows of a batch, so that there is one for each draw.
        join = torch.stack if name == "box" else torch.cat
        found = join([each[name] for each in computed])
        wanted = join([each[name] for each in expected])
        largest = wanted.reshape(len(wanted), -1).abs().amax(1).reshape(-1, *[1] * (wanted.ndim - 1))
        if name.endswith(("gradient", "gradients")):
            try:
                require_agreement(output, found, wanted, largest, GRADIENT)
            except VerificationError:
                if exact is None:
                    raise
                precise = torch.cat([exact(each)[name] for each in inputs[:EXACT_DRAWS]])
                tolerance = measured_tolerance(wanted[: len(precise)], precise, largest[: len(precise)])
                require_agreement(output, found, wanted, largest, tolerance)
            # Where nothing but a mean and a linear layer follows the activations, their gradient is rightly constant.
            if name != "activation_gradients":
                require_variation(output, found, largest, "the input")
        else:
            # Pictures, latent codes and logits are all of the order of 1.
            require_agreement(output, found, wanted, largest.clamp_min(1), VALUE)
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
    output = Output(file.name, "of the file itself", DRAWS)
    network = frozen(classifier.network)
    if not isinstance(network, OnnxModule):
        raise TypeError(f"{file}: expected a network that was converted from it")
    random = torch.Generator().manual_seed(0)
    x = torch.randn(DRAWS, classifier.channels, image_size, image_size, generator=random)
    try:
        session = onnxruntime.InferenceSession(_comparable(file), _options(), providers=["CPUExecutionProvider"])
        (graph_input,) = session.get_inputs()
        rows = torch.split(x, graph_input.shape[0] if isinstance(graph_input.shape[0], int) else DRAWS)
        whole = [each for each in rows if len(each) == len(rows[0])]
        kind = INPUT_TYPES[graph_input.type]
        expected = torch.cat(
            [
                torch.from_numpy(
                    session.run(None, {graph_input.name: network.as_the_file_takes(each).to(kind).numpy()})[0]
                )
                for each in whole
            ]
        ).float()
    except (Fail, InvalidArgument, InvalidGraph, NotImplemented, RuntimeException) as error:
        reason = str(error).strip().splitlines()[0]
        raise VerificationError(
            file.name, output.tensor, DRAWS, float("nan"), 0.0, f"ONNX Runtime can't run it: {reason}"
        ) from error
    with torch.no_grad():
        computed = network(x[: len(expected)])
    largest = expected.reshape(len(expected), -1).abs().amax(1).clamp_min(1).reshape(-1, *[1] * (expected.ndim - 1))
    require_agreement(output, computed, expected, largest, HALF if network.half_precision else VALUE)


def _comparable(file: Path) -> str | bytes:
    """The file for ONNX Runtime; where it ends in probabilities, without that end."""
    model, ending = cut_ending(onnx.load(file))
    return str(file) if ending is None else model.SerializeToString()


def _draw(model: TrainedModel, role: GraphRole) -> Draw:
    """What a graph of this role is tried with."""

    def levels(batch: int, random: torch.Generator) -> dict[str, Tensor]:
        height, width = torch.randint(model.image.height // 2, 4 * model.image.height, (2,), generator=random).tolist()
        depth = 255 if height % 2 else 65535
        return {
            "image": torch.randint(0, depth, (batch, 1, height, width), generator=random).float(),
            "inverted": torch.randint(0, 2, (batch,), generator=random).float(),
            "pixel_aspect": 0.5 + 1.5 * torch.rand(1, generator=random),
        }

    def code(batch: int, random: torch.Generator) -> dict[str, Tensor]:
        generator = _inverted(model).generator
        return {"z": torch.randn(batch, generator.z1_size + generator.z2_size, generator=random)}

    def picture(batch: int, random: torch.Generator) -> dict[str, Tensor]:
        if model.generator is None:
            return {"x": drawn_images(model.image.height, batch, random)}
        return {"x": likely_images(model.generator, batch, random)}

    def explained(batch: int, random: torch.Generator) -> dict[str, Tensor]:
        inputs, outputs = picture(batch, random), len(model.classification.outputs)
        if outputs > 1:
            target = torch.randint(outputs, (batch,), generator=random)
            inputs["target"] = torch.nn.functional.one_hot(target, outputs).float()
        return inputs

    draws: dict[GraphRole, Draw] = {
        GRAPH_ROLE_OPEN: levels,
        GRAPH_ROLE_GENERATOR: code,
        GRAPH_ROLE_CLOSE: lambda batch, random: picture(batch, random) | code(batch, random),
        GRAPH_ROLE_ATTRIBUTION: explained,
    }
    return draws.get(role, picture)


def drawn_images(size: int, batch: int, random: torch.Generator) -> Tensor:
    """[B, 1, S, S] in [-1, 1]: random patches of grey, with some noise."""
    patches = torch.randn(batch, 1, 6, 6, generator=random)
    smooth = torch.nn.functional.interpolate(patches, (size, size), mode="bicubic")
    return (0.6 * smooth + 0.1 * torch.randn(smooth.shape, generator=random)).clamp(-1, 1)


def _inverted(model: TrainedModel) -> Inverted:
    if model.generator is None or model.inversion is None:
        raise ValueError("a generator's graph of a model without generator")
    return Inverted(model.generator, model.classifier, model.inversion)


def _reference(model: TrainedModel, graph: Graph) -> Runner:
    """What a graph ought to compute."""

    def scored(inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {"logit": model.classifier(inputs["x"]), "outputs": model.classifier.outputs(inputs["x"])}

    def generated(inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        image = _inverted(model).generator(inputs["z"])
        return {"image": image, "logit": model.classifier(image)}

    def attributed(inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        outputs = reference_attribution(model.classifier, inputs["x"], inputs.get("target"))
        return {each.name: outputs[each.name] for each in graph.outputs}

    references: dict[GraphRole, Runner] = {
        GRAPH_ROLE_OPEN: lambda inputs: reference_opening(model, **inputs),
        GRAPH_ROLE_CLASSIFIER: scored,
        GRAPH_ROLE_GENERATOR: generated,
        GRAPH_ROLE_CLOSE: lambda inputs: reference_closing(_inverted(model).generator, model.classifier, **inputs),
        GRAPH_ROLE_ATTRIBUTION: attributed,
    }
    return references[graph.role]


def _in_double_precision(model: TrainedModel, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The attribution by PyTorch in double precision."""
    classifier = copy.deepcopy(model.classifier).double()
    target = inputs.get("target")
    return reference_attribution(classifier, inputs["x"].double(), None if target is None else target.double())


def _onnx_runner(graph: Graph, folder: Path) -> Runner:
    """Runs an ONNX graph by the names that its description states."""
    session = onnxruntime.InferenceSession(folder / graph.file, _options(), providers=["CPUExecutionProvider"])
    names = [each.name for each in graph.outputs]

    def run(inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        outputs = session.run(names, {name: value.numpy() for name, value in inputs.items()})
        return {name: torch.from_numpy(value) for name, value in zip(names, outputs, strict=True)}

    return run


def _options() -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return options


def _program_runner(graph: Graph, folder: Path) -> Runner:
    """Runs a `torch.export` program, whose tensors have the order of its description instead of names."""
    program = read_program(graph, folder).module()

    def run(inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        outputs = program(*(inputs[each.name] for each in graph.inputs))
        return {each.name: value for each, value in zip(graph.outputs, outputs, strict=True)}

    return run
