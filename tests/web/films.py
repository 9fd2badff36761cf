"""The sample film as other files."""

import io
from importlib.resources import files

import numpy as np
from PIL import Image
from pydicom.dataset import FileDataset
from tests.gateway.results.films import make_film

SAMPLE = (files("medxgan.web") / "samples" / "phantom.png").read_bytes()


def phantom_film(**attributes: object) -> FileDataset:
    """The sample film as a radiograph in DICOM; attributes of None are left out."""
    with Image.open(io.BytesIO(SAMPLE)) as image:
        return make_film(np.asarray(image), bits=8, WindowCenter=128, WindowWidth=256, **attributes)
