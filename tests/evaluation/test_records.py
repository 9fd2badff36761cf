"""The file that an evaluation goes on from."""

import json
from pathlib import Path

import pytest

from medxgan.evaluation.errors import RecordsError
from medxgan.evaluation.records import Records

HEADER = {"seed": 1, "methods": ["gradient", "random"], "settings": {"steps": (1, 2)}}


def of(image: str) -> list[dict[str, object]]:
    return [{"image": image, "record": "image"}, *({"image": image, "method": name} for name in HEADER["methods"])]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "deep" / "records.jsonl"
    records = Records(path, HEADER)
    for image in ("a", "b"):
        records.add(image, of(image))
    return path


def test_what_was_added_is_there_again(path: Path) -> None:
    records = Records(path, HEADER)
    assert records["a"] == of("a")
    assert "b" in records
    assert "c" not in records


def test_a_name_may_hold_what_ends_a_line_elsewhere(path: Path) -> None:
    names = ["b\u2028c", "d\u0085", "e\x0bf", "g\rh", "ü"]
    records = Records(path, HEADER)
    for name in names:
        records.add(name, of(name))
    again = Records(path, HEADER)
    assert all(again[name] == of(name) for name in names)
    path.write_bytes(path.read_bytes()[:-1] + "\u00fc".encode()[:1])
    assert "ü" not in Records(path, HEADER), "torn in the middle of a character"


@pytest.mark.parametrize("cut", [1, 20, 60, 100])
def test_a_torn_end_costs_the_last_image_alone(path: Path, cut: int) -> None:
    path.write_bytes(path.read_bytes()[:-cut])
    records = Records(path, HEADER)
    assert records["a"] == of("a")
    assert "b" not in records
    records.add("b", of("b"))
    again = Records(path, HEADER)
    assert again["b"] == of("b")
    assert len(path.read_text().splitlines()) == 7


def test_a_figure_that_is_no_number_is_refused_and_leaves_the_file_alone(path: Path) -> None:
    before = path.read_bytes()
    with pytest.raises(RecordsError, match="c: a figure is not a finite number"):
        Records(path, HEADER).add("c", [{"image": "c", "figures": {"iou": float("nan")}}])
    assert path.read_bytes() == before


def test_a_torn_header_starts_anew(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:10])
    assert "a" not in Records(path, HEADER)


def test_another_header_is_refused_and_says_what_differs(path: Path) -> None:
    before = path.read_bytes()
    with pytest.raises(RecordsError, match="seed was 1 and is 2") as caught:
        Records(path, HEADER | {"seed": 2, "split": "test"})
    assert "split was None and is 'test'" in str(caught.value)
    assert "methods" not in str(caught.value)
    assert path.read_bytes() == before


def test_records_of_another_format_are_refused_in_a_sentence(path: Path) -> None:
    lines = path.read_text().splitlines(keepends=True)
    older = json.dumps(json.loads(lines[0]) | {"format": 1, "seed": 5}) + "\n"
    path.write_text("".join([older, *lines[1:]]))
    before = path.read_bytes()
    with pytest.raises(RecordsError, match="expected records of format 4, found 1") as caught:
        Records(path, HEADER)
    assert "seed" not in str(caught.value)
    assert path.read_bytes() == before


def test_fresh_forgets(path: Path) -> None:
    records = Records(path, HEADER | {"seed": 2}, fresh=True)
    assert "a" not in records
    assert json.loads(path.read_text())["seed"] == 2


@pytest.mark.parametrize("content", ["{}\n", '{"record": "header"}\nnonsense\n', "[1]\n", '{"image": "a"}\n'])
def test_another_file_is_not_taken_for_records(tmp_path: Path, content: str) -> None:
    path = tmp_path / "records.jsonl"
    path.write_text(content)
    with pytest.raises(RecordsError):
        Records(path, HEADER)
    assert path.read_text() == content
