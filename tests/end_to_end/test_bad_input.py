"""Bad input, as callers and operators send it: each is refused by name, and the server lives on."""

import gc
import io
import json
import shutil
import struct
import zlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from types import FrameType

import grpc
import numpy as np
import pydicom
import pytest
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from pydicom.data import get_testdata_file
from tests.end_to_end.explaining import png

from medxgan.bundle import BundleError
from medxgan.server.embedded import EmbeddedServer
from medxgan.v1.bundle_pb2 import DATA_TYPE_FLOAT32, DATA_TYPE_UINT8, DATA_TYPE_UINT16
from medxgan.v1.explanation_pb2 import (
    MAP_KIND_DIFFERENCE,
    MAP_KIND_GRADIENT,
    MAP_KIND_UNCERTAINTY,
    ClassifyRequest,
    ExplainRequest,
    ExplainSettings,
    GetModelRequest,
    Image,
    IntegratedGradientsSettings,
    InversionSettings,
    MapKind,
    MapRequest,
    ModelSelector,
    OcclusionSettings,
    Tensor,
    TrajectoryRequest,
)
from medxgan.v1.explanation_pb2_grpc import ExplanationServiceStub

GREY = np.arange(256, dtype=np.uint8).reshape(16, 16)
GOOD = Image(tensor=Tensor(shape=[16, 16], data_type=DATA_TYPE_UINT8, data=GREY.tobytes()))


def huge_png() -> bytes:
    """A PNG that states 50,000 x 50,000 pixels."""
    content = bytearray(png(GREY))
    content[16:24] = struct.pack(">II", 50_000, 50_000)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    return bytes(content)


def dicom(name: str) -> bytes:
    path = get_testdata_file(name, download=False)
    assert path is not None, f"pydicom-data has no {name}"
    return Path(str(path)).read_bytes()


def dicom_without_pixels() -> bytes:
    dataset = pydicom.dcmread(io.BytesIO(dicom("SC_rgb.dcm")))
    del dataset.PixelData
    file = io.BytesIO()
    dataset.save_as(file)
    return file.getvalue()


def tensor(values: np.ndarray, data_type: int) -> Image:
    return Image(tensor=Tensor(shape=values.shape, data_type=data_type, data=values.tobytes()))


BAD_IMAGES = {
    "no image": (None, "image"),
    "no form": (Image(), "image.form"),
    "an empty file": (Image(encoded=b""), "image.encoded"),
    "not an image": (Image(encoded=b"%PDF-1.7 not an image"), "image.encoded"),
    "a truncated PNG": (Image(encoded=png(GREY)[:-60]), "image.encoded"),
    "a PNG of 50,000 x 50,000": (Image(encoded=huge_png()), "image.encoded"),
    "a tensor with NaN": (tensor(np.array([[0, np.nan]], "<f4"), DATA_TYPE_FLOAT32), "image.tensor.data"),
    "a tensor of the wrong length": (
        Image(tensor=Tensor(shape=[16, 17], data_type=DATA_TYPE_UINT8, data=GREY.tobytes())),
        "image.tensor.data",
    ),
    "a tensor of the wrong type": (tensor(GREY, DATA_TYPE_UINT16), "image.tensor.data"),
    "a tensor of no type": (tensor(GREY, 0), "image.tensor.data_type"),
    "a tensor of an unknown type": (tensor(GREY, 42), "image.tensor.data_type"),
    "a tensor without pixels": (
        Image(tensor=Tensor(shape=[0, 16], data_type=DATA_TYPE_UINT8, data=b"x")),
        "image.tensor.shape[0]",
    ),
    "a multi-frame DICOM file": (Image(dicom=dicom("OBXXXX1A_2frame.dcm")), "image.frame"),
    "a DICOM file without pixels": (Image(dicom=dicom_without_pixels()), "image.dicom"),
    "a PNG called DICOM": (Image(dicom=png(GREY)), "image.dicom"),
    "a DICOM file called PNG": (Image(encoded=dicom("SC_rgb.dcm")), "image.encoded"),
}


def inverting(**settings: float) -> ExplainSettings:
    return ExplainSettings(inversion=InversionSettings(**settings))


BAD_REQUESTS = {
    "an unknown map": (ExplainRequest(image=GOOD, maps=[MapRequest(kind=99)]), "maps[0].kind"),
    "no map": (ExplainRequest(image=GOOD, maps=[MapRequest()]), "maps[0].kind"),
    "an unknown form of a map": (ExplainRequest(image=GOOD, maps=[MapRequest(kind=1, form=99)]), "maps[0].form"),
    "a name that is none": (ExplainRequest(image=GOOD, model=ModelSelector(name="../etc/passwd")), "model.name"),
    "a version that is none": (ExplainRequest(image=GOOD, model=ModelSelector(version="latest")), "model.version"),
    "one frame of a trajectory": (
        ExplainRequest(image=GOOD, trajectory=TrajectoryRequest(frames=1)),
        "trajectory.frames",
    ),
    "too many maps": (ExplainRequest(image=GOOD, maps=[MapRequest(kind=1)] * 65), "maps"),
}

BAD_SETTINGS = {
    "too many steps": (inverting(steps=9000), "inversion.steps"),
    "no steps": (inverting(steps=0), "inversion.steps"),
    "λ out of range": (inverting(reconstruction_weight=1e6), "inversion.reconstruction_weight"),
    "λ not a number": (inverting(reconstruction_weight=float("nan")), "inversion.reconstruction_weight"),
    "learning rate out of range": (inverting(learning_rate=50), "inversion.learning_rate"),
    "too many restarts": (inverting(restarts=17), "inversion.restarts"),
    "no points of a path": (
        ExplainSettings(integrated_gradients=IntegratedGradientsSettings(steps=0)),
        "integrated_gradients.steps",
    ),
    "too many points": (
        ExplainSettings(integrated_gradients=IntegratedGradientsSettings(steps=1001)),
        "integrated_gradients.steps",
    ),
    "a baseline out of range": (
        ExplainSettings(integrated_gradients=IntegratedGradientsSettings(baseline=1.5)),
        "integrated_gradients.baseline",
    ),
    "a baseline that is no number": (
        ExplainSettings(integrated_gradients=IntegratedGradientsSettings(baseline=float("nan"))),
        "integrated_gradients.baseline",
    ),
    "no window": (ExplainSettings(occlusion=OcclusionSettings(window=0)), "occlusion.window"),
    "a window larger than the image": (ExplainSettings(occlusion=OcclusionSettings(window=33)), "occlusion.window"),
    "no stride": (ExplainSettings(occlusion=OcclusionSettings(stride=0)), "occlusion.stride"),
    "a stride larger than the window": (
        ExplainSettings(occlusion=OcclusionSettings(window=4, stride=5)),
        "occlusion.stride",
    ),
    "a level out of range": (ExplainSettings(occlusion=OcclusionSettings(level=-2)), "occlusion.level"),
    "a class that is none": (ExplainSettings(target_class="happiness"), "target_class"),
}


def fields_of(error: grpc.RpcError) -> list[str]:
    """The fields that a refusal names in its details."""
    status = status_pb2.Status.FromString(dict(error.trailing_metadata())["grpc-status-details-bin"])
    bad_request = error_details_pb2.BadRequest()
    assert status.details[0].Unpack(bad_request)
    return [violation.field for violation in bad_request.field_violations]


def refusal(call: Callable[[], object]) -> grpc.RpcError:
    with pytest.raises(grpc.RpcError) as raised:
        call()
    return raised.value


def is_alive(stub: ExplanationServiceStub) -> bool:
    return 0 <= stub.Classify(ClassifyRequest(image=GOOD), timeout=30).score.probability <= 1


@pytest.mark.parametrize("case", BAD_IMAGES)
def test_a_bad_image_is_refused_by_field_by_every_method(stub: ExplanationServiceStub, case: str) -> None:
    image, field = BAD_IMAGES[case]
    for call in (
        lambda: stub.Explain(ExplainRequest(image=image)),
        lambda: list(stub.ExplainStream(ExplainRequest(image=image))),
        lambda: stub.Classify(ClassifyRequest(image=image)),
    ):
        error = refusal(call)
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert fields_of(error) == [field]
        assert error.details().startswith(f"{field}: ")
    assert is_alive(stub)


@pytest.mark.parametrize("case", BAD_REQUESTS)
def test_a_bad_request_is_refused_by_field(stub: ExplanationServiceStub, case: str) -> None:
    request, field = BAD_REQUESTS[case]
    error = refusal(lambda: stub.Explain(request))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert fields_of(error) == [field]
    assert is_alive(stub)


@pytest.mark.parametrize("case", BAD_SETTINGS)
def test_a_bad_setting_is_refused_by_field(stub: ExplanationServiceStub, case: str) -> None:
    settings, field = BAD_SETTINGS[case]
    every = [MapRequest(kind=kind) for kind in MapKind.values() if kind not in (0, MAP_KIND_UNCERTAINTY)]
    error = refusal(lambda: stub.Explain(ExplainRequest(image=GOOD, settings=settings, maps=every)))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert fields_of(error) == [f"settings.{field}"]
    assert error.details().startswith(f"settings.{field}: ")
    assert is_alive(stub)


def test_a_value_out_of_range_is_told_the_range(stub: ExplanationServiceStub) -> None:
    error = refusal(lambda: stub.Explain(ExplainRequest(image=GOOD, settings=inverting(steps=9000))))
    assert error.details() == "settings.inversion.steps: expected 1 to 200, got 9000"


def test_bytes_that_are_no_message_are_refused_without_a_word_of_python(channel: grpc.Channel) -> None:
    explain = channel.unary_unary("/medxgan.v1.ExplanationService/Explain")
    error = refusal(lambda: explain(b"\xff" * 40))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "expected a message of medxgan.v1.ExplanationService" in error.details()
    assert is_alive(ExplanationServiceStub(channel))


@pytest.mark.parametrize("selector", [ModelSelector(name="nobody"), ModelSelector(name="tiny", version="7")])
def test_an_unknown_model_is_not_found_and_the_known_ones_are_named(
    stub: ExplanationServiceStub, selector: ModelSelector
) -> None:
    calls: list[Callable[[], Message]] = [
        lambda: stub.Explain(ExplainRequest(image=GOOD, model=selector)),
        lambda: stub.GetModel(GetModelRequest(model=selector)),
    ]
    for call in calls:
        error = refusal(call)
        assert error.code() is grpc.StatusCode.NOT_FOUND
        assert "tiny/1" in error.details()
    assert is_alive(stub)


def test_a_map_that_the_bundle_can_not_make_is_named(
    plain_models: Path, serving: Callable[..., AbstractContextManager[grpc.Channel]]
) -> None:
    with serving(plain_models) as channel:
        stub = ExplanationServiceStub(channel)
        wanted = [MapRequest(kind=MAP_KIND_GRADIENT), MapRequest(kind=MAP_KIND_DIFFERENCE)]
        error = refusal(lambda: stub.Explain(ExplainRequest(image=GOOD, maps=wanted)))
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert fields_of(error) == ["maps[1].kind"]
        assert "DIFFERENCE needs a generator" in error.details()
        trajectory = TrajectoryRequest(frames=3)
        assert fields_of(refusal(lambda: stub.Explain(ExplainRequest(image=GOOD, trajectory=trajectory)))) == [
            "trajectory"
        ]
        assert len(stub.Explain(ExplainRequest(image=GOOD)).maps) == 4, "what one pass over the image gives"


def test_a_message_over_the_limit(models: Path, serving: Callable[..., AbstractContextManager[grpc.Channel]]) -> None:
    with serving(models, maximum_message_bytes=100_000) as channel:
        stub = ExplanationServiceStub(channel)
        large = Image(tensor=Tensor(shape=[400, 400], data_type=DATA_TYPE_UINT8, data=bytes(160_000)))
        error = refusal(lambda: stub.Classify(ClassifyRequest(image=large)))
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "100000" in error.details()
        assert is_alive(stub)


def test_a_frame_that_ends_its_decoder(stub: ExplanationServiceStub) -> None:
    content = bytearray(dicom("JPEG-LL.dcm"))
    content[content.index(b"\xff\xd8\xff\xc3") + 6] = 255
    error = refusal(lambda: stub.Classify(ClassifyRequest(image=Image(dicom=bytes(content)))))
    assert fields_of(error) == ["image.dicom"]
    assert is_alive(stub)


@pytest.mark.parametrize(
    "levels",
    [np.full((1, 1), 9, np.uint8), np.zeros((16, 16), np.uint8), GREY[:1], GREY[:, :1]],
    ids=["one pixel", "one level", "one row", "one column"],
)
def test_a_strange_image_is_still_an_image(stub: ExplanationServiceStub, levels: np.ndarray) -> None:
    probability = stub.Classify(ClassifyRequest(image=tensor(levels, DATA_TYPE_UINT8))).score.probability
    assert 0 <= probability <= 1


@pytest.fixture
def bundle(tiny_bundle: Path, tmp_path: Path) -> Path:
    """A copy of the tiny bundle to spoil."""
    return shutil.copytree(tiny_bundle, tmp_path / "tiny" / "1")


def start_error(bundle: Path) -> BundleError:
    server = EmbeddedServer(bundle.parent.parent, "cpu")
    with pytest.raises(BundleError) as refused, server:
        pytest.fail("served a spoilt bundle")
    return refused.value


def test_a_bundle_with_a_changed_byte_is_refused(bundle: Path) -> None:
    file = bundle / "generator.onnx"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    assert "tiny/1" in str(start_error(bundle))
    assert "generator.onnx" in str(start_error(bundle))


def test_a_bundle_with_a_missing_graph_is_refused(bundle: Path) -> None:
    (bundle / "inversion_step.onnx").unlink()
    assert "inversion_step.onnx" in str(start_error(bundle))


def test_a_bundle_of_a_newer_schema_is_refused(bundle: Path) -> None:
    file = bundle / "bundle.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"schema_version": 99, "mood": "sunny"}))
    assert "schema_version" in str(start_error(bundle))


def test_a_provider_that_is_none_is_refused(models: Path) -> None:
    with pytest.raises(EmbeddedServer.StartError, match="provider"):
        EmbeddedServer(models, "abacus")


def test_what_was_refused_is_kept_by_nothing(stub: ExplanationServiceStub) -> None:
    """An error keeps its frames in a circle: what these named stayed in memory until a collection, film by film."""
    size = 3 * 2**20
    gc.disable()
    try:
        for image in (Image(dicom=bytes(size)), Image(encoded=bytes(size)), Image(tensor=Tensor(data=bytes(size)))):
            error = refusal(partial(stub.Classify, ClassifyRequest(image=image)))
            assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
        kept = [
            frame.f_code.co_qualname
            for frame in gc.get_objects()
            if type(frame) is FrameType and "/server/" in frame.f_code.co_filename
            for value in gc.get_referents(frame)
            if isinstance(value, bytes) and len(value) == size
        ]
    finally:
        gc.enable()
    assert kept == []
