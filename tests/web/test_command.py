"""`medxgan web`: what it refuses, and that it opens."""

import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from medxgan.client.command.app import app

ROOT = Path(__file__).parents[2]


@pytest.mark.usefixtures("plain_terminal")
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--address", "0.0.0.0:8080"], "beyond loopback"),
        (["--address", "8080"], "HOST:PORT"),
        (["--certificate", "a.pem"], "goes with its key"),
        (["--folder", "nowhere"], "there is no nowhere"),
        (["--access-token-file", "nowhere"], "no token can be read"),
        (["--report", "."], "expected a folder of `medxgan evaluate --report`"),
        (["--report-films", "nowhere"], "expected a folder"),
        (["--report-films", "."], "goes with --report"),
        (["--archive-user", "reader"], "goes with --archive"),
        (["--archive", "https://x", "--archive-password-file", "."], "goes with --archive-user"),
        (["--server", "localhost:1", "--models", "."], "embedded"),
    ],
)
def test_what_can_t_be_is_refused(arguments: list[str], words: str) -> None:
    result = CliRunner().invoke(app, ["web", *arguments])
    assert result.exit_code == 2
    assert words in " ".join(result.output.replace("\N{BOX DRAWINGS LIGHT VERTICAL}", " ").split())


@pytest.mark.slow
def test_it_opens_serves_and_ends(upstream: str, tmp_path: Path) -> None:
    """As a process: it says where it is, serves pages and films, logs nothing of either, and ends by SIGTERM."""
    call = "import sys; sys.argv[0] = 'medxgan'; from medxgan.client.command import main; main()"
    command = [sys.executable, "-c", call, "web", "--server", upstream, "--address", "127.0.0.1:0"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        line = process.stdout.readline()
        url = re.search(r"http://\S+", line)[0]
        assert "reading room" in httpx.get(url, timeout=60).text
        assert httpx.get(f"{url}/app.js", timeout=60).headers["content-type"].startswith("text/javascript")
        with httpx.Client(base_url=url, timeout=60) as reader:
            reader.post("/api/session").raise_for_status()
            film = reader.post("/api/samples/0").json()["id"]
            reader.post(f"/api/films/{film}/explanations", json={"model": "phantom"}, timeout=60).raise_for_status()
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert "outcome=explained" in log
    assert film not in log
    assert "Traceback" not in log
