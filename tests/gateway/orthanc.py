"""A real picture archive: Debian's Orthanc with DICOMweb, on free ports of loopback."""

import json
import shutil
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import requests
from tests.ports import free_port

PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
MISSING = (
    "Orthanc with DICOMweb is not installed: apt-get install orthanc orthanc-dicomweb"
    if shutil.which("Orthanc") is None or not PLUGIN.exists()
    else None
)
TITLE = "ORTHANC"


class Orthanc:
    """An Orthanc that is up while its context lasts; `stop` and `start` let it be away and come back with what it has.

    Args:
        folder: where it keeps what it has.
        lua: rules that it runs.
    """

    def __init__(self, folder: Path, lua: str = "") -> None:
        self._folder = folder
        self.http_port, self.dicom_port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.http_port}"
        (folder / "rules.lua").write_text(lua, encoding="utf-8")
        settings = {
            "StorageDirectory": str(folder / "storage"),
            "IndexDirectory": str(folder / "storage"),
            "HttpPort": self.http_port,
            "DicomPort": self.dicom_port,
            "DicomAet": TITLE,
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": False,
            "DicomAlwaysAllowEcho": True,
            "DicomAlwaysAllowFind": True,
            "DicomCheckModalityHost": False,
            "Plugins": [str(PLUGIN)],
            "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
            "LuaScripts": [str(folder / "rules.lua")],
            "ConcurrentJobs": 2,
        }
        (folder / "orthanc.json").write_text(json.dumps(settings), encoding="utf-8")
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # It takes three seconds to end by itself.
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def start(self) -> None:
        with (self._folder / "orthanc.log").open("ab") as log:
            self._process = subprocess.Popen(
                ["Orthanc", str(self._folder / "orthanc.json")], stdout=log, stderr=subprocess.STDOUT
            )
        for _ in range(1200):
            try:
                if requests.get(f"{self.url}/system", timeout=60).ok:
                    return
            except requests.ConnectionError:
                time.sleep(0.1)
        raise AssertionError((self._folder / "orthanc.log").read_text())

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
            self._process = None

    def get(self, path: str) -> Any:
        answer = requests.get(self.url + path, timeout=30)
        answer.raise_for_status()
        return answer.json()

    def stored(self, content: bytes) -> dict[str, str]:
        """Store an object; gives the answer: its name in Orthanc under ID, its Status, its ParentStudy."""
        answer = requests.post(f"{self.url}/instances", data=content, timeout=30)
        answer.raise_for_status()
        found: dict[str, str] = answer.json()
        return found

    def store(self, content: bytes) -> str:
        """Store an object; gives its name in Orthanc."""
        return self.stored(content)["ID"]

    def file(self, name: str) -> bytes:
        return requests.get(f"{self.url}/instances/{name}/file", timeout=30).content

    def preview(self, name: str) -> bytes:
        answer = requests.get(f"{self.url}/instances/{name}/preview", timeout=30)
        answer.raise_for_status()
        return answer.content

    def delete(self, name: str) -> None:
        requests.delete(f"{self.url}/instances/{name}", timeout=30).raise_for_status()

    def know(self, name: str, title: str, port: int) -> None:
        """Let it send to a DICOM node."""
        node = {"AET": title, "Host": "127.0.0.1", "Port": port}
        requests.put(f"{self.url}/modalities/{name}", json=node, timeout=30).raise_for_status()

    def of_study(self, study: str) -> list[dict[str, str]]:
        """Tags of the instances of a study, by keyword, each with its name in Orthanc under ID."""
        found = requests.post(
            f"{self.url}/tools/find",
            json={"Level": "Instance", "Query": {"StudyInstanceUID": study}, "Expand": True},
            timeout=30,
        ).json()
        return [self.get(f"/instances/{each['ID']}/simplified-tags") | {"ID": each["ID"]} for each in found]
