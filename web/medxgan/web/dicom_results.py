"""An explanation as DICOM objects for the archive that the film came from, by the gateway's writers.

They come with the extra `gateway`, which a reading room does without.
"""

from importlib.util import find_spec
from io import BytesIO
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from medxgan.client.geometry import GeometryError
from medxgan.client.results import Explanation
from medxgan.web.decoding import is_dicom
from medxgan.web.errors import MissingError, ResultsError
from medxgan.web.sessions import HeldFilm

_WRITERS = ("highdicom", "skimage")
"""Modules of the extra `gateway` that nothing else of a reading room needs."""
_QUICK = 1
"""Of the levels of deflation: a picture of ten megabytes is waited for."""


def obstacle(film: HeldFilm) -> str:
    """Why no DICOM objects are made of a film's explanations, in words; empty where they are."""
    if not is_dicom(film.content):
        return "the film did not come as DICOM"
    if film.film.frames > 1:
        return "the film has several frames"
    if not all(find_spec(name) for name in _WRITERS):
        return "the reading room runs without the extra gateway: pip install 'medxgan[gateway]'"
    return ""


def archived_results(content: bytes, explanation: Explanation) -> bytes:
    """The Secondary Capture and the structured report of an explanation, as a zip file.

    Of an explanation that is not RELIABLE it is the report alone, without regions.

    Args:
        content: the film, a DICOM file of one frame.
        explanation: of that film.

    Raises:
        ResultsError: the film lacks an attribute that the objects need, or its pixels or geometry can't be used.
        MissingError: the explanation lacks a map that is drawn.
    """
    from pydicom import dcmread
    from pydicom.uid import Comprehensive3DSRStorage, SecondaryCaptureImageStorage

    from medxgan.gateway.results.errors import UnusableFilmError
    from medxgan.gateway.results.ill_formed import unquoted
    from medxgan.gateway.results.outputs import Outputs
    from medxgan.gateway.results.series import result_series

    names = {SecondaryCaptureImageStorage: "secondary-capture.dcm", Comprehensive3DSRStorage: "report.dcm"}
    outputs, archive = Outputs(blink=False, parametric_map=False, segmentation=False), BytesIO()
    try:
        with unquoted(), ZipFile(archive, "w", ZIP_DEFLATED, compresslevel=_QUICK) as files:
            for result in result_series(dcmread(BytesIO(content)), explanation, outputs):
                file = BytesIO()
                result.save_as(file, enforce_file_format=True)
                # Without a time of its own: a repeat makes the same file.
                files.writestr(ZipInfo(names[result.SOPClassUID]), file.getvalue(), ZIP_DEFLATED)
    except (UnusableFilmError, GeometryError) as error:
        raise ResultsError(str(error)) from error
    except LookupError as error:
        raise MissingError("this explanation does not hold every map that is drawn: run it again with all") from error
    return archive.getvalue()
