"""A bundle that agrees with itself, whose graphs hold nothing: reading one never opens them."""

import hashlib
from pathlib import Path

import pytest

from medxgan.bundle.graphs import ATTRIBUTION_PARTS, GENERATOR_ROLES, REQUIRED_ROLES, signature
from medxgan.bundle.schema import CARD_FILE, DESCRIPTION_FILE, SCHEMA_VERSION, WEIGHTS_FILE, description_json
from medxgan.v1 import bundle_pb2
from medxgan.v1.bundle_pb2 import GraphRole

SIDE = 32
FLOATS = 100
"""Elements of the weights."""


def stated(role: GraphRole, bundle: bundle_pb2.Bundle, outputs: tuple[str, ...] | None = None) -> bundle_pb2.Graph:
    """A graph with the tensors of its role; of what it may lack, these outputs alone."""
    graph = bundle_pb2.Graph(role=role, format=bundle_pb2.GRAPH_FORMAT_ONNX, opset=18)
    expected = signature(role, bundle)
    for side, shapes in ((graph.inputs, expected.inputs), (graph.outputs, expected.outputs)):
        for name, shape in shapes.items():
            if side is graph.inputs or outputs is None or name in outputs:
                extents = [4 if extent is None else extent for extent in shape]
                side.add(name=name, data_type=bundle_pb2.DATA_TYPE_FLOAT32, shape=extents)
    return graph


def whole_description() -> bundle_pb2.Bundle:
    """With a generator, an encoder, a familiarity of two measures, and every part of the attribution."""
    bundle = bundle_pb2.Bundle(
        schema_version=SCHEMA_VERSION,
        name="tiny",
        version="1",
        image=bundle_pb2.ImageSpecification(
            height=SIDE,
            width=SIDE,
            channels=1,
            lower_percentile=1,
            upper_percentile=99,
            aspect=bundle_pb2.ASPECT_CROP,
            modality="test pattern",
        ),
        classification=bundle_pb2.Classification(
            outputs=[bundle_pb2.ClassifierOutput(name=name) for name in ("lesion", "effusion")],
            activation=bundle_pb2.OUTPUT_ACTIVATION_SOFTMAX,
            positive_class="lesion",
            negative_class="no lesion",
            decision_threshold=0.3,
        ),
        latent=bundle_pb2.LatentSpecification(z1_size=12, z2_size=6),
        inversion=bundle_pb2.InversionSpecification(
            default_steps=40,
            maximum_steps=200,
            default_learning_rate=0.02,
            learning_rate_range=bundle_pb2.Interval(minimum=0.001, maximum=0.2),
            default_reconstruction_weight=4,
            reconstruction_weight_range=bundle_pb2.Interval(minimum=0.5, maximum=32),
            tolerance=0.001,
            check_interval=10,
            beta1=0.5,
            beta2=0.999,
            epsilon=1e-8,
        ),
        reliability=bundle_pb2.Reliability(maximum_reconstruction_mse=0.5, method="chosen by hand"),
        familiarity=bundle_pb2.Familiarity(
            measures=[
                bundle_pb2.FamiliarityMeasure(name=name, maximum=2, description="How unlike it is.")
                for name in ("contrast", "feature_distance")
            ],
            method="chosen by hand",
        ),
        provenance=bundle_pb2.Provenance(data=["none"], license="Apache-2.0", seed=2**60 + 1),
    )
    for role in (*REQUIRED_ROLES, *GENERATOR_ROLES):
        if role != bundle_pb2.GRAPH_ROLE_ATTRIBUTION:
            graph = stated(role, bundle)
            graph.file = GraphRole.Name(role).removeprefix("GRAPH_ROLE_").lower() + ".onnx"
            bundle.graphs.append(graph)
    for index, part in enumerate(ATTRIBUTION_PARTS):
        graph = stated(bundle_pb2.GRAPH_ROLE_ATTRIBUTION, bundle, part)
        graph.file = f"attribution_{index}.onnx"
        bundle.graphs.append(graph)
    program = stated(bundle_pb2.GRAPH_ROLE_INVERSION_STEP, bundle)
    program.format, program.file, program.opset = bundle_pb2.GRAPH_FORMAT_TORCH_EXPORT, "inversion_step.pt2", 0
    program.weights.add(name="generator.weight", shape=[5, FLOATS // 5], file=WEIGHTS_FILE, offset=0)
    bundle.graphs.append(program)
    bundle.data_files.add(file=WEIGHTS_FILE)
    return bundle


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The bundle tiny/1, which the test may spoil."""
    folder = tmp_path / "tiny" / "1"
    folder.mkdir(parents=True)
    bundle = whole_description()
    for named in (*bundle.graphs, *bundle.data_files):
        content = bytes(4 * FLOATS) if named.file == WEIGHTS_FILE else f"the graph {named.file}".encode()
        (folder / named.file).write_bytes(content)
        named.sha256 = hashlib.sha256(content).hexdigest()
    (folder / DESCRIPTION_FILE).write_text(description_json(bundle), encoding="utf-8")
    (folder / CARD_FILE).write_text("# A card\n", encoding="utf-8")
    return folder
