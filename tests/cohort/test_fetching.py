"""Films of an archive that does not answer as it should, and what becomes of them."""

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pydicom
import pytest
from pydicom.config import disable_value_validation
from tests.archives import Answer, Asked, answering, instance, listing
from tests.cohort.runs import rows_of, succeed
from tests.gateway.films import PATIENT, content, film

from medxgan.cohort.errors import FilmError, SourceError
from medxgan.cohort.sources import archive as archive_module
from medxgan.cohort.sources import patience
from medxgan.cohort.sources.archive import INSTANCE, PAGE, SERIES, STUDY, Archive
from medxgan.cohort.sources.film import Film
from medxgan.cohort.sources.reading import FilmReader

FILM = Film("1.2.3", "1.1/1.2/1.2.3")
FETCHED = "/dicom-web/studies/1.1/series/1.2/instances/1.2.3"
SEARCHED = "/dicom-web/studies"
NOTHING = listing()


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "WAITS", (0.0, 0.0))


@contextmanager
def reading(*answers: Answer, search: Answer = NOTHING, most: int = 2**20) -> Iterator[tuple[FilmReader, Asked]]:
    """A reader of an archive that gives one answer after the other for a film, the last one again and again."""
    left = list(answers)

    def answer(path: str, _: Mapping[str, str]) -> Answer:
        if path == SEARCHED:
            return search
        return left.pop(0) if len(left) > 1 else left[0]

    with answering(answer) as archive:
        yield FilmReader(Archive.parse(f"{archive.url}/dicom-web", None, None), most), archive


def test_ill_formed_values_are_taken_and_not_told(capfd: pytest.CaptureFixture[str]) -> None:
    with disable_value_validation():
        sent = film(PatientBirthDate="born in May", SOPInstanceUID=f"1.2.03.{PATIENT}")
        file = instance(content(sent))
    with reading(file) as (reader, _), warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        fetched = reader.read(FILM)
    assert said == []
    assert "".join(capfd.readouterr()) == ""
    with disable_value_validation():
        assert pydicom.dcmread(pydicom.filebase.DicomBytesIO(fetched)).PixelData == sent.PixelData


@pytest.mark.parametrize(
    ("answer", "code", "words", "asked"),
    [
        (Answer(404), "missing", "no longer", 1),
        (Answer(410), "missing", "no longer", 1),
        (Answer(400), "not_given", "status 400", 1),
        (Answer(403), "not_given", "status 403", 1),
        (Answer(406), "not_given", "status 406", 1),
        (Answer(500), "not_given", "status 500", 3),
        (Answer(502), "not_given", "status 502", 3),
        (Answer(200, b"nonsense", "text/plain"), "unreadable", "expected a DICOM object", 1),
    ],
)
def test_what_is_wrong_with_one_film_is_its_own(answer: Answer, code: str, words: str, asked: int) -> None:
    with reading(answer) as (reader, archive):
        with pytest.raises(FilmError, match=words) as failed:
            reader.read(FILM)
        assert failed.value.code == code
        assert archive.paths().count(FETCHED) == asked


@pytest.mark.parametrize(
    ("answer", "search", "words"),
    [
        (Answer(401), listing(), "status 401"),
        (Answer(429), listing(), "status 429"),
        (Answer(503), listing(), "status 503"),
        (Answer(500), Answer(500), "status 500"),
        (Answer(504), Answer(504), "status 504"),
    ],
)
def test_what_is_wrong_with_the_archive_is_no_film_s_fault(answer: Answer, search: Answer, words: str) -> None:
    with reading(answer, search=search) as (reader, _), pytest.raises(SourceError, match=words):
        reader.read(FILM)


def test_an_archive_that_is_gone_is_no_film_s_fault() -> None:
    with reading(Answer()) as (reader, _):
        pass
    with pytest.raises(SourceError, match="ConnectionError"):
        reader.read(FILM)


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_what_passes_is_waited_for(status: int) -> None:
    sent = content(film())
    with reading(Answer(status), Answer(status), instance(sent)) as (reader, archive):
        assert reader.read(FILM) == sent
        assert archive.paths() == [FETCHED] * 3


def test_a_film_that_is_too_large_is_read_once_and_not_to_its_end() -> None:
    file = content(film(side=400))
    for most in (len(file) - 1, len(file) // 2):
        with reading(instance(file), most=most) as (reader, archive):
            with pytest.raises(FilmError, match=f"at most {most} bytes") as failed:
                reader.read(FILM)
            assert failed.value.code == "too_large"
            assert archive.paths() == [FETCHED]
    with reading(instance(file), most=len(file)) as (reader, _):
        assert reader.read(FILM) == file


def uid(number: int) -> str:
    return f"1.2.{number + 1}"


@pytest.mark.parametrize(("studies", "cap"), [(12, 3), (12, 4), (4, 4), (1, 4), (0, 4)])
def test_every_page_of_an_archive_is_asked_for(studies: int, cap: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """An archive may give fewer at once than it is asked for, and does not say that there are more."""
    monkeypatch.setattr(archive_module, "PAGE", 4)

    def answer(path: str, query: Mapping[str, str]) -> Answer:
        number, found = int(query["offset"]), listing()
        if path == SEARCHED:
            found = listing(*({STUDY: uid(each)} for each in range(number, min(number + cap, studies))))
        elif path.endswith("/series") and not number:
            found = listing({SERIES: "1.3"})
        elif path.endswith("/instances") and not number:
            found = listing({INSTANCE: "1.4"})
        return found

    with answering(answer) as archive:
        films = list(Archive.parse(f"{archive.url}/dicom-web", None, None).films())
    assert [each.place for each in films] == [f"{uid(number)}/1.3/1.4" for number in range(studies)]


def test_an_archive_without_pages_is_read_once() -> None:
    found = {SEARCHED: {STUDY: "1.1"}, f"{SEARCHED}/1.1/series": {SERIES: "1.2"}}
    films = [{INSTANCE: uid(number)} for number in range(PAGE + 50)]

    def answer(path: str, _: Mapping[str, str]) -> Answer:
        return listing(found[path]) if path in found else listing(*films)

    with answering(answer) as archive:
        listed = list(Archive.parse(f"{archive.url}/dicom-web", None, None).films())
    assert sorted(each.film for each in listed) == sorted(film[INSTANCE] for film in films)


@pytest.mark.parametrize(
    "body",
    [
        b'[{"0020000D": {"Value": []}}]',
        b'[{"0020000D": {}}]',
        b"[{}]",
        b"[1]",
        b'[{"0020000D": {"Value": [7]}}]',
        b"<p>",
    ],
)
def test_an_answer_without_uids_is_none_of_the_query(body: bytes) -> None:
    with answering(lambda *_: Answer(body=body)) as archive:
        films = Archive.parse(f"{archive.url}/dicom-web", None, None).films()
        with pytest.raises(SourceError, match="does not answer the query"):
            list(films)


def test_a_query_that_is_refused_says_with_which_status() -> None:
    with answering(lambda *_: Answer(400)) as archive:
        with pytest.raises(SourceError, match="status 400"):
            list(Archive.parse(f"{archive.url}/dicom-web?PatientName=A", None, None).films())
        assert len(archive.requests) == 1


def test_a_run_goes_past_what_an_archive_does_not_give_and_quotes_no_film(
    server: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with disable_value_validation(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        quoted = content(film(SpecificCharacterSet=PATIENT))
    of_film = {"1.1": Answer(403), "1.2": instance(content(film())), "1.3": Answer(500), "1.4": instance(quoted)}
    of_search = {
        SEARCHED: listing({STUDY: "1.1"}),
        f"{SEARCHED}/1.1/series": listing({SERIES: "1.2"}),
        f"{SEARCHED}/1.1/series/1.2/instances": listing(*({INSTANCE: name} for name in of_film)),
    }

    def answer(path: str, _: Mapping[str, str]) -> Answer:
        return of_search.get(path) or of_film[path.rpartition("/")[2]]

    with answering(answer) as archive, warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        run = succeed(f"{archive.url}/dicom-web", tmp_path / "run", "--server", server)
    codes = {row["film"]: row["error_code"] for row in rows_of(run)}
    assert (codes["1.1"], codes["1.2"], codes["1.3"]) == ("not_given", None, "not_given")
    assert "1.4" in codes
    assert [str(each.message) for each in said if PATIENT in str(each.message)] == []
    assert PATIENT not in "".join(capfd.readouterr())
