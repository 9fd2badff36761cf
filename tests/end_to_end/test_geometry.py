"""A mark on a film is found again where it is, once the map is laid back: real client, real server, every turn."""

import io
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image as Picture
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian, generate_uid

from medxgan.client import Client, Image, MapKind, Orientation, PixelSpacing
from medxgan.client.images import ImageInput
from medxgan.export.bundle import export_bundle
from medxgan.server.embedded import EmbeddedServer
from medxgan.training.model import TrainedModel
from medxgan.training.preprocessing import Preprocess
from medxgan.v1 import bundle_pb2

MODELS = Path(__file__).parents[2] / "models"
SIZE = 32
ASPECTS = {"crop": "plain", "pad": "padding", "stretch": "phantom"}
"""For each way to make a film square, the model that has it."""

HALF_A_PIXEL = 0.5
"""Of the film, of which a pixel of the map is 15 to 20 here.

So close a place can be asked for although the map is coarse: resizing by overlapping triangles and interpolating
between centres both keep a blot's centre of mass, whatever grid the blot lies on.
"""

MARK = 128
"""Side of the mark in pixels of the film: more of x than the percentile above which levels are cut, and whole blocks of
a JPEG, so that nothing rings."""

FILMS = {
    "square": (480, 480, None),
    "wide": (480, 800, None),
    "tall": (800, 480, None),
    "pixels that are high": (480, 800, PixelSpacing(0.3, 0.15)),
    "pixels that are wide": (480, 480, PixelSpacing(0.1, 0.13)),
}
"""Rows, columns and spacing."""


def film(rows: int, columns: int) -> tuple[np.ndarray, tuple[float, float]]:
    """A black film with a white square that lies inside of every crop but in the middle of nothing, and its centre."""
    levels = np.zeros((rows, columns), np.uint8)
    top, left = (round((0.42 * side - MARK / 2) / 8) * 8 for side in (rows, columns))
    levels[top : top + MARK, left : left + MARK] = 255
    return levels, (top + MARK / 2, left + MARK / 2)


def centre_of_mass(laid: np.ndarray) -> tuple[float, float]:
    """Row and column of the centre of what is above black, in pixels between edges."""
    weights = np.nan_to_num(laid, nan=-1) + 1
    rows, columns = (np.arange(side) + 0.5 for side in laid.shape)
    total = weights.sum()
    return float(weights.sum(1) @ rows / total), float(weights.sum(0) @ columns / total)


@pytest.fixture(scope="module")
def client(tiny_model: TrainedModel, plain_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A server with the models of `ASPECTS`."""
    models = tmp_path_factory.mktemp("aspects")
    shutil.copytree(plain_models / "plain", models / "plain")
    shutil.copytree(MODELS / "phantom", models / "phantom")
    image = bundle_pb2.ImageSpecification()
    image.CopyFrom(tiny_model.image)
    image.aspect = bundle_pb2.ASPECT_PAD
    padding = replace(
        tiny_model,
        preprocess=Preprocess(SIZE, 1, 99, "pad").eval(),
        image=image,
        generator=None,
        encoder=None,
        inversion=None,
        reliability=None,
    )
    export_bundle(padding, models / "padding" / "1")
    with EmbeddedServer(models, "cpu") as server, Client(server.address) as client:
        yield client


def assert_found(client: Client, aspect: str, image: ImageInput, shape: tuple[int, int], centre: tuple) -> None:
    explanation = client.explain(image, model=ASPECTS[aspect], maps=[MapKind.ORIGINAL])
    laid = explanation.on_film(MapKind.ORIGINAL)
    assert laid.shape == shape
    assert centre_of_mass(laid) == pytest.approx(centre, abs=HALF_A_PIXEL)
    # The mark has the size that it has: to a tenth, since its edges are cut by the percentiles.
    area = (np.nan_to_num(laid, nan=-1) + 1).sum() / 2
    assert area == pytest.approx(MARK**2, rel=0.1)


@pytest.mark.parametrize("aspect", ASPECTS)
@pytest.mark.parametrize("shape", FILMS)
def test_a_mark_lies_where_it_was(client: Client, aspect: str, shape: str) -> None:
    rows, columns, spacing = FILMS[shape]
    levels, centre = film(rows, columns)
    assert_found(client, aspect, Image(levels, pixel_spacing=spacing), (rows, columns), centre)


@pytest.mark.parametrize("aspect", ASPECTS)
@pytest.mark.parametrize(("orientation", "turn"), list(enumerate(Orientation, start=1)))
def test_a_turned_jpeg_gets_its_map_in_the_layout_of_the_file(
    client: Client, aspect: str, orientation: int, turn: Orientation
) -> None:
    levels, centre = film(480, 800)
    exif = Picture.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    Picture.fromarray(levels).save(file, "JPEG", quality=100, exif=exif)
    assert_found(client, aspect, file.getvalue(), levels.shape, centre)
    assert client.classify(file.getvalue(), model=ASPECTS[aspect]).geometry.orientation is turn


@pytest.mark.parametrize("aspect", ASPECTS)
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_a_dicom_file_states_its_spacing(client: Client, aspect: str, photometric: str) -> None:
    levels, centre = film(480, 800)
    stored = 255 - levels if photometric == "MONOCHROME1" else levels
    content = dicom(stored, photometric, PixelSpacing(0.3, 0.15))
    assert_found(client, aspect, content, levels.shape, centre)
    geometry = client.classify(content, model=ASPECTS[aspect]).geometry
    assert geometry.pixel_spacing == PixelSpacing(0.3, 0.15)
    assert geometry.pixel_aspect == pytest.approx(2)


def dicom(levels: np.ndarray, photometric: str, spacing: PixelSpacing) -> bytes:
    """A DICOM file of 8-bit levels."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = DigitalXRayImageStorageForPresentation
    meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
    dataset.SOPClassUID, dataset.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    dataset.Rows, dataset.Columns = levels.shape
    dataset.PixelSpacing = [spacing.row_mm, spacing.column_mm]
    dataset.SamplesPerPixel, dataset.PixelRepresentation = 1, 0
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8, 8, 7
    dataset.PhotometricInterpretation = photometric
    dataset.PixelData = levels.tobytes()
    file = io.BytesIO()
    pydicom.dcmwrite(file, dataset, enforce_file_format=True)
    return file.getvalue()
