"""The journal: the way of a film, by any sequence of what may happen to it."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from medxgan.gateway.journal.database import Database
from medxgan.gateway.journal.journal import ConflictError, FileMissingError, Journal
from medxgan.gateway.journal.records import STUCK, Arrival, ResultRecord, State

DESTINATIONS = ("one", "two")


def arrival(uid: str = "1.2.3", pixels: str = "a", model: str = "phantom") -> Arrival:
    return Arrival(uid, "1.2", pixels, "dicom", model, "", "rule" if model else "no rule")


def test_what_is_noted_outlives_the_process(tmp_path: Path) -> None:
    database = Database(tmp_path / "journal")
    Journal(database).arrive(arrival(), "a.dcm")
    # Not closed: as by a crash. Another connection sees what was committed.
    assert Journal(Database(tmp_path / "journal")).known("1.2.3") is not None
    assert database.rows("PRAGMA synchronous")[0][0] == 2
    assert database.rows("PRAGMA journal_mode")[0][0] == "wal"
    database.close()


def test_nobody_else_reads_the_journal(tmp_path: Path) -> None:
    Database(tmp_path / "journal").close()
    assert (tmp_path / "journal").stat().st_mode & 0o077 == 0


def test_a_film_needs_a_file(journal: Journal) -> None:
    with pytest.raises(FileMissingError):
        journal.arrive(arrival(), None)
    assert journal.known("1.2.3") is None


def test_a_transaction_that_fails_changes_nothing(journal: Journal) -> None:
    journal.arrive(arrival(), "a.dcm")
    journal.arrive(arrival("1.2.4"), "b.dcm")
    result = ResultRecord("2.25.1", "1.2", "r.dcm")
    journal.explained(1, [result], DESTINATIONS, bundle_sha256="0", verdict="reliable")
    with pytest.raises(Exception, match="UNIQUE"):
        journal.explained(2, [result], DESTINATIONS, bundle_sha256="0", verdict="reliable")
    assert journal.film(2).state is State.RECEIVED
    assert journal.results(2) == ()


def test_a_destination_that_the_settings_no_longer_name_holds_up_nothing(journal: Journal) -> None:
    journal.arrive(arrival(), "a.dcm")
    journal.explained(1, [ResultRecord("2.25.1", "1.2", "r.dcm")], DESTINATIONS, bundle_sha256="0", verdict="reliable")
    journal.end_delivery(1, "one", State.DELIVERED)
    journal.keep_destinations(["one"])
    assert (journal.film(1).state, journal.film(1).reason) == (
        State.FAILED,
        "two: no such destination in the settings",
    )


def test_what_went_wrong_is_no_reason_any_more_once_it_went_well(journal: Journal) -> None:
    journal.arrive(arrival(), "a.dcm")
    journal.postpone(1, "server: Unavailable", 0, 0)
    assert journal.film(1).reason == "server: Unavailable"
    journal.explained(1, [ResultRecord("2.25.1", "1.2", "r.dcm")], DESTINATIONS, bundle_sha256="0", verdict="reliable")
    assert journal.film(1).reason == "rule"
    journal.end_delivery(1, "one", State.DEAD, "no association")
    journal.end_delivery(1, "two", State.DELIVERED)
    assert journal.film(1).reason == "one: no association"
    journal.retry()
    journal.end_delivery(1, "one", State.DELIVERED)
    assert (journal.film(1).state, journal.film(1).reason) == (State.DELIVERED, "rule")


class WayOfAFilm(RuleBasedStateMachine):
    """Whatever happens in whatever order, the film is in one state, and what that state promises holds."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.folder = tempfile.TemporaryDirectory()
        self.database = Database(Path(self.folder.name) / "journal")
        self.journal = Journal(self.database, lambda: self.now)
        self.journal.arrive(arrival(), "a.dcm")

    def teardown(self) -> None:
        self.database.close()
        self.folder.cleanup()

    @property
    def state(self) -> State:
        return self.journal.film(1).state

    @rule(model=st.sampled_from(["phantom", ""]))
    def sent_again(self, model: str) -> None:
        before = self.state
        is_used = self.journal.arrive(arrival(model=model), "a.dcm" if model else None)
        assert not is_used, "the first file is still there"
        if before in (State.RECEIVED, State.EXPLAINED):
            assert self.state is before

    @rule()
    def sent_with_other_pixels(self) -> None:
        before = self.journal.film(1)
        with pytest.raises(ConflictError):
            self.journal.arrive(arrival(pixels="b"), "b.dcm")
        assert self.journal.film(1) == before

    @precondition(lambda self: self.state is State.RECEIVED)
    @rule()
    def explained(self) -> None:
        results = [ResultRecord(f"2.25.{number}", "1.2", f"{number}.dcm") for number in (1, 2)]
        self.journal.explained(1, results, DESTINATIONS, bundle_sha256="0", verdict="reliable")
        assert self.state is State.EXPLAINED
        assert self.journal.owed_counts() == {"one": 1, "two": 1}

    @precondition(lambda self: self.state is State.RECEIVED)
    @rule(state=st.sampled_from(STUCK))
    def given_up(self, state: State) -> None:
        self.journal.give_up(1, state, "reason")

    @precondition(lambda self: self.state is State.EXPLAINED)
    @rule(destination=st.sampled_from(DESTINATIONS), end=st.sampled_from([State.DELIVERED, *STUCK]))
    def delivery_ended(self, destination: str, end: State) -> None:
        if self.journal.owed(destination) is not None:
            self.journal.end_delivery(1, destination, end, "" if end is State.DELIVERED else "reason")

    @rule()
    def retried(self) -> None:
        was_stuck = self.state in STUCK
        assert self.journal.retry() == int(was_stuck)
        assert (self.state in (State.RECEIVED, State.EXPLAINED)) or not was_stuck

    @invariant()
    def somebody_has_it(self) -> None:
        """A film that has not ended is found by whoever takes the next step."""
        if self.state is State.RECEIVED:
            assert self.journal.due(State.RECEIVED) is not None
        if self.state is State.EXPLAINED:
            assert any(self.journal.owed(destination) for destination in DESTINATIONS)

    @invariant()
    def there_is_one_film_with_its_file(self) -> None:
        assert sum(self.journal.counts().values()) == 1
        assert self.journal.film(1).file == "a.dcm"


WayOfAFilm.TestCase.settings = settings(max_examples=25, stateful_step_count=20)
TestWayOfAFilm = WayOfAFilm.TestCase
