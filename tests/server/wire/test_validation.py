"""The constraints of explanation.proto, as a caller hears of them."""

import pytest
from google.protobuf.message import Message

from medxgan.server.errors import InvalidRequestError
from medxgan.server.wire.validation import validate
from medxgan.v1.bundle_pb2 import DATA_TYPE_UINT8
from medxgan.v1.explanation_pb2 import (
    MAP_KIND_DIFFERENCE,
    ClassifyRequest,
    ExplainRequest,
    ExplainSettings,
    GetModelRequest,
    Image,
    MapRequest,
    ModelSelector,
    PixelSpacing,
    Tensor,
    TrajectoryRequest,
)

TENSOR = Tensor(shape=[2, 2], data_type=DATA_TYPE_UINT8, data=bytes(4))
IMAGE = Image(tensor=TENSOR)


def settings(**fields: object) -> ExplainRequest:
    return ExplainRequest(image=IMAGE, settings=ExplainSettings(**fields))


def test_what_is_right_passes() -> None:
    validate(ExplainRequest(image=IMAGE))
    validate(
        ExplainRequest(
            model=ModelSelector(name="chest-2", version="12"),
            image=Image(tensor=TENSOR, frame=1, pixel_spacing=PixelSpacing(row_mm=0.1, column_mm=0.2)),
            settings=ExplainSettings(inversion={"steps": 1, "learning_rate": 0.1, "reconstruction_weight": 0}),
            maps=[MapRequest(kind=MAP_KIND_DIFFERENCE)] * 64,
        )
    )


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (ExplainRequest(), "image"),
        (ClassifyRequest(), "image"),
        (ExplainRequest(image=Image()), "image.form"),
        (ExplainRequest(image=Image(encoded=b"")), "image.encoded"),
        (ExplainRequest(image=Image(dicom=b"")), "image.dicom"),
        (ExplainRequest(image=Image(tensor=Tensor(data_type=DATA_TYPE_UINT8, data=b"x"))), "image.tensor.shape"),
        (ExplainRequest(image=Image(tensor=Tensor(shape=[2, 0], data_type=1, data=b"x"))), "image.tensor.shape[1]"),
        (ExplainRequest(image=Image(tensor=Tensor(shape=[1, 1], data_type=9, data=b"x"))), "image.tensor.data_type"),
        (ExplainRequest(image=Image(tensor=TENSOR, frame=0)), "image.frame"),
        (
            ClassifyRequest(image=Image(tensor=TENSOR, pixel_spacing=PixelSpacing(row_mm=1))),
            "image.pixel_spacing.column_mm",
        ),
        (
            ClassifyRequest(image=Image(tensor=TENSOR, pixel_spacing=PixelSpacing(row_mm=float("inf"), column_mm=1))),
            "image.pixel_spacing.row_mm",
        ),
        (ExplainRequest(image=IMAGE, model=ModelSelector(name="../etc")), "model.name"),
        (GetModelRequest(model=ModelSelector(name="a", version="latest")), "model.version"),
        (settings(inversion={"steps": 0}), "settings.inversion.steps"),
        (settings(inversion={"learning_rate": 0}), "settings.inversion.learning_rate"),
        (settings(inversion={"reconstruction_weight": float("nan")}), "settings.inversion.reconstruction_weight"),
        (settings(inversion={"restarts": 0}), "settings.inversion.restarts"),
        (settings(inversion={"restarts": 17}), "settings.inversion.restarts"),
        (settings(integrated_gradients={"steps": 0}), "settings.integrated_gradients.steps"),
        (settings(integrated_gradients={"steps": 1001}), "settings.integrated_gradients.steps"),
        (settings(integrated_gradients={"baseline": 1.5}), "settings.integrated_gradients.baseline"),
        (settings(occlusion={"window": 0}), "settings.occlusion.window"),
        (settings(occlusion={"stride": 0}), "settings.occlusion.stride"),
        (settings(occlusion={"level": -2}), "settings.occlusion.level"),
        (ExplainRequest(image=IMAGE, trajectory=TrajectoryRequest()), "trajectory.frames"),
        (ExplainRequest(image=IMAGE, trajectory=TrajectoryRequest(frames=1)), "trajectory.frames"),
        (ExplainRequest(image=IMAGE, trajectory=TrajectoryRequest(frames=65)), "trajectory.frames"),
        (ExplainRequest(image=IMAGE, trajectory=TrajectoryRequest(frames=2, form=9)), "trajectory.form"),
        (ExplainRequest(image=IMAGE, maps=[MapRequest(kind=MAP_KIND_DIFFERENCE), MapRequest()]), "maps[1].kind"),
        (ExplainRequest(image=IMAGE, maps=[MapRequest(kind=77)]), "maps[0].kind"),
        (ExplainRequest(image=IMAGE, maps=[MapRequest(kind=MAP_KIND_DIFFERENCE, form=9)]), "maps[0].form"),
        (ExplainRequest(image=IMAGE, maps=[MapRequest(kind=MAP_KIND_DIFFERENCE)] * 65), "maps"),
    ],
)
def test_what_is_wrong_is_named_by_its_path(request_: Message, field: str) -> None:
    with pytest.raises(InvalidRequestError) as refusal:
        validate(request_)
    assert refusal.value.field == field
    assert refusal.value.expected
