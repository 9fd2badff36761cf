"""`medxgan explain` of several images, of one after another, and of some that fail."""

from pathlib import Path

import pytest
from tests.client.commands import FILES, names, run

from medxgan.client.command.folders import output_folders

pytestmark = pytest.mark.usefixtures("plain_terminal", "undrawn")


@pytest.mark.slow
@pytest.mark.parametrize("method", ["medxgan", "grad-cam", "all"])
def test_nothing_is_left_over_from_the_image_before(service, film, tmp_path, method) -> None:
    service.answer.scores.original.positive = False
    everything = ("--restarts", 2, "--trajectory", 3, "--film-size", "--method", "all")
    assert run("explain", film, "--server", service.address, *everything).exit_code == 0
    before = names(tmp_path / "out")
    (tmp_path / "out" / "notes.txt").write_text("the caller's own")
    (tmp_path / "out" / "unrecognised-99.png").touch()
    service.answer.scores.original.positive = True
    assert run("explain", film, "--server", service.address, "--method", method).exit_code == 0
    after = names(tmp_path / "out")
    assert run("explain", film, "--server", service.address, "--method", method, "--out", "fresh").exit_code == 0
    assert after == names(tmp_path / "fresh") | {"notes.txt"}
    assert len(before) > len(after)


def test_an_image_that_fails_leaves_no_pictures_of_the_one_before(service, film, tmp_path) -> None:
    assert run("explain", film, "--server", service.address).exit_code == 0
    assert run("explain", "none.png", "--server", service.address).exit_code == 1
    assert names(tmp_path / "out") == set()


def test_several_images_leave_no_pictures_of_a_single_one_beside_them(service, film, tmp_path) -> None:
    other = tmp_path / "other.png"
    other.write_bytes(film.read_bytes())
    assert run("explain", film, "--server", service.address).exit_code == 0
    assert run("explain", film, other, "--server", service.address).exit_code == 0
    assert names(tmp_path / "out") == {"film", "other"}


def test_every_image_is_explained_by_the_version_that_was_found_first(service, film) -> None:
    run("explain", film, film, "--server", service.address, "--model", "chest")
    asked, *explained = [(request.model.name, request.model.version) for request in service.requests]
    assert asked == ("chest", "")
    assert explained == [("chest", "2"), ("chest", "2")]


def test_one_image_fails_and_the_others_are_done(service, film, tmp_path) -> None:
    other = tmp_path / "other.png"
    other.write_bytes(b"text")
    service.unreadable = b"text"
    result = run("explain", "none.png", other, film, "--server", service.address)
    assert result.exit_code == 1
    assert "error: none.png: No such file or directory" in result.stderr
    assert f"error: {other}: image.encoded: not an image" in result.stderr
    assert names(tmp_path / "out") == {"film"}
    assert names(tmp_path / "out" / "film") == FILES


def test_folders_are_told_apart_when_stems_are_not() -> None:
    images = [Path(name) for name in ("a/IM1.dcm", "b/im1.png", "c/IM1-2.dcm", "d/IM2")]
    folders = [folder.name for folder in output_folders(images, Path("out"))]
    assert folders == ["IM1", "im1-2", "IM1-2-2", "IM2"]
    assert output_folders(images[:1], Path("out")) == [Path("out")]


def test_files_named_by_uid_keep_their_whole_name() -> None:
    images = [Path(name) for name in ("1.3.6.1.4.1.10", "1.3.6.1.4.1.11", "1.2.840.DCM", "film.2.tiff", "scan.v2")]
    folders = [folder.name for folder in output_folders(images, Path("out"))]
    assert folders == ["1.3.6.1.4.1.10", "1.3.6.1.4.1.11", "1.2.840", "film.2", "scan.v2"]
