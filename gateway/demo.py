"""A film goes through an archive, a gateway and a server, and its explanation is in the archive: all on this machine.

`make gateway-demo` runs it. It needs Orthanc (Debian: apt-get install orthanc).
"""

import argparse
import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

import pydicom
import requests
from pynetdicom import AE

from medxgan.client.command.embedded import embedded_server
from medxgan.gateway.gateway import Gateway
from medxgan.gateway.settings import GatewaySettings

MODELS = Path(__file__).parents[1] / "models"
FILM = files("data_store") / "data" / "RG1_UNCR.dcm"
ARCHIVE, GATEWAY = "ORTHANC", "MEDXGAN"

ROUTING = f"""
function OnStoredInstance(instance, tags, metadata, origin)
    if tags.Modality == 'CR' or tags.Modality == 'DX' then SendToModality(instance, '{GATEWAY}') end
end
"""
"""The rule of the archive: radiographs go to the gateway, and what comes back does not."""

SECONDS = 120
"""For what should take ten."""


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextmanager
def orthanc(folder: Path, http: int, dicom: int) -> Iterator[None]:
    """An archive on loopback with the rule above."""
    folder.mkdir()
    (folder / "routing.lua").write_text(ROUTING, encoding="utf-8")
    settings = {
        "Name": "medxgan demo",
        "StorageDirectory": str(folder),
        "IndexDirectory": str(folder),
        "HttpPort": http,
        "DicomPort": dicom,
        "DicomAet": ARCHIVE,
        "DicomCheckModalityHost": False,
        "AuthenticationEnabled": False,
        "LuaScripts": [str(folder / "routing.lua")],
    }
    (folder / "orthanc.json").write_text(json.dumps(settings), encoding="utf-8")
    with (folder / "orthanc.log").open("wb") as log:
        process = subprocess.Popen(["Orthanc", str(folder / "orthanc.json")], stdout=log, stderr=log)
    try:
        until(lambda: answers(f"http://127.0.0.1:{http}/system"), "Orthanc")
        yield
    finally:
        process.terminate()
        process.wait()


def answers(url: str) -> bool:
    """Whether somebody answers there."""
    try:
        return requests.get(url, timeout=5).ok
    except requests.ConnectionError:
        return False


def until(condition: Any, what: str) -> None:
    """Wait for a condition."""
    end = time.monotonic() + SECONDS
    while not condition():
        if time.monotonic() > end:
            sys.exit(f"error: {what} took more than {SECONDS} seconds")
        time.sleep(0.1)


def gateway_settings(folder: Path, server: str, dicom: int) -> GatewaySettings:
    """Settings as a file would have them."""
    return GatewaySettings.model_validate(
        {
            "folder": folder,
            "telemetry": "127.0.0.1:0",
            "server": {"address": server},
            "dicom": {"address": "127.0.0.1:0", "ae_title": GATEWAY, "peers": [{"ae_title": ARCHIVE}]},
            "destinations": [
                {"protocol": "dicom", "name": "orthanc", "address": f"127.0.0.1:{dicom}", "ae_title": ARCHIVE}
            ],
            # A demonstration shows the pictures whatever the verdict is; the verdict is written on them.
            "outputs": {"show_unreliable": True},
            "rules": [{"name": "adult chest", "when": {"Modality": ["CR", "DX"]}, "model": "chest"}],
        }
    )


def send(film: pydicom.Dataset, dicom: int) -> None:
    """Send a film to the archive, as a modality does."""
    modality = AE("MODALITY")
    modality.add_requested_context(film.SOPClassUID, film.file_meta.TransferSyntaxUID)
    association = modality.associate("127.0.0.1", dicom, ae_title=ARCHIVE)
    status = association.send_c_store(film)
    association.release()
    if status.get("Status") != 0:
        sys.exit("error: the archive does not take the film")


def main() -> None:
    """Run it until Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--once", action="store_true", help="end when the results are in the archive")
    once = parser.parse_args().once
    if shutil.which("Orthanc") is None:
        sys.exit("error: Orthanc is not installed; on Debian: apt-get install orthanc")
    film = pydicom.dcmread(str(FILM))
    http, dicom = free_port(), free_port()
    url = f"http://127.0.0.1:{http}"
    with (
        tempfile.TemporaryDirectory() as folder,
        embedded_server(MODELS, "cpu") as server,
        orthanc(Path(folder) / "orthanc", http, dicom),
        Gateway(gateway_settings(Path(folder) / "gateway", server, dicom)) as gateway,
    ):
        node = {"AET": GATEWAY, "Host": "127.0.0.1", "Port": gateway.dicom_port}
        requests.put(f"{url}/modalities/{GATEWAY}", json=node, timeout=10).raise_for_status()
        status = f"http://127.0.0.1:{gateway.telemetry_port}"
        send(film, dicom)
        until(lambda: requests.get(f"{status}/status", timeout=10).json()["films"]["delivered"] == 1, "the explanation")
        query = {"Level": "Study", "Query": {"StudyInstanceUID": film.StudyInstanceUID}}
        (study,) = requests.post(f"{url}/tools/find", json=query, timeout=10).json()
        for series in requests.get(f"{url}/studies/{study}/series", timeout=10).json():
            tags = series["MainDicomTags"]
            print(f"{tags['Modality']:4} {len(series['Instances'])}  {tags.get('SeriesDescription', 'the film')}")
        print(f"study:  {url}/app/explorer.html#study?uuid={study}")
        print(f"status: {status}")
        if not once:
            print("Ctrl-C ends the demonstration, and deletes what it made.")
            try:
                while True:
                    time.sleep(3600)
            except KeyboardInterrupt:
                pass


if __name__ == "__main__":
    main()
