"""What a real server says of films and of its models: scores, geometry, notes, descriptions, health."""

import io
from pathlib import Path

import grpc
import numpy as np
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest
from grpc_reflection.v1alpha.reflection_pb2_grpc import ServerReflectionStub
from PIL import Image as PillowImage
from pydicom.data import get_testdata_file
from tests.end_to_end.conftest import wire
from tests.end_to_end.explaining import RANGES, SIZE, arrays, inverting

from medxgan.v1.explanation_pb2 import (
    IMAGE_FORM_DICOM,
    ClassifyRequest,
    ExplainRequest,
    GetModelRequest,
    Image,
    ListModelsRequest,
    MapKind,
    ModelSelector,
    PixelSpacing,
)
from medxgan.v1.explanation_pb2_grpc import ExplanationServiceStub

SERVICE = "medxgan.v1.ExplanationService"


def test_classify_gives_the_score_of_an_explanation(stub: ExplanationServiceStub, images: list[Image]) -> None:
    for image in images:
        answer = stub.Classify(ClassifyRequest(image=image))
        explanation = stub.Explain(ExplainRequest(image=image, settings=inverting(steps=1)))
        assert answer.score == explanation.scores.original
        assert answer.predicted_class == ("lesion" if answer.score.positive else "no lesion")
        assert answer.geometry == explanation.geometry
        assert answer.familiar, "the bundle states no measure that it could fail"


def test_the_geometry_says_where_x_lies(stub: ExplanationServiceStub) -> None:
    levels = np.random.default_rng(1).integers(0, 256, (40, 60), np.uint8)
    wide = stub.Classify(ClassifyRequest(image=wire(levels))).geometry
    assert (wide.rows, wide.columns, wide.pixel_aspect) == (40, 60, 1)
    assert (wide.box.top, wide.box.left, wide.box.bottom, wide.box.right) == (0, 10, 40, 50)
    assert not wide.HasField("pixel_spacing")
    image = wire(levels)
    image.pixel_spacing.CopyFrom(PixelSpacing(row_mm=0.3, column_mm=0.1))
    tall = stub.Classify(ClassifyRequest(image=image)).geometry
    assert tall.pixel_aspect == pytest.approx(3)
    assert (tall.box.top, tall.box.left, tall.box.bottom, tall.box.right) == pytest.approx((10, 0, 30, 60))
    assert tall.pixel_spacing == image.pixel_spacing


def test_notes_reach_the_caller(stub: ExplanationServiceStub) -> None:
    colour = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    file = io.BytesIO()
    PillowImage.fromarray(colour).save(file, "PNG")
    image = Image(encoded=file.getvalue())
    assert stub.Explain(ExplainRequest(image=image)).notes == ["colour was converted to grey"]
    assert stub.Classify(ClassifyRequest(image=image)).notes == ["colour was converted to grey"]


def test_a_real_film_and_its_compressed_form_are_the_same_to_the_server(stub: ExplanationServiceStub) -> None:
    films = [
        Image(dicom=Path(str(get_testdata_file(name, download=False))).read_bytes())
        for name in ("RG1_UNCR.dcm", "RG1_J2KR.dcm")
    ]
    plain, compressed = (stub.Explain(ExplainRequest(image=film)) for film in films)
    for one, other in zip(arrays(plain), arrays(compressed), strict=True):
        np.testing.assert_array_equal(one, other)
    (original, *_) = arrays(plain)
    assert original[0].mean() < original[SIZE // 2].mean(), "MONOCHROME1: the background above the shoulders is dark"


def test_models_are_listed_and_described(stub: ExplanationServiceStub) -> None:
    listed = stub.ListModels(ListModelsRequest())
    (summary,) = listed.models
    assert summary.is_default
    assert summary.has_generator
    assert IMAGE_FORM_DICOM in listed.server.image_forms
    assert (summary.model.name, summary.positive_class, summary.license) == ("tiny", "lesion", "Apache-2.0")
    description = stub.GetModel(GetModelRequest(model=ModelSelector(name="tiny", version="1")))
    assert description.model == summary.model
    assert description.execution == summary.execution
    assert (description.bundle.image.height, description.bundle.image.width) == (SIZE, SIZE)
    assert description.bundle.graphs
    assert [each.kind for each in description.maps] == [kind for kind in MapKind.values() if kind]
    assert [each.kind for each in description.maps if each.is_default] == list(RANGES)
    assert description.server == listed.server


def test_health_and_reflection(channel: grpc.Channel) -> None:
    health = HealthStub(channel)
    for service in ("", SERVICE):
        assert health.Check(HealthCheckRequest(service=service)).status == HealthCheckResponse.SERVING
    with pytest.raises(grpc.RpcError) as unknown:
        health.Check(HealthCheckRequest(service="medxgan.v1.NoSuchService"))
    assert unknown.value.code() is grpc.StatusCode.NOT_FOUND
    (answer,) = ServerReflectionStub(channel).ServerReflectionInfo(iter([ServerReflectionRequest(list_services="")]))
    names = {service.name for service in answer.list_services_response.service}
    assert {SERVICE, "grpc.health.v1.Health"} <= names
    (answer,) = ServerReflectionStub(channel).ServerReflectionInfo(
        iter([ServerReflectionRequest(file_containing_symbol=SERVICE)])
    )
    assert answer.file_descriptor_response.file_descriptor_proto
