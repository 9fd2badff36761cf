"""From a modality through a real archive, a real gateway and a real server back into the archive."""

import io
import re
import subprocess
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.uid import (
    JPEG2000,
    JPEG2000Lossless,
    JPEGExtended12Bit,
    ParametricMapStorage,
    SecondaryCaptureImageStorage,
    generate_uid,
)
from tests.gateway.conftest import MODELS, RULE, wait_until
from tests.gateway.dcmtk import command, needs_dcmtk
from tests.gateway.films import PATIENT_ID, content, film
from tests.gateway.orthanc import MISSING, TITLE, Orthanc
from tests.gateway.results.films import make_film
from tests.gateway.results.test_secondary_capture import burnt_in_rows
from tests.web.films import SAMPLE

from medxgan.client import Client, Explanation, MapKind
from medxgan.gateway.gateway import Gateway
from medxgan.gateway.results.outputs import Outputs
from medxgan.gateway.results.overlay import BLUE, OPACITY, RED
from medxgan.gateway.settings import GatewaySettings
from medxgan.server.embedded import EmbeddedServer

pytestmark = [pytest.mark.skipif(MISSING is not None, reason=str(MISSING)), needs_dcmtk]

ROUTING = """
function OnStoredInstance(instance, tags, metadata, origin)
    if tags.Modality == 'CR' then SendToModality(instance, 'medxgan') end
end
"""

PROPOSED = {JPEG2000Lossless: "-xv", JPEG2000: "-xw", JPEGExtended12Bit: "-xx"}
"""Options of storescu by which a film that is compressed is sent as it is."""

RADIOGRAPHS = ("RG1_UNCR.dcm", "RG1_UNCI.dcm", "RG1_J2KR.dcm", "RG1_J2KI.dcm")


def new(sent: Dataset) -> Dataset:
    """A film of its own, in a study of its own."""
    sent.SOPInstanceUID = sent.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    sent.StudyInstanceUID = generate_uid()
    return sent


class Hospital:
    """An archive with a rule, a gateway and a server."""

    def __init__(self, orthanc: Orthanc, server: str, folder: Path) -> None:
        self.orthanc, self.server, self._folder = orthanc, server, folder

    def send(self, sent: bytes) -> None:
        """Send a film to the archive, as a modality does."""
        file = self._folder / "film.dcm"
        file.write_bytes(sent)
        proposed = PROPOSED.get(pydicom.dcmread(file).file_meta.TransferSyntaxUID, "-xe")
        called = ["-aec", TITLE, "127.0.0.1", str(self.orthanc.dicom_port)]
        subprocess.run([command("storescu"), proposed, *called, file], check=True)

    def results(self, sent: Dataset) -> list[dict[str, str]]:
        """What the archive has of the film's study beside the film, once all of it is there."""

        def is_there() -> bool:
            return "SR" in {each["Modality"] for each in self.orthanc.of_study(sent.StudyInstanceUID)}

        wait_until(is_there, seconds=120)
        return [
            each
            for each in self.orthanc.of_study(sent.StudyInstanceUID)
            if each["SOPInstanceUID"] != sent.SOPInstanceUID
        ]

    def fetched(self, results: list[dict[str, str]], sop_class: str) -> Dataset:
        (found,) = (each for each in results if each["SOPClassUID"] == sop_class)
        return pydicom.dcmread(io.BytesIO(self.orthanc.file(found["ID"])))

    def explained(self, sent: bytes, model: str = "phantom") -> Explanation:
        """What the server says of the film, asked without a gateway."""
        outputs = Outputs()
        with Client(self.server) as client:
            return client.explain(sent, model=model, maps=outputs.maps)


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hospital]:
    folder = tmp_path_factory.mktemp("hospital")
    with (
        EmbeddedServer(MODELS, "cpu") as server,
        Orthanc(folder, ROUTING) as orthanc,
        Gateway(
            GatewaySettings.model_validate(
                {
                    "folder": folder / "gateway",
                    "free_mb": 0,
                    "telemetry": None,
                    "server": {"address": server.address},
                    "dicom": {"address": "127.0.0.1:0", "peers": [{"ae_title": TITLE}]},
                    "destinations": [
                        {
                            "protocol": "dicom",
                            "name": "archive",
                            "address": f"127.0.0.1:{orthanc.dicom_port}",
                            "ae_title": TITLE,
                        }
                    ],
                    "outputs": {"show_unreliable": True},
                    "rules": [
                        {"name": "cropped", "when": {"BodyPartExamined": ["CROPPED"]}, "model": "chest"},
                        RULE,
                    ],
                }
            )
        ) as gateway,
    ):
        orthanc.know("medxgan", "MEDXGAN", gateway.dicom_port)
        yield Hospital(orthanc, server.address, folder)


def test_a_film_comes_back_with_its_explanation(hospital: Hospital) -> None:
    sent = film()
    hospital.send(content(sent))
    results = hospital.results(sent)
    assert {each["PatientID"] for each in results} == {PATIENT_ID}
    assert {each["AccessionNumber"] for each in results} == {sent.AccessionNumber}
    assert sent.SeriesInstanceUID not in {each["SeriesInstanceUID"] for each in results}
    overlay = hospital.fetched(results, SecondaryCaptureImageStorage)
    assert (overlay.ContentQualification, overlay.BurnedInAnnotation) == ("RESEARCH", "YES")
    assert overlay.SourceImageSequence[0].ReferencedSOPInstanceUID == sent.SOPInstanceUID
    found = subprocess.run(
        [
            *(command("findscu"), "-v", "-S", "-aec", TITLE, "127.0.0.1", str(hospital.orthanc.dicom_port)),
            *("-k", "QueryRetrieveLevel=IMAGE", "-k", f"StudyInstanceUID={sent.StudyInstanceUID}"),
            *("-k", "SOPInstanceUID", "-k", "Modality"),
        ],
        check=True,
        capture_output=True,
        text=True,
    )
    assert len(re.findall(r"Find Response: \d", found.stdout + found.stderr)) == 1 + len(results)


@pytest.mark.parametrize(
    "attributes",
    [{}, {"PhotometricInterpretation": "MONOCHROME1"}, {"Rows": 32, "Columns": 128}, {"Rows": 128, "Columns": 32}],
    ids=["square", "dark on bright", "wide", "high"],
)
def test_the_map_in_the_archive_is_the_one_of_the_server_laid_back_on_the_film(
    hospital: Hospital, attributes: dict[str, object]
) -> None:
    sent = film(seed=3, **attributes)
    hospital.send(content(sent))
    stored = hospital.fetched(hospital.results(sent), ParametricMapStorage)
    expected = hospital.explained(content(sent)).on_film(MapKind.DIFFERENCE, fill=0)
    laid = stored.pixel_array.reshape(sent.Rows, sent.Columns)
    covered = expected != 0
    assert covered.any()
    # The server computes again, in another batch: to rounding.
    np.testing.assert_allclose(laid[covered], expected[covered], atol=0.02)


with Image.open(io.BytesIO(SAMPLE)) as phantom:
    SLICE = np.asarray(phantom)
"""A drawn slice [512, 512], which the model finds something in."""


def chest_between_shutters() -> np.ndarray:
    """A chest film, which the model finds something in, reduced and between black edges."""
    levels = (
        pydicom.dcmread(str(files("data_store") / "data" / "RG1_UNCR.dcm")).pixel_array[::4, ::4].astype(np.float32)
    )
    low, high = np.percentile(levels, [0.5, 99.5])
    grey = np.clip(255 * (high - levels) / (high - low), 0, 255)  # high levels are dark in it
    return np.pad(grey.astype(np.uint8), ((0, 0), (80, 80)))


FILMS = {
    "as it is": (SLICE, {}),
    "upside down": (SLICE[::-1], {"PatientOrientation": ["L", "H"]}),
    "MONOCHROME1": (255 - SLICE, {"photometric": "MONOCHROME1"}),
    "not square": (SLICE[::2], {"PixelSpacing": [0.4, 0.2]}),
    "wide": (SLICE[60:-60], {}),
    # This model takes the middle of a film, and the other all of it.
    "cropped": (chest_between_shutters(), {"BodyPartExamined": "CROPPED"}),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", FILMS)
def test_the_overlay_in_the_archive_is_the_film_with_the_map_where_it_lies(hospital: Hospital, name: str) -> None:
    levels, attributes = FILMS[name]
    sent = new(make_film(np.ascontiguousarray(levels), bits=8, WindowCenter=128, WindowWidth=256, **attributes))
    hospital.send(content(sent))
    overlay = hospital.fetched(hospital.results(sent), SecondaryCaptureImageStorage)
    picture = overlay.pixel_array.astype(np.float32)
    assert picture.shape == (*levels.shape, 3)
    explanation = hospital.explained(content(sent), "chest" if name == "cropped" else "phantom")
    box = explanation.geometry.box
    assert ((box.bottom - box.top) * (box.right - box.left) < 0.9 * levels.size) is (name == "cropped")
    laid = explanation.on_film(MapKind.DIFFERENCE, fill=0) / np.abs(explanation.difference).max()
    grey = 255 - levels if name == "MONOCHROME1" else levels
    color = np.where(laid[..., None] > 0, RED, BLUE)
    expected = grey[..., None] + OPACITY * np.abs(laid)[..., None] * (color - grey[..., None])
    beside = np.ones(len(levels), np.bool_)
    beside[burnt_in_rows(overlay)] = False
    wrong = np.abs(picture - expected)[beside]
    # The server computes again, in another batch; a map in another place would be wrong by a hundred levels.
    assert wrong.max() < 12
    assert wrong.mean() < 0.6
    assert np.ptp(picture[beside], axis=-1).max() > 100


@pytest.mark.slow
def test_a_film_in_jpeg_of_12_bits_comes_back_explained(hospital: Hospital, tmp_path: Path) -> None:
    plain = new(make_film(SLICE.astype(np.uint16) * 16, WindowCenter=2048, WindowWidth=4096))
    plain.save_as(tmp_path / "plain.dcm", enforce_file_format=True)
    subprocess.run([command("dcmcjpeg"), "+ee", "+un", tmp_path / "plain.dcm", tmp_path / "12bit.dcm"], check=True)
    sent = pydicom.dcmread(tmp_path / "12bit.dcm")
    assert (sent.file_meta.TransferSyntaxUID, sent.BitsStored) == (JPEGExtended12Bit, 12)
    hospital.send((tmp_path / "12bit.dcm").read_bytes())
    results = hospital.results(sent)
    overlay = hospital.fetched(results, SecondaryCaptureImageStorage)
    assert overlay.SourceImageSequence[0].ReferencedSOPInstanceUID == sent.SOPInstanceUID
    # Green is what the map leaves of the film: never more than there is, but for what is lost by compressing.
    green = overlay.pixel_array[..., 1].astype(int)
    quiet = np.ptp(overlay.pixel_array.astype(int), axis=-1) < 3
    quiet[burnt_in_rows(overlay)] = False
    assert quiet.mean() > 0.2
    assert np.abs(green - SLICE)[quiet].max() <= 6


@pytest.mark.slow
def test_a_film_that_is_deleted_in_the_archive_and_sent_again_has_its_results_once(hospital: Hospital) -> None:
    sent = film(seed=11)
    hospital.send(content(sent))
    first = {each["SOPInstanceUID"] for each in hospital.results(sent)}
    for each in hospital.orthanc.of_study(sent.StudyInstanceUID):
        hospital.orthanc.delete(each["ID"])
    assert hospital.orthanc.of_study(sent.StudyInstanceUID) == []
    hospital.send(content(sent))
    again = [each["SOPInstanceUID"] for each in hospital.results(sent)]
    assert sorted(again) == sorted(first)


@pytest.mark.parametrize("name", RADIOGRAPHS)
def test_a_real_radiograph_in_each_encoding_comes_back_explained(hospital: Hospital, name: str) -> None:
    # They are one film in four encodings: here each is a film of its own.
    sent = new(pydicom.dcmread(str(files("data_store") / "data" / name)))
    hospital.send(content(sent))
    overlay = hospital.fetched(hospital.results(sent), SecondaryCaptureImageStorage)
    assert overlay.Rows >= sent.Rows
    assert overlay.Columns >= sent.Columns
