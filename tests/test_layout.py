"""What must stay true of the tree: the namespace package, the walls, the generated modules, the shipped bundles."""

import subprocess
import sys
from pathlib import Path

import pytest

from medxgan.bundle import load_bundle

ROOT = Path(__file__).parents[1]
ROOMS = ("protos", "bundle", "training", "export", "server", "client", "gateway", "web", "cohort", "evaluation")
BUNDLES = sorted(file.parent for file in (ROOT / "models").glob("*/*/bundle.json"))
MEGABYTE = 1024 * 1024


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("room", ROOMS)
def test_no_init_ends_the_namespace_package(room: str) -> None:
    portion = ROOT / room / "medxgan"
    assert portion.is_dir()
    assert not (portion / "__init__.py").exists()


@pytest.mark.parametrize("room", ROOMS)
def test_every_portion_is_typed(room: str) -> None:
    assert list((ROOT / room / "medxgan").glob("*/py.typed"))


def test_the_walls_hold() -> None:
    outcome = run("-c", "from importlinter.cli import lint_imports; raise SystemExit(lint_imports())")
    assert outcome.returncode == 0, outcome.stdout


def test_generated_modules_are_what_the_protos_make() -> None:
    outcome = run("protos/generate.py", "--check")
    assert outcome.returncode == 0, outcome.stderr


def test_serving_does_without_torch() -> None:
    modules = "medxgan.server.serving, medxgan.server.embedded, medxgan.client.command, sys"
    outcome = run("-c", f"import {modules}; raise SystemExit('torch' in sys.modules)")
    assert outcome.returncode == 0, outcome.stderr


def test_bundles_are_shipped() -> None:
    assert {bundle.parent.name for bundle in BUNDLES} == {"phantom", "chest", "pneumonia", "brain-lgg"}


@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda folder: f"{folder.parent.name}-{folder.name}")
def test_a_shipped_bundle_is_whole_and_small(bundle: Path) -> None:
    description = load_bundle(bundle).description
    assert description.provenance.license in (bundle / "MODEL_CARD.md").read_text()
    assert sum(file.stat().st_size for file in bundle.iterdir()) < 12 * MEGABYTE
