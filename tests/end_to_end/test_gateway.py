"""From a modality through a real archive, a real gateway and a real server back into the archive."""

import subprocess
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from medxgan.gateway.gateway import Gateway
from medxgan.gateway.settings import GatewaySettings
from medxgan.server.embedded import EmbeddedServer
from tests.gateway.conftest import MODELS, RULE, wait_until
from tests.gateway.films import content, film
from tests.gateway.orthanc import MISSING, TITLE, Orthanc

pytestmark = [
    pytest.mark.skipif(MISSING is not None, reason=str(MISSING)),
    pytest.mark.skipif(shutil.which("storescu") is None, reason="dcmtk is not installed: apt-get install dcmtk"),
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
            ["storescu", "-aec", TITLE, "127.0.0.1", str(orthanc.dicom_port), tmp_path / "film.dcm"], check=True
        )
        wait_until(lambda: len(orthanc.of_study(sent.StudyInstanceUID)) > 2)
        print([(each["Modality"], each.get("SeriesDescription")) for each in orthanc.of_study(sent.StudyInstanceUID)])
