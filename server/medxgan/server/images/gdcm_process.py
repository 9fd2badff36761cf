"""GDCM in a process of its own, since it ends the process that it runs in on some damaged frames."""

import subprocess
import sys
from io import BytesIO

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from medxgan.server.errors import ImageError
from medxgan.server.images.dicom_file import FIELD

_PROGRAM = "medxgan.server.images.gdcm_program"
_TIMEOUT_SECONDS = 60


def decode_apart(dataset: Dataset) -> NDArray[np.generic]:
    """Decode the one frame of a data set: [H, W] or [H, W, 3]. The process costs about half a second.

    Raises:
        ImageError: if the frame can't be decoded.
    """
    content = BytesIO()
    pydicom.dcmwrite(content, dataset)
    try:
        decoded = subprocess.run(  # noqa: S603 - our own program
            [sys.executable, "-m", _PROGRAM],
            input=content.getvalue(),
            capture_output=True,
            check=True,
            timeout=_TIMEOUT_SECONDS,
        )
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        raise ImageError(FIELD, "expected a whole compressed frame, got one that can't be decoded") from None
    pixels: NDArray[np.generic] = np.load(BytesIO(decoded.stdout), allow_pickle=False)
    return pixels
