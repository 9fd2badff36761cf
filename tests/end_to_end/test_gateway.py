"""From a modality through a real archive, a real gateway and a real server back into the archive."""

import subprocess
from pathlib import Path

import pytest
from pydicom.uid import SecondaryCaptureImageStorage
from tests.gateway.conftest import MODELS, RULE, wait_until
from tests.gateway.dcmtk import command, needs_dcmtk
from tests.gateway.films import PATIENT_ID, content, film
from tests.gateway.orthanc import MISSING, TITLE, Orthanc

from medxgan.gateway.gateway import Gateway
from medxgan.gateway.settings import GatewaySettings
from medxgan.server.embedded import EmbeddedServer

pytestmark = [
    pytest.mark.skipif(MISSING is not None, reason=str(MISSING)),
    needs_dcmtk,
]

ROUTING = """
function OnStoredInstance(instance, tags, metadata, origin)
    if tags.Modality == 'CR' then SendToModality(instance, 'medxgan') end
end
"""


def test_a_film_sent_to_the_archive_comes_back_with_its_explanation(tmp_path: Path) -> None:
    with (
        EmbeddedServer(MODELS, "cpu") as server,
        Orthanc(tmp_path, ROUTING) as orthanc,
        Gateway(
            GatewaySettings.model_validate(
                {
                    "folder": tmp_path / "gateway",
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
        sent = film()
        (tmp_path / "film.dcm").write_bytes(content(sent))
        subprocess.run(
            [command("storescu"), "-aec", TITLE, "127.0.0.1", str(orthanc.dicom_port), tmp_path / "film.dcm"],
            check=True,
        )
        wait_until(lambda: {"OT", "SR"} <= {each["Modality"] for each in orthanc.of_study(sent.StudyInstanceUID)})
        found = subprocess.run(
            [
                *(command("findscu"), "-v", "-S", "-aec", TITLE, "127.0.0.1", str(orthanc.dicom_port)),
                *("-k", "QueryRetrieveLevel=IMAGE", "-k", f"StudyInstanceUID={sent.StudyInstanceUID}"),
                *("-k", "SOPInstanceUID", "-k", "Modality"),
            ],
            check=True,
            capture_output=True,
            text=True,
        )
        assert (found.stdout + found.stderr).count("Find Response") >= 3
        of_study = orthanc.of_study(sent.StudyInstanceUID)
    results = [each for each in of_study if each["SOPInstanceUID"] != sent.SOPInstanceUID]
    assert {each["PatientID"] for each in of_study} == {PATIENT_ID}
    assert {each["AccessionNumber"] for each in of_study} == {sent.AccessionNumber}
    assert sent.SeriesInstanceUID not in {each["SeriesInstanceUID"] for each in results}
    (overlay,) = (each for each in results if each["SOPClassUID"] == SecondaryCaptureImageStorage)
    assert (overlay["ContentQualification"], overlay["BurnedInAnnotation"]) == ("RESEARCH", "YES")
    assert overlay["SourceImageSequence"][0]["ReferencedSOPInstanceUID"] == sent.SOPInstanceUID  # type: ignore[index]
