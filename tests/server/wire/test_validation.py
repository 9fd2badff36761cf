"""The constraints of explanation.proto, as a caller hears of them."""

import pytest
from google.protobuf.message import Message

from medxgan.server.errors import InvalidRequestError
from medxgan.server.validation import validate
from medxgan.v1.bundle_pb2 import DATA_TYPE_UINT8
from medxgan.v1.explanation_pb2 import (
    ATTRIBUTION_METHOD_GRADIENT,
    MAP_KIND_DIFFERENCE,
    AttributeRequest,
    ExplainRequest,
    Image,
    InversionSettings,
    MapRequest,
    ModelSelector,
    Tensor,
    TrajectoryRequest,
)

IMAGE = Image(tensor=Tensor(shape=[2, 2], data_type=DATA_TYPE_UINT8, data=bytes(4)))


def test_what_is_right_passes() -> None:
    validate(ExplainRequest(image=IMAGE))
    validate(
        ExplainRequest(
            model=ModelSelector(name="chest-2", version="12"),
            image=IMAGE,
            inversion=InversionSettings(steps=1, learning_rate=0.1, reconstruction_weight=0),
            maps=[MapRequest(kind=MAP_KIND_DIFFERENCE)],
        )
    )


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (ExplainRequest(), "image"),
        (ExplainRequest(image=Image()), "image.form"),
        (ExplainRequest(image=Image(encoded=b"")), "image.encoded"),
        (ExplainRequest(image=Image(dicom=b"")), "image.dicom"),
        (ExplainRequest(image=Image(tensor=Tensor(data_type=DATA_TYPE_UINT8, data=b"x"))), "image.tensor.shape"),
        (ExplainRequest(image=Image(tensor=Tensor(shape=[2, 0], data_type=1, data=b"x"))), "image.tensor.shape[1]"),
        (ExplainRequest(image=Image(tensor=Tensor(shape=[1, 1], data_type=9, data=b"x"))), "image.tensor.data_type"),
        (ExplainRequest(image=IMAGE, model=ModelSelector(name="../etc")), "model.name"),
        (ExplainRequest(image=IMAGE, model=ModelSelector(name="a", version="latest")), "model.version"),
        (ExplainRequest(image=IMAGE, inversion=InversionSettings(steps=0)), "inversion.steps"),
        (ExplainRequest(image=IMAGE, inversion=InversionSettings(learning_rate=0)), "inversion.learning_rate"),
        (
            ExplainRequest(image=IMAGE, inversion=InversionSettings(reconstruction_weight=float("nan"))),
            "inversion.reconstruction_weight",
        ),
        (ExplainRequest(image=IMAGE, inversion=InversionSettings(restarts=0)), "inversion.restarts"),
        (ExplainRequest(image=IMAGE, inversion=InversionSettings(restarts=17)), "inversion.restarts"),
        (ExplainRequest(image=IMAGE, trajectory=TrajectoryRequest()), "trajectory.frames"),
        (ExplainRequest(image=IMAGE, trajectory=TrajectoryRequest(frames=1)), "trajectory.frames"),
        (ExplainRequest(image=IMAGE, trajectory=TrajectoryRequest(frames=65)), "trajectory.frames"),
        (ExplainRequest(image=IMAGE, trajectory=TrajectoryRequest(frames=2, form=9)), "trajectory.form"),
        (ExplainRequest(image=IMAGE, maps=[MapRequest(kind=MAP_KIND_DIFFERENCE), MapRequest()]), "maps[1].kind"),
        (ExplainRequest(image=IMAGE, maps=[MapRequest(kind=MAP_KIND_DIFFERENCE, form=9)]), "maps[0].form"),
        (ExplainRequest(image=IMAGE, maps=[MapRequest(kind=MAP_KIND_DIFFERENCE)] * 11), "maps"),
        (AttributeRequest(image=IMAGE), "methods"),
        (AttributeRequest(image=IMAGE, methods=[ATTRIBUTION_METHOD_GRADIENT] * 2), "methods"),
        (AttributeRequest(image=IMAGE, methods=[77]), "methods[0]"),
    ],
)
def test_what_is_wrong_is_named_by_its_path(request_: Message, field: str) -> None:
    with pytest.raises(InvalidRequestError) as refusal:
        validate(request_)
    assert refusal.value.field == field
    assert refusal.value.expected
