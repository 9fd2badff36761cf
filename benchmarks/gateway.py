"""How many films a minute pass a gateway, and how fast a burst of them is safely taken.

A server, a gateway and Orthanc (Debian: apt-get install orthanc), each a process on this machine; films are sent on
several associations at once, as fast as they are answered. Prints the figures as a table in Markdown.
"""

import argparse
import io
import json
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import requests
from pydicom.uid import ExplicitVRLittleEndian, generate_uid
from pynetdicom import AE

MODELS = Path(__file__).parents[1] / "models"
FILM = files("data_store") / "data" / "RG1_UNCR.dcm"
MEDXGAN = [sys.executable, "-c", "from medxgan.client.command import main; main()"]


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextmanager
def running(command: Sequence[str], log: Path) -> Iterator[None]:
    """A process that is up while the context lasts."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        yield
    finally:
        process.terminate()
        process.wait()


def until(condition: Any, seconds: float) -> None:
    """Wait for a condition."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            sys.exit("error: it took too long")
        time.sleep(0.2)


def answers(url: str) -> bool:
    """Whether somebody answers there."""
    try:
        return requests.get(url, timeout=5).ok
    except requests.ConnectionError:
        return False


def send_share(port: int, numbers: Sequence[int], base: np.ndarray[Any, Any]) -> list[float]:
    """Send films on one association; gives the seconds from each film's first byte to its answer."""
    film = pydicom.dcmread(io.BytesIO(FILM.read_bytes()))
    modality = AE("MODALITY")
    modality.add_requested_context(film.SOPClassUID, ExplicitVRLittleEndian)
    association = modality.associate("127.0.0.1", port, ae_title="MEDXGAN")
    film.Rows, film.Columns = base.shape
    film.StudyInstanceUID = generate_uid()
    seconds = []
    for number in numbers:
        film.SOPInstanceUID = film.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        film.PixelData = np.roll(base, number, axis=0).tobytes()
        began = time.monotonic()
        status = association.send_c_store(film)
        seconds.append(time.monotonic() - began)
        if status.get("Status") != 0:
            sys.exit("error: a film was refused")
    association.release()
    return seconds


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--films", type=int, default=500)
    parser.add_argument("--side", type=int, default=1024, help="rows and columns of a film")
    parser.add_argument("--associations", type=int, default=4)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--model", default="chest")
    options = parser.parse_args()
    whole = pydicom.dcmread(io.BytesIO(FILM.read_bytes())).pixel_array
    rows, columns = (np.linspace(0, side - 1, options.side).astype(int) for side in whole.shape)
    base = np.ascontiguousarray(whole[np.ix_(rows, columns)])
    server, dicom, telemetry, archive_http, archive_dicom = (free_port() for _ in range(5))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "gateway.toml").write_text(
            f"""
folder = "{folder / "gateway"}"
telemetry = "127.0.0.1:{telemetry}"
server = {{ address = "127.0.0.1:{server}", workers = {options.workers} }}
dicom = {{ address = "127.0.0.1:{dicom}", peers = [{{ ae_title = "MODALITY" }}] }}
outputs = {{ show_unreliable = true }}
rules = [{{ name = "all", model = "{options.model}" }}]

[[destinations]]
protocol = "dicom"
name = "archive"
address = "127.0.0.1:{archive_dicom}"
ae_title = "ORTHANC"
""",
            encoding="utf-8",
        )
        archive = {
            "StorageDirectory": str(folder / "archive"),
            "IndexDirectory": str(folder / "archive"),
            "HttpPort": archive_http,
            "DicomPort": archive_dicom,
            "DicomAet": "ORTHANC",
            "DicomCheckModalityHost": False,
            "AuthenticationEnabled": False,
        }
        (folder / "orthanc.json").write_text(json.dumps(archive), encoding="utf-8")
        serve = [*MEDXGAN, "serve", "--models", str(MODELS), "--address", f"127.0.0.1:{server}"]
        run = [*MEDXGAN, "gateway", "run", "--config", str(folder / "gateway.toml")]
        page = f"http://127.0.0.1:{telemetry}"
        with (
            running(["Orthanc", str(folder / "orthanc.json")], folder / "orthanc.log"),
            running(serve, folder / "server.log"),
            running(run, folder / "gateway.log"),
        ):
            until(lambda: answers(f"http://127.0.0.1:{archive_http}/system"), 60)
            until(lambda: server_is_up(server), 120)
            until(lambda: answers(f"{page}/health/ready"), 60)
            load = os.getloadavg()[0]
            began = time.monotonic()
            shares = [range(first, options.films, options.associations) for first in range(options.associations)]
            with ThreadPoolExecutor(options.associations) as modalities:
                taken = [
                    each
                    for share in modalities.map(lambda part: send_share(dicom, part, base), shares)
                    for each in share
                ]
            answered = time.monotonic() - began
            until(lambda: state(page)["delivered"] + state(page)["failed"] + state(page)["dead"] == options.films, 3600)
            whole_time = time.monotonic() - began
            figures = requests.get(f"{page}/metrics", timeout=60).text
            memory = re.findall(r"^process_resident_memory_bytes (\S+)", figures, re.MULTILINE)
            taken.sort()
            print(
                f"{options.films} films of {base.nbytes / 1e6:.1f} MB, model {options.model}, {options.associations} "
                f"associations, {options.workers} workers, {os.cpu_count()} cores; load average {load:.1f} before, "
                f"{os.getloadavg()[0]:.1f} after\n"
            )
            rows_of_table = {
                "films by state at the end": {name: count for name, count in state(page).items() if count},
                "the burst, on the disk and answered": f"{answered:.1f} s, {options.films / answered:.1f} a second",
                "answer to one film, median": f"{statistics.median(taken):.3f} s",
                "answer to one film, 99th percentile": f"{taken[int(len(taken) * 0.99)]:.3f} s",
                "explained and delivered": f"{whole_time:.0f} s, {options.films / whole_time * 60:.0f} films a minute",
                "memory of the gateway at the end": f"{float(memory[0]) / 1e6:.0f} MB",
            }
            print("| what | figure |\n|---|---|")
            for what, figure in rows_of_table.items():
                print(f"| {what} | {figure} |")


def state(page: str) -> dict[str, int]:
    """Films of the gateway by state."""
    films: dict[str, int] = requests.get(f"{page}/status", timeout=60).json()["films"]
    return films


def server_is_up(port: int) -> bool:
    """Whether somebody listens there."""
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) == 0


if __name__ == "__main__":
    main()
