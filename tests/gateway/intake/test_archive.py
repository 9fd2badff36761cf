"""Films fetched from a real Orthanc, by DICOMweb and by its feed of changes."""

from datetime import UTC, datetime

import pydicom
import pytest
from dicomweb_client.web import DICOMwebClient
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid
from tests.gateway.conftest import RULE, MovedClock
from tests.gateway.films import content, film
from tests.gateway.orthanc import Orthanc

from medxgan.gateway.intake import archive
from medxgan.gateway.intake.archive import ArchiveAwayError, ArchiveQuery, OrthancChanges
from medxgan.gateway.intake.reception import Receiver
from medxgan.gateway.journal.cursors import Cursors
from medxgan.gateway.journal.database import Database
from medxgan.gateway.journal.files import FileStore
from medxgan.gateway.journal.journal import Journal
from medxgan.gateway.journal.records import State
from medxgan.gateway.rules import Rule
from medxgan.gateway.settings import DicomwebSettings
from medxgan.gateway.telemetry.metrics import Metrics


@pytest.fixture
def follow(orthanc: Orthanc, database: Database, receiver: Receiver) -> OrthancChanges:
    settings = DicomwebSettings(name="orthanc", url=orthanc.url, changes="orthanc")
    return OrthancChanges(settings, Cursors(database), receiver)


def follow_all(changes: OrthancChanges) -> None:
    while changes.step():
        pass


def test_the_feed_brings_each_film_once_as_it_was_stored(
    orthanc: Orthanc, follow: OrthancChanges, journal: Journal, films: FileStore
) -> None:
    sent, other = film(), film(Modality="MR")
    orthanc.store(content(sent))
    orthanc.store(content(other))
    follow_all(follow)
    noted = journal.known(sent.SOPInstanceUID)
    assert noted is not None
    fetched = pydicom.dcmread(films.path(noted.file or ""))
    assert fetched.PixelData == sent.PixelData
    assert journal.known(other.SOPInstanceUID) is None, "its modality is not looked into"
    assert not follow.step()
    later = film()
    orthanc.store(content(later))
    follow_all(follow)
    assert journal.known(later.SOPInstanceUID) is not None
    assert journal.counts()[State.RECEIVED] == 2


def test_the_feed_brings_a_film_again_that_was_deleted_and_sent_again(
    orthanc: Orthanc, follow: OrthancChanges, journal: Journal
) -> None:
    sent = film()
    name = orthanc.store(content(sent))
    follow_all(follow)
    number = journal.known(sent.SOPInstanceUID).id  # type: ignore[union-attr]
    journal.explained(number, [], ["archive"], bundle_sha256="0", verdict="reliable")
    journal.end_delivery(number, "archive", State.DELIVERED)
    orthanc.delete(name)
    orthanc.store(content(sent))
    follow_all(follow)
    assert journal.film(number).state is State.RECEIVED


def test_the_feed_waits_where_there_is_no_room(
    orthanc: Orthanc, database: Database, journal: Journal, films: FileStore, metrics: Metrics, receiver: Receiver
) -> None:
    sent = film()
    orthanc.store(content(sent))
    settings = DicomwebSettings(name="orthanc", url=orthanc.url, changes="orthanc")
    full = Receiver(journal, films, (Rule.model_validate(RULE),), free_bytes=2**60, metrics=metrics)
    assert not OrthancChanges(settings, Cursors(database), full).step()
    assert journal.known(sent.SOPInstanceUID) is None
    follow_all(OrthancChanges(settings, Cursors(database), receiver))
    assert journal.known(sent.SOPInstanceUID) is not None


def test_an_archive_that_was_set_up_anew_is_followed_from_its_beginning(
    orthanc: Orthanc, follow: OrthancChanges, database: Database, journal: Journal
) -> None:
    Cursors(database).move("orthanc", 10_000)
    sent = film()
    orthanc.store(content(sent))
    assert not follow.step()
    follow_all(follow)
    assert journal.known(sent.SOPInstanceUID) is not None


def test_an_archive_that_is_away_says_so(orthanc: Orthanc, follow: OrthancChanges) -> None:
    orthanc.stop()
    with pytest.raises(ArchiveAwayError):
        follow.step()


def test_a_query_goes_past_what_can_not_be_read_and_fetches_it_once(
    orthanc: Orthanc, journal: Journal, receiver: Receiver, clock: MovedClock, metrics: Metrics
) -> None:
    today = datetime.fromtimestamp(clock(), UTC).strftime("%Y%m%d")
    # More rows than there are pixels for: the archive takes that.
    damaged, sent = film(StudyDate=today, Rows=65), film(StudyDate=today)
    for each in (damaged, sent):
        orthanc.store(content(each))
    settings = DicomwebSettings(name="pacs", url=f"{orthanc.url}/dicom-web")
    query = ArchiveQuery(settings, journal, receiver, clock)
    assert query.step()
    assert not query.step()
    assert journal.known(sent.SOPInstanceUID) is not None
    labels = {"source": "dicomweb", "reception": "unreadable"}
    assert metrics.registry.get_sample_value("medxgan_gateway_objects_total", labels) == 1


def test_a_query_goes_past_what_the_archive_does_not_give_and_asks_for_it_again(
    orthanc: Orthanc, journal: Journal, receiver: Receiver, clock: MovedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    today = datetime.fromtimestamp(clock(), UTC).strftime("%Y%m%d")
    lost, sent = film(StudyDate=today), film(StudyDate=today)
    for each in (lost, sent):
        orthanc.store(content(each))
    query = ArchiveQuery(DicomwebSettings(name="pacs", url=f"{orthanc.url}/dicom-web"), journal, receiver, clock)
    plain = DICOMwebClient.retrieve_instance

    def without_the_lost(client: DICOMwebClient, study: str, series: str, instance: str) -> Dataset:
        # A path that the archive does not have in place of a file that it has lost.
        return plain(client, study, series, generate_uid() if instance == lost.SOPInstanceUID else instance)

    with monkeypatch.context() as losing:
        losing.setattr(DICOMwebClient, "retrieve_instance", without_the_lost)
        assert query.step()
        assert journal.known(sent.SOPInstanceUID) is not None
        assert not query.step()
    assert query.step()
    assert journal.known(lost.SOPInstanceUID) is not None


def test_an_object_by_another_uid_than_the_archive_lists_is_fetched_once(
    orthanc: Orthanc, journal: Journal, receiver: Receiver, clock: MovedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    today = datetime.fromtimestamp(clock(), UTC).strftime("%Y%m%d")
    sent = film(StudyDate=today)
    orthanc.store(content(sent))
    query = ArchiveQuery(DicomwebSettings(name="pacs", url=f"{orthanc.url}/dicom-web"), journal, receiver, clock)
    plain, other = DICOMwebClient.retrieve_instance, generate_uid()

    def renamed(client: DICOMwebClient, study: str, series: str, instance: str) -> Dataset:
        found = plain(client, study, series, instance)
        found.SOPInstanceUID = found.file_meta.MediaStorageSOPInstanceUID = other
        return found

    monkeypatch.setattr(DICOMwebClient, "retrieve_instance", renamed)
    assert query.step()
    assert not query.step()
    assert journal.known(other) is None


def test_what_is_too_large_is_passed_over(
    orthanc: Orthanc, database: Database, films: FileStore, clock: MovedClock, metrics: Metrics
) -> None:
    today = datetime.fromtimestamp(clock(), UTC).strftime("%Y%m%d")
    large, sent = film(side=400, StudyDate=today), film(side=50, StudyDate=today)
    for each in (large, sent):
        orthanc.store(content(each))
    journal, rules = Journal(database, clock), (Rule.model_validate(RULE),)
    picky = Receiver(journal, films, rules, free_bytes=0, largest_bytes=100_000, metrics=metrics)
    follow_all(OrthancChanges(DicomwebSettings(name="o", url=orthanc.url, changes="orthanc"), Cursors(database), picky))
    query = ArchiveQuery(DicomwebSettings(name="p", url=f"{orthanc.url}/dicom-web"), journal, picky, clock)
    while query.step():
        pass
    assert journal.known(sent.SOPInstanceUID) is not None
    assert journal.known(large.SOPInstanceUID) is None
    labels = {"source": "dicomweb", "reception": "too_large"}
    assert metrics.registry.get_sample_value("medxgan_gateway_objects_total", labels) == 2


def test_a_query_reads_an_archive_page_by_page_and_one_without_pages_once(
    orthanc: Orthanc, journal: Journal, receiver: Receiver, clock: MovedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    today = datetime.fromtimestamp(clock(), UTC).strftime("%Y%m%d")
    first = film(StudyDate=today)
    films = [first, *(film(StudyDate=today, StudyInstanceUID=first.StudyInstanceUID) for _ in range(2))]
    for each in films:
        orthanc.store(content(each))
    monkeypatch.setattr(archive, "PAGE", 1)
    settings = DicomwebSettings(name="pacs", url=f"{orthanc.url}/dicom-web")
    query = ArchiveQuery(settings, journal, receiver, clock)
    assert query.step()
    assert all(journal.known(each.SOPInstanceUID) is not None for each in films)
    plain = DICOMwebClient.search_for_studies
    monkeypatch.setattr(
        DICOMwebClient, "search_for_studies", lambda client, limit, offset, **options: plain(client, **options)
    )
    assert not query.step()


def test_a_query_brings_the_films_of_the_last_days(
    orthanc: Orthanc, journal: Journal, receiver: Receiver, films: FileStore, clock: MovedClock
) -> None:
    today = datetime.fromtimestamp(clock(), UTC).strftime("%Y%m%d")
    sent, old, other = film(StudyDate=today), film(StudyDate="20010101"), film(StudyDate=today, Modality="MR")
    for each in (sent, old, other):
        orthanc.store(content(each))
    settings = DicomwebSettings(name="pacs", url=f"{orthanc.url}/dicom-web", days=2)
    query = ArchiveQuery(settings, journal, receiver, clock)
    assert query.step()
    assert not query.step()
    noted = journal.known(sent.SOPInstanceUID)
    assert noted is not None
    assert pydicom.dcmread(films.path(noted.file or "")).PixelData == sent.PixelData
    assert journal.known(old.SOPInstanceUID) is None
    assert journal.known(other.SOPInstanceUID) is None
    orthanc.stop()
    with pytest.raises(ArchiveAwayError):
        query.step()
