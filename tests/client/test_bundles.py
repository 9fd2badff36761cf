"""Where the command finds bundles, and how they get there."""

import json
import zipfile
from pathlib import Path

import pytest
from typer.testing import CliRunner

from medxgan.bundle import BundleError, load_bundle
from medxgan.client.command import bundle_search, install
from medxgan.client.command.app import app
from medxgan.client.command.bundle_search import NoModelsError, find_models, user_models
from medxgan.client.command.install import InstallError
from medxgan.client.command.rooms import found_models

pytestmark = pytest.mark.usefixtures("plain_terminal")


def bundle(folder: Path, name: str = "chest", version: str = "2", terms: str = "MIT") -> Path:
    """Write what looks like a bundle from outside into a folder."""
    folder.mkdir(parents=True)
    description = {
        "name": name,
        "version": version,
        "image": {"modality": "chest film"},
        "classification": {"positive_class": "pneumonia"},
        "provenance": {"license": terms},
    }
    (folder / "bundle.json").write_text(json.dumps(description))
    (folder / "weights.bin").write_bytes(b"weights")
    return folder


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The package of bundles, with the model brain."""
    site = tmp_path / "site"
    bundle(site / "stand_in_models" / "brain" / "1", "brain", "1")
    monkeypatch.syspath_prepend(site)
    monkeypatch.setattr(bundle_search, "MODELS_PACKAGE", "stand_in_models")
    return site / "stand_in_models"


@pytest.fixture
def checked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A check that passes every bundle but the version 13; lists NAME/VERSION of what it saw."""
    seen: list[str] = []

    def check(folder: Path) -> None:
        seen.append(f"{folder.parent.name}/{folder.name}")
        assert (folder / "weights.bin").read_bytes() == b"weights"
        if folder.name == "13":
            raise BundleError("weights.bin: has another hash")

    parts = {"medxgan.bundle:load_bundle": check, "medxgan.bundle:BundleError": BundleError}
    monkeypatch.setattr(install, "load", lambda target, **_: parts[target])
    return seen


def test_what_was_named_is_taken(tmp_path) -> None:
    bundle(Path("models") / "chest" / "2")
    assert find_models(tmp_path) == tmp_path
    with pytest.raises(NoModelsError, match="there is no folder nowhere"):
        find_models(Path("nowhere"))


def test_the_order_is_here_then_the_users_then_the_packages(package) -> None:
    assert find_models(None) == package
    bundle(user_models() / "chest" / "2")
    assert find_models(None) == user_models()
    Path("models").mkdir()
    assert find_models(None) == user_models(), "a folder without a bundle is passed by"
    bundle(Path("models") / "mine" / "1", "mine", "1")
    assert find_models(None) == Path("models")


def test_serve_looks_where_explain_does_unless_it_is_told(package, monkeypatch) -> None:
    assert found_models([]) == ["--models", str(package)]
    assert found_models(["--address", "127.0.0.1:0"]) == ["--models", str(package)]
    assert found_models(["--models", "mine"]) == []
    assert found_models(["--models=mine"]) == []
    assert found_models(["--config=server.toml"]) == [], "the file may name a folder"
    monkeypatch.setenv("MEDXGAN_MODELS", "mine")
    assert found_models([]) == []


def test_serve_says_itself_that_there_are_no_models() -> None:
    assert found_models([]) == []


def test_a_model_is_found_where_it_is(package) -> None:
    bundle(user_models() / "chest" / "2")
    assert find_models(None, "brain") == package
    assert find_models(None, "chest") == user_models()
    assert find_models(None, "dream") == user_models(), "the server says which there are"


def test_no_bundle_anywhere_says_what_to_do() -> None:
    with pytest.raises(NoModelsError) as caught:
        find_models(None)
    for text in ("models", str(user_models()), "pip install medxgan-models", "--server"):
        assert text in str(caught.value)


@pytest.mark.parametrize(
    ("platform", "variable", "expected"),
    [
        ("linux", "XDG_DATA_HOME", "{data}/medxgan/models"),
        ("win32", "LOCALAPPDATA", "{data}/medxgan/models"),
        ("darwin", "XDG_DATA_HOME", "{home}/Library/Application Support/medxgan/models"),
    ],
)
def test_the_users_folder_is_the_platforms(monkeypatch, tmp_path, platform, variable, expected) -> None:
    monkeypatch.setattr("sys.platform", platform)
    monkeypatch.setenv(variable, str(tmp_path / "data"))
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "home")
    assert user_models() == Path(expected.format(data=tmp_path / "data", home=tmp_path / "home"))


def run(*arguments: object):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def packed(folder: Path, archive: Path, prefix: str = "") -> Path:
    with zipfile.ZipFile(archive, "w") as file:
        for path in sorted(folder.rglob("*")):
            file.write(path, f"{prefix}{path.relative_to(folder)}")
    return archive


def test_bundles_are_installed_from_a_folder_a_zip_and_a_wheel_and_listed(checked, tmp_path) -> None:
    one = bundle(tmp_path / "downloads" / "chest (1)")
    two = bundle(tmp_path / "two" / "brain" / "1", "brain", "1").parents[1]
    bundle(two / "brain" / "2", "brain", "2", terms="CC BY 4.0")
    three = bundle(tmp_path / "three" / "knee" / "7", "knee", "7").parents[1]
    sources = (
        one,
        packed(two, tmp_path / "two.zip", "some/where/"),
        packed(three, tmp_path / "medxgan_models-1-py3-none-any.whl", "medxgan_models/"),
    )
    for source in sources:
        result = run("models", "install", source)
        assert result.exit_code == 0, result.stderr
        assert "installed in" in result.stdout
    assert sorted(checked) == ["brain/1", "brain/2", "chest/2", "knee/7"]
    assert sorted(path.relative_to(user_models()).as_posix() for path in user_models().rglob("*.bin")) == [
        f"{name}/weights.bin" for name in sorted(checked)
    ]
    assert [path.name for path in user_models().parent.iterdir()] == ["models"], "nothing is left of the work"
    listed = run("models", "list")
    assert listed.exit_code == 0
    for text in ("chest 2", "brain 2", "knee 7", "chest film", "pneumonia", "CC BY 4.0"):
        assert text in listed.stdout


def test_a_bundle_that_is_there_stays(checked, tmp_path) -> None:
    source = bundle(tmp_path / "chest")
    assert "installed in" in run("models", "install", source).stdout
    assert "was there already" in run("models", "install", source).stdout
    other = bundle(tmp_path / "other", terms="GPL")
    result = run("models", "install", other)
    assert result.exit_code == 1
    assert "another chest/2 is installed: remove the folder" in result.stderr
    installed = json.loads((user_models() / "chest" / "2" / "bundle.json").read_text())
    assert installed["provenance"]["license"] == "MIT"


def test_of_a_source_with_a_damaged_bundle_none_is_installed(checked, tmp_path) -> None:
    bundle(tmp_path / "source" / "chest" / "2")
    bundle(tmp_path / "source" / "chest" / "13", version="13")
    result = run("models", "install", tmp_path / "source")
    assert result.exit_code == 1
    assert result.stderr == "error: weights.bin: has another hash\n"
    assert list(user_models().iterdir()) == []


@pytest.mark.parametrize(("name", "version"), [("../evil", "1"), ("chest", "../../evil"), ("", "1"), ("chest", "01")])
def test_a_name_that_leads_elsewhere_is_refused(checked, tmp_path, name, version) -> None:
    with pytest.raises(InstallError, match="is no name and version of a bundle"):
        install.install(bundle(tmp_path / "source", name, version), tmp_path / "into")
    assert not checked


def test_members_of_an_archive_stay_where_they_belong(checked, tmp_path) -> None:
    source = bundle(tmp_path / "source")
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as archive:
        for file in source.iterdir():
            archive.write(file, f"../../chest/{file.name}")
        archive.writestr("../../evil.txt", "evil")
    assert install.install(tmp_path / "evil.zip", tmp_path / "into") == [("chest/2", True)]
    assert not list(tmp_path.rglob("evil.txt"))
    assert not list(tmp_path.parent.glob("evil.txt"))


def test_an_archive_that_unfolds_too_far_is_refused(checked, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(install, "LARGEST_ARCHIVE", 10)
    with pytest.raises(InstallError, match="unfolds to more than 10 bytes"):
        install.install(packed(bundle(tmp_path / "source"), tmp_path / "large.zip"), tmp_path / "into")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: path.mkdir(), "there is no bundle"),
        (lambda path: path.write_text("text"), "expected a folder, a zip file or a wheel"),
        (lambda path: None, "expected a folder, a zip file or a wheel"),
        (lambda path: (path.mkdir(), (path / "bundle.json").write_text("[]")), "no name and version can be read"),
    ],
)
def test_what_is_no_bundle_is_refused(checked, tmp_path, make, said) -> None:
    make(tmp_path / "source")
    with pytest.raises(InstallError, match=said):
        install.install(tmp_path / "source", tmp_path / "into")


def test_the_check_is_that_of_the_bundle_room(tmp_path) -> None:
    # Not a stand-in: what only looks like a bundle is refused by what reads bundles.
    source = bundle(tmp_path / "source")
    with pytest.raises(BundleError):
        load_bundle(source)
    with pytest.raises(InstallError, match="chest/2: "):
        install.install(source, tmp_path / "into")


def test_a_bundle_that_cannot_be_read_is_listed_as_that() -> None:
    folder = Path("models") / "chest" / "2"
    folder.mkdir(parents=True)
    (folder / "bundle.json").write_text("{}")
    listed = run("models", "list")
    assert "chest 2" in listed.stdout
    assert "can't be read" in listed.stdout


def test_a_signed_copy_of_what_is_installed_brings_its_signatures(checked, tmp_path) -> None:
    source, into = bundle(tmp_path / "made"), tmp_path / "installed"
    assert install.install(source, into) == [("chest/2", True)]
    (source / "signatures.json").write_text("signed")
    assert install.install(source, into) == [("chest/2", False)]
    assert (into / "chest" / "2" / "signatures.json").read_text() == "signed"
    (source / "signatures.json").write_text("signed by another")
    install.install(source, into)
    assert (into / "chest" / "2" / "signatures.json").read_text() == "signed", "what is there is not overwritten"
