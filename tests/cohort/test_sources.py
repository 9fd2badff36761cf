"""Films from folders and lists: which, in which order, and what is carried along."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from medxgan.cohort.errors import FilmError, SourceError
from medxgan.cohort.film_list import GROUP_PARTS, FilmList, write_films
from medxgan.cohort.sources.archive import Archive
from medxgan.cohort.sources.choosing import FilmReader, Source
from medxgan.cohort.sources.film import Film
from medxgan.cohort.sources.folder import folder_films
from medxgan.cohort.sources.listing import Columns, listed_films

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


def test_a_query_is_noted_by_its_hash() -> None:
    asked = Source.parse("https://archive.example/dicom-web?PatientID=4711", Columns(), "*", None, None)
    assert asked.archive is not None
    assert asked.archive.query == (("PatientID", "4711"),)
    assert "4711" not in asked.name
    other = Source.parse("https://archive.example/dicom-web?PatientID=4712", Columns(), "*", None, None)
    assert asked.name != other.name


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


def test_the_list_of_films_gives_back_every_part(tmp_path: Path) -> None:
    films = [Film(str(number), f"/{number}", None, "s") for number in range(3 * GROUP_PARTS + 5)]
    assert write_films(tmp_path / "films.parquet", iter(films), part_films=2) == len(films)
    written = FilmList(tmp_path / "films.parquet", part_films=2)
    assert [film for part in range((len(films) + 1) // 2) for film in written.part(part)] == films
