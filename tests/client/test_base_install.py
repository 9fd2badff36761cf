"""The base install is the client alone: gRPC, NumPy, protobuf."""

import subprocess
import sys

BLOCKED = (
    "matplotlib",
    "typer",
    "click",
    "rich",
    "PIL",
    "protovalidate",
    "pydantic",
    "skimage",
    "medxgan.bundle",
    "medxgan.server",
)
"""Modules that are there in the tests and not in a base install."""
BLOCK = f"import sys; sys.modules.update(dict.fromkeys({BLOCKED}))\n"


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", BLOCK + code], capture_output=True, text=True, check=False)


def test_the_client_explains_without_the_extras(service) -> None:
    done = run(
        "import medxgan.client as client, numpy as np\n"
        "for name in client.__all__: getattr(client, name)\n"
        f"with client.Client('{service.address}') as connection:\n"
        "    explanation = connection.explain(np.zeros((8, 8), np.uint8))\n"
        "assert explanation._repr_png_() is None\n"  # a notebook shows the text then
        "print(explanation.on_film(client.MapKind.DIFFERENCE).shape, connection is not None)\n"
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("(40, 50)")


def test_a_png_names_the_extra_that_reads_it(service) -> None:
    done = run(
        "import medxgan.client as client, numpy as np\n"
        f"with client.Client('{service.address}') as connection:\n"
        "    kind = client.MapKind.DIFFERENCE\n"
        "    explanation = connection.explain(np.zeros((8, 8), np.uint8), maps=[kind], form=client.MapForm.PNG)\n"
        "assert explanation.maps[kind].png\n"
        "try: explanation[kind]\n"
        "except client.MissingExtraError as error: print(error)\n"
    )
    assert done.returncode == 0, done.stderr
    assert "pip install 'medxgan[cli]'" in done.stdout


def test_the_command_names_its_extra() -> None:
    done = run("from medxgan.client.command import main; main()")
    assert done.returncode == 1
    assert "the medxgan command needs the cli extra: pip install 'medxgan[cli]'" in done.stderr
    assert "Traceback" not in done.stderr
