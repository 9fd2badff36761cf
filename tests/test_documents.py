"""What the documents say of files, extras and commands, without running any of it; `end_to_end` runs it."""

import ast
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
ROOMS = ("protos", "bundle", "training", "export", "server", "client", "gateway", "web", "cohort", "evaluation")
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("[a-z]*/README.md"), *ROOT.glob("docs/*.md")])

SUBCOMMANDS = {
    "explain": ("client", "cli"),
    "models": ("client", "cli"),
    "serve": ("server", "server"),
    "warm-up": ("server", "server"),
    "sign": ("bundle", "server"),
    "audit": ("server", "server"),
    "gateway": ("gateway", "gateway"),
    "train": ("training", "training"),
    "data": ("training", "training"),
    "evaluate": ("evaluation", "evaluation", "server"),
    "export": ("export", "export", "server"),
    "export-classifier": ("export", "export", "server"),
    "export-onnx": ("export", "export", "server"),
    "export-triton": ("server", "server"),
    "web": ("web", "web"),
    "cohort": ("cohort", "cohort"),
}
"""The room of each subcommand, and the extras that are enough for it."""

APART = {
    "client/medxgan/client/notebook/*.py": "notebook",
    "client/medxgan/client/studies/archive.py": "dicomweb",
    "client/medxgan/client/studies/f*.py": "dicom",
    "client/medxgan/client/studies/session.py": "dicomweb",
    "client/medxgan/client/studies/unquoted.py": "dicom",
    "cohort/medxgan/cohort/engines/ray_data.py": "ray",
    "server/medxgan/server/cluster/application.py": "ray",
    "server/medxgan/server/cluster/re*.py": "ray",
    "server/medxgan/server/cluster/running.py": "ray",
    "server/medxgan/server/engine/openvino.py": "server-openvino",
    "server/medxgan/server/engine/torch_engine.py": "torch",
    "server/medxgan/server/images/dicom/*.py": "dicom",
    "server/medxgan/server/telemetry/spans.py": "tracing",
    "server/medxgan/server/triton/model.py": "triton",
    "training/medxgan/training/data/dicom_*.py": "dicom",
    "training/medxgan/training/networks/onnx_*.py": "export",
    "web/medxgan/web/decoding/dicom.py": "web",
    "web/medxgan/web/dicom_results.py": "gateway",
    "web/medxgan/web/reports/cohort.py": "cohort",
}
"""Files that are imported only where it is asked for what they do, and the extra for that."""

BROUGHT_BY = {
    "google.rpc": "grpcio-status",
    "onnxruntime": "onnxruntime",
    "opentelemetry.exporter": "opentelemetry-exporter-otlp-proto-grpc",
    "opentelemetry.sdk": "opentelemetry-sdk",
    "opentelemetry": "opentelemetry-api",
}
"""Distributions of modules of which the metadata name several, or one that another brings."""


def blocks(document: Path, language: str = "bash") -> list[str]:
    """The blocks in a language, in order."""
    return re.findall(rf"```{language}\n(.*?)```", document.read_text(encoding="utf-8"), re.DOTALL)


def requirements(extras: Iterable[str]) -> set[str]:
    """The distributions that an installation with these extras asks for by name."""
    names: set[str] = set()
    named = [line for extra in extras for line in PROJECT["optional-dependencies"][extra]]
    for line in [*PROJECT["dependencies"], *named]:
        requirement = Requirement(line)
        if requirement.name == "medxgan":
            names |= requirements(requirement.extras)
        else:
            names.add(canonicalize_name(requirement.name))
    return names


@cache
def sources(room: str) -> list[Path]:
    return sorted(path for path in (ROOT / room / "medxgan").rglob("*.py") if not path.stem.endswith(("_pb2", "_grpc")))


@cache
def apart(path: Path) -> str | None:
    """The extra of a file that is imported only where it is asked for, else None."""
    relative = path.relative_to(ROOT)
    return next((extra for place, extra in APART.items() if relative.match(place)), None)


@cache
def imports(path: Path) -> frozenset[str]:
    """Modules that a file imports, in full, but for those that types alone need."""
    names: set[str] = set()

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            return
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(path.read_text(encoding="utf-8")))
    return frozenset(names)


@cache
def rooms_of(room: str) -> set[str]:
    """A room and those that it imports, at whatever remove, but apart."""
    found, new = set(), {room}
    while new:
        found |= new
        first_party = {
            name.split(".")[1]
            for each in new
            for path in sources(each)
            if apart(path) is None
            for name in imports(path)
            if name.startswith("medxgan.")
        }
        new = ({"protos" if each == "v1" else each for each in first_party} & set(ROOMS)) - found
    return found


@cache
def of_module() -> Mapping[str, list[str]]:
    """The distributions of every module that is installed."""
    return packages_distributions()


def distributions(paths: Iterable[Path]) -> dict[str, str]:
    """The distributions that files import, each with a file that does."""
    found: dict[str, str] = {}
    for path in paths:
        for name in imports(path):
            top = name.partition(".")[0]
            brought = next((other for module, other in BROUGHT_BY.items() if name.startswith(module)), None)
            if name.startswith("google.protobuf"):
                brought = "protobuf"
            if (brought is None and top not in of_module()) or top == "medxgan":
                continue  # of the standard library, or ours
            found[canonicalize_name(brought or of_module()[top][0])] = f"{path.relative_to(ROOT)}: {name}"
    return found


def missing(room: str, extras: Iterable[str]) -> dict[str, str]:
    """What a room and those that it imports need and these extras do not bring."""
    paths = [path for each in rooms_of(room) for path in sources(each) if apart(path) is None]
    present = requirements(extras)
    if "onnxruntime-gpu" in present:
        present.add("onnxruntime")
    return {name: where for name, where in distributions(paths).items() if name not in present}


@pytest.mark.parametrize("subcommand", SUBCOMMANDS)
@pytest.mark.parametrize("runtime", ["server", "server-gpu"])
def test_its_extras_bring_what_a_subcommand_imports(subcommand: str, runtime: str) -> None:
    room, *extras = SUBCOMMANDS[subcommand]
    assert missing(room, [runtime if extra == "server" else extra for extra in extras]) == {}


@pytest.mark.parametrize("place", APART)
def test_what_is_imported_apart_has_an_extra(place: str) -> None:
    paths = sorted(ROOT.glob(place))
    beside = {"server": "server", "web": "cli"}.get(place.partition("/")[0], "training")
    present = requirements([APART[place], beside])
    assert {name: where for name, where in distributions(paths).items() if name not in present} == {}
    only = distributions(paths).keys() - requirements([beside])
    assert only, "it could be imported like any other"


def commands(document: Path) -> Iterator[tuple[str, str]]:
    """Every `medxgan` of a document's shell blocks: the subcommand, and the whole line."""
    for block in blocks(document):
        for line in block.replace("\\\n", " ").splitlines():
            code = re.sub(r"(^|\s)#.*", "", line)
            if called := re.match(r"(?:torchrun .* )?medxgan ([a-z-]+)", code):
                yield called[1], code


def installed(document: Path) -> set[str]:
    """The extras that a document's shell blocks install."""
    text = "\n".join(blocks(document))
    found = re.findall(r"^pip install (.*)", re.sub(r"\s#.*", "", text, flags=re.MULTILINE), re.MULTILINE)
    return {extra for line in found for part in re.findall(r"medxgan\[([a-z,-]+)\]", line) for extra in part.split(",")}


@pytest.mark.parametrize(
    "document", [each for each in DOCUMENTS if installed(each)], ids=lambda each: str(each.relative_to(ROOT))
)
def test_a_document_installs_what_its_commands_import(document: Path) -> None:
    extras = installed(document)
    assert extras <= PROJECT["optional-dependencies"].keys()
    assert not {"server", "server-gpu"} <= extras, "they exclude each other"
    for subcommand, line in commands(document):
        room, *_ = SUBCOMMANDS[subcommand]
        rooms = {room, "server"} if room == "client" and "--server" not in line else {room}
        for each in rooms:
            assert missing(each, extras) == {}, line
        if "film.dcm" in line and "--server" not in line:
            assert "dicom" in extras, line


def test_every_subcommand_is_known_here() -> None:
    from medxgan.client.command.rooms import SUBCOMMANDS as MOUNTED

    assert {each.name for each in MOUNTED} | {"explain", "models"} == SUBCOMMANDS.keys()
    for each in MOUNTED:
        assert each.extra in SUBCOMMANDS[each.name][1:]
    assert {subcommand for document in DOCUMENTS for subcommand, _ in commands(document)} == SUBCOMMANDS.keys()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda each: str(each.relative_to(ROOT)))
def test_shell_stands_in_blocks_that_are_run(document: Path) -> None:
    text = re.sub(r"```.*?```", "", document.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert not re.findall(r"^ {4}(?:medxgan|make|pip|python|torchrun) .*", text, re.MULTILINE)


@pytest.mark.parametrize(
    "document", [*DOCUMENTS, *ROOT.glob("models/*/*/*.md")], ids=lambda each: str(each.relative_to(ROOT))
)
def test_the_files_that_a_document_points_to_exist(document: Path) -> None:
    targets = re.findall(r"\]\((?!http)([^)#]+)\)", document.read_text(encoding="utf-8"))
    assert not [target for target in targets if not (document.parent / target).exists()]
