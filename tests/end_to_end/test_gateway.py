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
from pydicom.dataset import Dataset
from pydicom.uid import (
    JPEG2000,
    JPEG2000Lossless,
    ParametricMapStorage,
    SecondaryCaptureImageStorage,
    generate_uid,
)
from tests.gateway.conftest import MODELS, RULE, wait_until
from tests.gateway.dcmtk import command, needs_dcmtk
from tests.gateway.films import PATIENT_ID, content, film
from tests.gateway.orthanc import MISSING, TITLE, Orthanc

from medxgan.client import Client, Explanation, MapKind
from medxgan.gateway.gateway import Gateway
from medxgan.gateway.results.outputs import Outputs
from medxgan.gateway.settings import GatewaySettings
from medxgan.server.embedded import EmbeddedServer

pytestmark = [pytest.mark.skipif(MISSING is not None, reason=str(MISSING)), needs_dcmtk]

ROUTING = """
function OnStoredInstance(instance, tags, metadata, origin)
    if tags.Modality == 'CR' then SendToModality(instance, 'medxgan') end
end
"""

PROPOSED = {JPEG2000Lossless: "-xv", JPEG2000: "-xw"}
"""Options of storescu by which a film that is compressed is sent as it is."""

RADIOGRAPHS = ("RG1_UNCR.dcm", "RG1_UNCI.dcm", "RG1_J2KR.dcm", "RG1_J2KI.dcm")


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

    def explained(self, sent: bytes) -> Explanation:
        """What the server says of the film, asked without a gateway."""
        outputs = Outputs()
        with Client(self.server) as client:
            return client.explain(sent, model="phantom", maps=outputs.maps)


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
                    "rules": [RULE],
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


@pytest.mark.parametrize("name", RADIOGRAPHS)
def test_a_real_radiograph_in_each_encoding_comes_back_explained(hospital: Hospital, name: str) -> None:
    sent = pydicom.dcmread(str(files("data_store") / "data" / name))
    # They are one film in four encodings: here each is a film of its own.
    sent.SOPInstanceUID = sent.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    sent.StudyInstanceUID = generate_uid()
    hospital.send(content(sent))
    overlay = hospital.fetched(hospital.results(sent), SecondaryCaptureImageStorage)
    assert overlay.Rows >= sent.Rows
    assert overlay.Columns >= sent.Columns
