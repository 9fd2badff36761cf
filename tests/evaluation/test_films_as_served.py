"""Films of a DICOM folder reach the networks of an evaluation as they reach those of a server."""

import asyncio
from pathlib import Path

import numpy as np
import pytest
from tests.dicom_films import levels, write_film

from medxgan.evaluation.images import labelled_images
from medxgan.evaluation.served import open_images, served
from medxgan.server.images.decoding import decode_file
from medxgan.server.images.limits import ImageLimits
from medxgan.server.images.reduction import reduced
from medxgan.server.stopwatch import Stopwatch
from medxgan.training.data.source import DicomData

FILMS = {
    "padded.dcm": {"PixelPaddingValue": 4095, "PixelData": levels(4095)},
    "turned.dcm": {"PresentationLUTShape": "INVERSE"},
    "tall.dcm": {"PixelSpacing": ["0.4", "0.2"]},
    "rescaled.dcm": {"RescaleSlope": "2", "RescaleIntercept": "-1024", "PhotometricInterpretation": "MONOCHROME1"},
}


BUNDLE = Path(__file__).parents[2] / "models" / "phantom" / "3"


@pytest.mark.slow
def test_what_is_measured_is_what_is_served(tmp_path: Path) -> None:
    for name, elements in FILMS.items():
        write_film(tmp_path / name, **elements)
    (tmp_path / "labels.csv").write_text("file,label\n" + "".join(f"{name},1\n" for name in FILMS))
    section = DicomData(kind="dicom", path=Path(), labels=Path("labels.csv"), test_share=1.0)

    async def opened() -> None:
        async with served(BUNDLE, "cpu", 1) as model:
            images = labelled_images(section.load(tmp_path), "test", model.bundle.description.image)
            assert [image.id for image in images] == list(FILMS)
            assert model.reduction is not None
            for image, found in zip(images, await open_images(model, images), strict=True):
                content = (tmp_path / image.id).read_bytes()
                film = decode_file("dicom", content, 0, None, ImageLimits(10**6, 10**8, 10**8))
                expected = await model.explainer.open(reduced(film, model.reduction), Stopwatch())
                np.testing.assert_allclose(found.x, expected.x, atol=1e-5)
                assert found.placement.pixel_aspect == expected.placement.pixel_aspect

    asyncio.run(opened())
