"""Films from folders and lists: which, in which order, and what is carried along."""

import math
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from medxgan.cohort import film_list
from medxgan.cohort.errors import FilmError, SourceError
from medxgan.cohort.film_list import FilmList, write_films
from medxgan.cohort.sources.archive import Archive
from medxgan.cohort.sources.choosing import Source
from medxgan.cohort.sources.film import Film
from medxgan.cohort.sources.folder import folder_films
from medxgan.cohort.sources.listing import Columns, listed_films
from medxgan.cohort.sources.reading import FilmReader

USUAL = Columns()


def source(path: Path, columns: Columns = USUAL, pattern: str = "*") -> list[Film]:
    return list(Source.parse(str(path), columns, pattern, None, None).films())


def test_a_folder_is_read_in_the_order_of_its_paths(tmp_path: Path) -> None:
    for name in ("b/2.dcm", "b/10.dcm", "a/1.2.840", "b.png", "b/DICOMDIR", ".hidden/x.dcm", "a/.x", "notes.txt"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    names = [Path(film.film).relative_to(tmp_path).as_posix() for film in folder_films(tmp_path)]
    assert names == ["a/1.2.840", "b/10.dcm", "b/2.dcm", "b.png", "notes.txt"]
    assert [Path(film.film).name for film in source(tmp_path, pattern="*.dcm")] == ["10.dcm", "2.dcm"]


def test_a_link_that_leads_nowhere_is_a_film_that_is_missing(tmp_path: Path) -> None:
    """What git-annex leaves of a file whose content is elsewhere."""
    (tmp_path / "moved.dcm").symlink_to(tmp_path / "elsewhere" / "1.dcm")
    (tmp_path / "round.dcm").symlink_to(tmp_path / "round.dcm")
    (tmp_path / "study").symlink_to(tmp_path.parent)
    os.mkfifo(tmp_path / "pipe.dcm")
    films = list(folder_films(tmp_path))
    assert [Path(film.film).name for film in films] == ["moved.dcm", "round.dcm"]
    codes = []
    for film in films:
        with pytest.raises(FilmError) as failed:
            FilmReader(None, maximum_bytes=10).read(film)
        codes.append(failed.value.code)
    assert codes == ["missing", "unreadable"]


def test_a_folder_that_can_t_be_listed_loses_no_film_in_silence(tmp_path: Path) -> None:
    for name in ("a/1.dcm", "b/2.dcm"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    films = folder_films(tmp_path)
    assert Path(next(films).film).name == "1.dcm"
    (tmp_path / "b" / "2.dcm").unlink()
    (tmp_path / "b").rmdir()
    with pytest.raises(SourceError, match=r"SOURCE: .*b can't be listed: No such file"):
        next(films)


def test_lists_of_all_kinds_say_the_same(tmp_path: Path) -> None:
    (tmp_path / "films.txt").write_text("b.dcm\n\nsub/a.dcm\n")
    (tmp_path / "films.csv").write_text("age,path,label,source\n70,b.dcm,1,north\n,sub/a.dcm,,\n")
    (tmp_path / "films.tsv").write_text("path\tlabel\tsource\nb.dcm\t1\tnorth\nsub/a.dcm\t\t\n")
    columns = {"path": ["b.dcm", "sub/a.dcm"], "label": [1, None], "source": ["north", None], "age": [70, None]}
    pq.write_table(pa.table(columns), tmp_path / "films.parquet")
    place = [str(tmp_path / "b.dcm"), str(tmp_path / "sub" / "a.dcm")]
    for name in ("films.csv", "films.tsv", "films.parquet"):
        assert source(tmp_path / name) == [
            Film("b.dcm", place[0], "1", "north"),
            Film("sub/a.dcm", place[1], None, None),
        ]
    assert source(tmp_path / "films.txt") == [Film("b.dcm", place[0]), Film("sub/a.dcm", place[1])]


def test_columns_may_have_other_names(tmp_path: Path) -> None:
    (tmp_path / "films.csv").write_text("file,class,hospital\nx.png,ill,east\n")
    (film,) = source(tmp_path / "films.csv", Columns("file", "class", "hospital"))
    assert (film.film, film.label, film.source) == ("x.png", "ill", "east")


def test_marks_and_blanks_of_spreadsheets_are_no_part_of_a_list(tmp_path: Path) -> None:
    (tmp_path / "films.txt").write_text("a.dcm\n", encoding="utf-8-sig")
    (tmp_path / "films.csv").write_text("path , label, source\na.dcm, ill, north\n", encoding="utf-8-sig")
    (plain,), (labelled,) = source(tmp_path / "films.txt"), source(tmp_path / "films.csv")
    assert plain.film == labelled.film == "a.dcm"
    assert (labelled.label, labelled.source) == ("ill", "north")


@pytest.mark.parametrize("columns", [Columns(label="grade"), Columns(source="clinic"), Columns(path="file")])
def test_a_column_that_is_named_has_to_be_there(tmp_path: Path, columns: Columns) -> None:
    (tmp_path / "films.csv").write_text("path,label\na.dcm,1\n")
    (tmp_path / "films.txt").write_text("a.dcm\n")
    pq.write_table(pa.table({"path": ["a.dcm"], "label": [1]}), tmp_path / "films.parquet")
    (named,) = filter(None, vars(columns).values())
    for name in ("films.csv", "films.parquet"):
        with pytest.raises(SourceError, match=f"^--.*-column: expected a column '{named}'"):
            source(tmp_path / name, columns)
    with pytest.raises(SourceError, match="no columns"):
        source(tmp_path / "films.txt", columns)


def test_values_of_parquet_are_those_of_csv(tmp_path: Path) -> None:
    columns = {
        "path": pa.array([b"a.dcm", b"b.dcm", b"c.dcm"]),
        "label": pa.array([1.0, math.nan, 0.5]),
        "source": pa.array([b"north", None, b"s\xc3\xbcd"]),
    }
    pq.write_table(pa.table(columns), tmp_path / "films.parquet")
    films = source(tmp_path / "films.parquet")
    assert [(film.film, film.label, film.source) for film in films] == [
        ("a.dcm", "1", "north"),
        ("b.dcm", None, None),
        ("c.dcm", "0.5", "süd"),
    ]
    pq.write_table(pa.table({"path": pa.array(["a.dcm"] * 2).dictionary_encode()}), tmp_path / "films.parquet")
    assert [film.film for film in source(tmp_path / "films.parquet")] == ["a.dcm"] * 2


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"path": [1]}, "path: expected a column of text .* got int64"),
        ({"path": ["a"], "label": [["ill"]]}, "label: expected a column of text or numbers .* got list"),
        ({"path": ["a"], "source": [{"clinic": "north"}]}, "source: expected a column of text or numbers"),
        ({"path": [b"\xe9.dcm"]}, "path: expected text in UTF-8"),
    ],
)
def test_a_column_of_something_else_is_refused_by_its_name(
    tmp_path: Path, columns: dict[str, list[object]], words: str
) -> None:
    pq.write_table(pa.table(columns), tmp_path / "films.parquet")
    with pytest.raises(SourceError, match=words):
        source(tmp_path / "films.parquet")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.csv", "file\nx.png\n", "expected a column 'path'"),
        ("a.csv", "path,label\nx.png,1\n,2\n", "row 2"),
        ("a.parquet", "no table", "no Parquet file"),
        ("a.txt", "\xff", "can't be read"),
    ],
)
def test_a_list_that_can_t_be_read_says_why(tmp_path: Path, name: str, content: str, words: str) -> None:
    (tmp_path / name).write_bytes(content.encode("latin-1"))
    with pytest.raises(SourceError, match=words):
        list(listed_films(tmp_path / name, Columns()))


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("http://archive.example/dicom-web", "https://"),
        ("https://name:secret@archive.example/dicom-web", "--archive-user"),
        ("https:///dicom-web", "https://"),
    ],
)
def test_an_archive_is_not_asked_in_the_clear(address: str, words: str) -> None:
    with pytest.raises(SourceError, match=words) as refused:
        Archive.parse(address, None, None)
    assert "secret" not in str(refused.value)


def test_a_query_is_noted_by_a_hash_of_its_run() -> None:
    asked = Source.parse("https://archive.example/dicom-web?PatientID=4711", Columns(), "*", None, None)
    assert asked.archive is not None
    assert asked.archive.query == (("PatientID", "4711"),)
    name = asked.name("00" * 16)
    assert name.startswith("https://archive.example/dicom-web (")
    assert "4711" not in name
    assert name == asked.name("00" * 16)
    assert name != asked.name("01" * 16)
    other = Source.parse("https://archive.example/dicom-web?PatientID=4712", Columns(), "*", None, None)
    assert name != other.name("00" * 16)
    # What goes to the processes that fetch, and by Ray to its dashboard, knows of no patient.
    assert "4711" not in repr(asked.holder)


def test_films_that_can_t_be_read_say_why(tmp_path: Path) -> None:
    reader = FilmReader(None, maximum_bytes=10)
    for name, size in (("large", 11), ("empty", 0), ("right", 10)):
        (tmp_path / name).write_bytes(b"x" * size)
    codes = {}
    for name in ("large", "empty", "gone", "."):
        with pytest.raises(FilmError) as failed:
            reader.read(Film(name, str(tmp_path / name)))
        codes[name] = failed.value.code
        assert str(tmp_path) not in failed.value.text
    assert codes == {"large": "too_large", "empty": "unreadable", "gone": "missing", ".": "too_large"}
    assert len(reader.read(Film("right", str(tmp_path / "right")))) == 10


def test_names_that_are_no_text_are_films_that_can_t_be_read(tmp_path: Path) -> None:
    folder = tmp_path / "films"
    folder.mkdir()
    (folder / "r\udcf6ntgen.dcm").touch()
    (tmp_path / "list.txt").write_text("a\0b.dcm\n")
    films = [*source(folder), *source(tmp_path / "list.txt")]
    assert write_films(tmp_path / "films.parquet", iter(films), part_films=2) == 2
    written = FilmList(tmp_path / "films.parquet", part_films=2).part(0)
    assert [Path(film.film).name for film in written] == ["r\\xf6ntgen.dcm", "a\0b.dcm"]
    for film, words in zip(written, ("a name in UTF-8", "without NUL"), strict=True):
        with pytest.raises(FilmError, match=words) as failed:
            FilmReader(None, maximum_bytes=10).read(film)
        assert failed.value.code == "unreadable"


def test_the_list_of_films_gives_back_every_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(film_list, "GROUP_FILMS", 64)
    films = [Film(str(number), f"/{number}", None, "s") for number in range(3 * 64 + 5)]
    assert write_films(tmp_path / "films.parquet", iter(films), part_films=2) == len(films)
    written = FilmList(tmp_path / "films.parquet", part_films=2)
    assert [film for part in range((len(films) + 1) // 2) for film in written.part(part)] == films
