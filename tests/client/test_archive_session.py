"""Who hears of a film that is fetched, how much of it is read, and what is said of its values."""

import ssl
import threading
import warnings
from pathlib import Path

import pytest
import trustme
from pydicom.dataset import Dataset
from tests.archives import Answer, answering

from medxgan.client.studies.archive import Archive
from medxgan.client.studies.errors import StudyError
from medxgan.client.studies.session import TooLongAnswer, archive_session
from medxgan.client.studies.unquoted import unquoted


def test_no_proxy_and_no_netrc_hears_of_a_study(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login other password of-netrc\n")
    (tmp_path / "password").write_text("secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    nothing = Answer(body=b"[]")
    with answering(lambda *_: nothing) as archive, answering(lambda *_: nothing) as proxy:
        for name in ("http_proxy", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        assert Archive(f"{archive.url}/dicom-web").films("1.2.3") == []
        assert Archive(f"{archive.url}/dicom-web", "reader", tmp_path / "password").films("1.2.3") == []
    (unnamed, named) = (authorization for _, authorization in archive.requests)
    assert unnamed is None
    assert named == "Basic cmVhZGVyOnNlY3JldA=="
    assert proxy.requests == []


def test_an_authority_of_the_environment_is_trusted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    with answering(lambda *_: Answer(body=b"[]"), tls) as archive:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "authority.pem"))
        assert Archive(f"{archive.url}/dicom-web").films("1.2.3") == []
        monkeypatch.delenv("REQUESTS_CA_BUNDLE")
        with pytest.raises(StudyError, match="SSLError"):
            Archive(f"{archive.url}/dicom-web").films("1.2.3")
        assert len(archive.requests) == 1


@pytest.mark.parametrize(("size", "is_taken"), [(1000, True), (1001, False)])
def test_no_more_is_read_than_is_taken(size: int, is_taken: bool) -> None:
    with answering(lambda *_: Answer(body=b"x" * size)) as archive, archive_session(None, None, 60, 1000) as session:
        if is_taken:
            assert len(session.get(archive.url).content) == size
        else:
            with pytest.raises(TooLongAnswer):
                session.get(archive.url)


@pytest.mark.parametrize("target", ["http://archive.example/", "//archive.example/", "ftp://127.0.0.1/"])
def test_nobody_is_sent_on_to_an_address_in_the_clear(target: str) -> None:
    with answering(lambda *_: Answer(302, location=target)) as archive:
        with pytest.raises(StudyError, match="RedirectedError"):
            Archive(f"{archive.url}/dicom-web").films("1.2.3")
        assert len(archive.requests) == 1


def test_an_archive_may_send_on_to_itself() -> None:
    def answer(path: str, _: object) -> Answer:
        return Answer(body=b"[]") if path.startswith("/new/") else Answer(302, location=f"/new{path}")

    with answering(answer) as archive:
        assert Archive(f"{archive.url}/dicom-web").films("1.2.3") == []


def test_a_thread_that_is_done_lets_no_warning_through_to_another() -> None:
    """pydicom's own context manager does: it sets one switch of the process back."""
    first_inside, second_inside, first_outside = threading.Event(), threading.Event(), threading.Event()

    def second() -> None:
        first_inside.wait(60)
        with unquoted():
            second_inside.set()
            first_outside.wait(60)
            Dataset().PatientBirthDate = "long ago"

    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        thread = threading.Thread(target=second)
        thread.start()
        with unquoted():
            first_inside.set()
            assert second_inside.wait(60)
        first_outside.set()
        thread.join()
        assert said == []
        Dataset().PatientBirthDate = "long ago"
        assert len(said) == 1, "it is on again"
