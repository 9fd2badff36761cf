"""The real tritonserver, from the package nvidia-pytriton, which brings one for the CPU."""

import os
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import tritonclient.grpc as triton
from tests.ports import free_port
from tritonclient.utils import InferenceServerException

PACKAGE = "nvidia-pytriton==0.7.0"
VARIABLE = "MEDXGAN_TRITON_PYTHON"
START_SECONDS = 120
INSTALL_SECONDS = 200
STOP_SECONDS = 40


def triton_python(folder: Path) -> Path:
    """The Python of an environment with nvidia-pytriton: the one that the variable names, else one that is made here.

    Args:
        folder: where to make it.
    """
    if named := os.environ.get(VARIABLE):
        return Path(named)
    python = folder / "bin" / "python"
    uv = Path(sys.executable).with_name("uv")
    commands = [uv, "venv", "--quiet", "--python", sys.executable, folder], [uv, "pip", "install", "--quiet"]
    try:
        subprocess.run(commands[0], check=True, capture_output=True, timeout=INSTALL_SECONDS)
        install = [*commands[1], "--python", python, PACKAGE]
        subprocess.run(install, check=True, capture_output=True, timeout=INSTALL_SECONDS)
    except (OSError, subprocess.CalledProcessError, subprocess.TimeoutExpired):
        pytest.skip(f"{PACKAGE} can't be installed here; {VARIABLE} may name a Python that has it")
    return python


@contextmanager
def tritonserver(python: Path, repository: Path, folder: Path) -> Iterator[str]:
    """Serve a model repository; the address of its gRPC.

    Args:
        python: of an environment with nvidia-pytriton.
        repository: the models.
        folder: for what it needs.
    """
    asked = "import pytriton, sys, sysconfig as s; print(pytriton.__path__[0]); print(s.get_config_var('LIBDIR')); " + (
        "print(*sys.version_info[:2], sep='.')"
    )
    outcome = subprocess.run([python, "-c", asked], check=True, capture_output=True, text=True)
    package, libraries, version = outcome.stdout.split()
    server = Path(package) / "tritonserver"
    backends = folder / "backends"
    shutil.copytree(server / "backends", backends)
    shutil.copy(server / "python_backend_stubs" / version / "triton_python_backend_stub", backends / "python")
    site = Path(package).parent
    environment = os.environ | {
        "LD_LIBRARY_PATH": f"{site / 'nvidia_pytriton.libs'}:{libraries}",
        "PATH": f"{python.parent}:{os.environ['PATH']}",
        "MEDXGAN_PYTHON": sys.executable,
    }
    port = free_port()
    command = [
        server / "bin" / "tritonserver",
        f"--model-repository={repository}",
        f"--backend-directory={backends}",
        "--grpc-address=127.0.0.1",
        f"--grpc-port={port}",
        "--allow-http=false",
        "--allow-metrics=false",
        "--exit-timeout-secs=5",
    ]
    log = folder / "tritonserver.log"
    with log.open("w") as output:
        process = subprocess.Popen(list(map(str, command)), env=environment, stdout=output, stderr=output)
    try:
        wait_until_ready(process, f"127.0.0.1:{port}", log)
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()


def wait_until_ready(process: subprocess.Popen[bytes], address: str, log: Path) -> None:
    end = time.monotonic() + START_SECONDS
    with triton.InferenceServerClient(address) as client:
        while True:
            try:
                if client.is_server_ready(client_timeout=2):
                    return
            except InferenceServerException:
                time.sleep(0.2)
            if process.poll() is not None or time.monotonic() > end:
                said = log.read_text(errors="replace")
                if "libpython" in said:
                    pytest.skip(f"this Python has no {sysconfig.get_config_var('INSTSONAME')} for Triton to load")
                raise RuntimeError(f"tritonserver did not start:\n{said[-3000:]}")
