"""The program that `gdcm_process` runs: a DICOM data set on standard input, its stored values in NumPy's format out."""

import sys
from io import BytesIO

import numpy as np
import pydicom
from pydicom.pixels.decoders.base import get_decoder


def decode_one() -> None:
    """Decode the one frame of the data set on standard input."""
    dataset = pydicom.dcmread(BytesIO(sys.stdin.buffer.read()), force=True)
    pixels, _ = get_decoder(dataset.file_meta.TransferSyntaxUID).as_array(dataset, index=0)
    np.save(sys.stdout.buffer, pixels)


if __name__ == "__main__":
    decode_one()
