"""The journal: each step of each film is noted before the next begins."""

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence

from medxgan.gateway.clock import Clock, system_clock
from medxgan.gateway.journal.database import Database
from medxgan.gateway.journal.records import STUCK, Arrival, Delivery, FilmRecord, ResultRecord, State


class ConflictError(Exception):
    """An object of the same SOP Instance UID is known, with other pixels."""


class FileMissingError(Exception):
    """A film is to be explained, and no file holds it."""


class Journal:
    """What is known of films, their results and where these have to go.

    Every method that changes something has it on the disk when it returns.

    Args:
        database: that holds it.
        clock: for times of rows.
    """

    def __init__(self, database: Database, clock: Clock = system_clock) -> None:
        self._clock = clock
        self._rows, self._transaction = database.rows, database.transaction

    # A film's way in.

    def known(self, sop_instance_uid: str) -> FilmRecord | None:
        """The film of that UID."""
        return self._film("SELECT * FROM films WHERE sop_instance_uid = ?", sop_instance_uid)

    def film(self, film: int) -> FilmRecord:
        """The film of that number.

        Raises:
            LookupError: there is none.
        """
        found = self._film("SELECT * FROM films WHERE id = ?", film)
        if found is None:
            raise LookupError(f"no film has the number {film}")
        return found

    def is_result(self, sop_instance_uid: str) -> bool:
        """Whether this gateway made the object."""
        return bool(self._rows("SELECT 1 FROM results WHERE sop_instance_uid = ?", sop_instance_uid))

    def arrive(self, arrival: Arrival, file: str | None) -> bool:
        """Note a film: new, or sent again.

        A film that is on its way stays where it is. One that had come to an end starts again: its results have the same
        UIDs, so that whoever has them still has them once.

        Args:
            arrival: what came.
            file: that holds it; None where it is ignored.

        Returns:
            Whether `file` is the journal's now; else it is to be removed.

        Raises:
            ConflictError: the UID is known, with other pixels.
            FileMissingError: there is no file, and none was there before.
        """
        state = State.RECEIVED if arrival.model else State.IGNORED
        now = self._clock()
        with self._transaction() as execute:
            known = self.known(arrival.sop_instance_uid)
            if arrival.model and file is None and (known is None or known.file is None):
                raise FileMissingError
            if known is None:
                execute(
                    "INSERT INTO films (sop_instance_uid, sop_class_uid, pixels_sha256, source, file, state, rule,"
                    " reason, model, version, received, changed, next_attempt)"
                    " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7, ?8, ?9, ?10, ?10, ?10)",
                    arrival.sop_instance_uid,
                    arrival.sop_class_uid,
                    arrival.pixels_sha256,
                    arrival.source,
                    file,
                    state,
                    arrival.reason,
                    arrival.model,
                    arrival.version,
                    now,
                )
                return file is not None
            if known.pixels_sha256 != arrival.pixels_sha256:
                raise ConflictError
            if known.state in (State.RECEIVED, State.EXPLAINED):
                return False
            execute("DELETE FROM deliveries WHERE film = ?", known.id)
            execute(
                "UPDATE films SET file = coalesce(file, ?1), state = ?2, rule = ?3, reason = ?3, model = ?4,"
                " version = ?5, received = ?6, changed = ?6, next_attempt = ?6, attempts = 0, faults = 0,"
                " first_failed = NULL WHERE id = ?7",
                file,
                state,
                arrival.reason,
                arrival.model,
                arrival.version,
                now,
                known.id,
            )
            return known.file is None and file is not None

    # From one state to the next.

    def due(self, state: State, busy: Iterable[int] = ()) -> FilmRecord | None:
        """The film of that state which has waited longest of those whose time has come, and which is not busy."""
        skipped = json.dumps(sorted(busy))
        return self._film(
            "SELECT * FROM films WHERE state = ? AND next_attempt <= ?"
            " AND id NOT IN (SELECT value FROM json_each(?)) ORDER BY next_attempt, id LIMIT 1",
            state,
            self._clock(),
            skipped,
        )

    def results(self, film: int) -> tuple[ResultRecord, ...]:
        """The objects made of a film, in order."""
        rows = self._rows(
            "SELECT sop_instance_uid, sop_class_uid, file FROM results WHERE film = ? ORDER BY number", film
        )
        return tuple(ResultRecord(*row) for row in rows)

    def explained(
        self,
        film: int,
        results: Sequence[ResultRecord],
        destinations: Iterable[str],
        *,
        bundle_sha256: str,
        verdict: str,
    ) -> tuple[str, ...]:
        """A film's results are kept: they are owed to these destinations from now on.

        Returns:
            Files of results that these take the place of.
        """
        now = self._clock()
        with self._transaction() as execute:
            before = {result.file for result in self.results(film)}
            execute("DELETE FROM results WHERE film = ?", film)
            for number, result in enumerate(results, start=1):
                execute(
                    "INSERT INTO results VALUES (?, ?, ?, ?, ?)",
                    film,
                    number,
                    result.sop_instance_uid,
                    result.sop_class_uid,
                    result.file,
                )
            execute("DELETE FROM deliveries WHERE film = ?", film)
            execute("DELETE FROM receipts WHERE film = ?", film)
            for destination in destinations:
                execute(
                    "INSERT INTO deliveries (film, destination, state, next_attempt) VALUES (?, ?, 'waiting', ?)",
                    film,
                    destination,
                    now,
                )
            execute(
                "UPDATE films SET state = 'explained', reason = rule, bundle_sha256 = ?, verdict = ?, changed = ?,"
                " attempts = 0, faults = 0, first_failed = NULL, next_attempt = ? WHERE id = ?",
                bundle_sha256,
                verdict,
                now,
                now,
                film,
            )
        return tuple(before - {result.file for result in results})

    def postpone(
        self, film: int, reason: str, first_failed: float, next_attempt: float, *, is_fault: bool = False
    ) -> None:
        """Explaining a film failed, as it may or as it should not, and is to be tried again then."""
        with self._transaction() as execute:
            execute(
                "UPDATE films SET reason = ?, attempts = attempts + 1, faults = faults + ?, first_failed = ?,"
                " next_attempt = ? WHERE id = ?",
                reason,
                is_fault,
                first_failed,
                next_attempt,
                film,
            )

    def give_up(self, film: int, state: State, reason: str) -> None:
        """A film is put on the dead-letter list."""
        with self._transaction() as execute:
            execute(
                "UPDATE films SET state = ?, reason = ?, changed = ? WHERE id = ?", state, reason, self._clock(), film
            )

    # To the destinations.

    def owed(self, destination: str) -> Delivery | None:
        """The film whose results have waited longest for a destination, of those whose time has come."""
        rows = self._rows(
            "SELECT deliveries.film, deliveries.attempts, deliveries.first_failed"
            " FROM deliveries JOIN films ON films.id = deliveries.film"
            " WHERE films.state = 'explained' AND deliveries.destination = ? AND deliveries.state = 'waiting'"
            " AND deliveries.next_attempt <= ? ORDER BY deliveries.next_attempt, deliveries.film LIMIT 1",
            destination,
            self._clock(),
        )
        return Delivery(*rows[0]) if rows else None

    def accepted(self, film: int, destination: str) -> frozenset[str]:
        """The SOP Instance UIDs of results that a destination has taken."""
        rows = self._rows(
            "SELECT sop_instance_uid FROM receipts WHERE film = ? AND destination = ? AND accepted", film, destination
        )
        return frozenset(row[0] for row in rows)

    def receipt(self, film: int, destination: str, sop_instance_uid: str, *, accepted: bool, status: str) -> None:
        """A destination has answered for one object."""
        with self._transaction() as execute:
            execute(
                "INSERT OR REPLACE INTO receipts VALUES (?, ?, ?, ?, ?)",
                film,
                destination,
                sop_instance_uid,
                accepted,
                status,
            )

    def postpone_delivery(
        self, film: int, destination: str, reason: str, first_failed: float, next_attempt: float
    ) -> None:
        """A delivery failed, and is to be tried again then."""
        with self._transaction() as execute:
            execute(
                "UPDATE deliveries SET reason = ?, attempts = attempts + 1, first_failed = ?, next_attempt = ?"
                " WHERE film = ? AND destination = ?",
                reason,
                first_failed,
                next_attempt,
                film,
                destination,
            )

    def end_delivery(self, film: int, destination: str, state: State, reason: str = "") -> State:
        """A destination has everything, or won't have it; the film ends when its last delivery has.

        Args:
            film: its number.
            destination: by name.
            state: DELIVERED, FAILED or DEAD.
            reason: why not.

        Returns:
            The film's state.
        """
        with self._transaction() as execute:
            execute(
                "UPDATE deliveries SET state = ?, reason = ? WHERE film = ? AND destination = ?",
                state,
                reason,
                film,
                destination,
            )
            ends = self._rows("SELECT destination, state, reason FROM deliveries WHERE film = ?", film)
            states = {row["state"] for row in ends}
            if "waiting" in states:
                return State.EXPLAINED
            end = next(each for each in (*STUCK, State.DELIVERED) if each in states)
            wrong = "; ".join(f"{row['destination']}: {row['reason']}" for row in ends if row["state"] in STUCK)
            # What a film that was delivered says is the rule that took it.
            execute(
                "UPDATE films SET state = ?, reason = coalesce(?, rule), changed = ? WHERE id = ?",
                end,
                wrong or None,
                self._clock(),
                film,
            )
            return end

    def keep_destinations(self, names: Iterable[str]) -> None:
        """Deliveries to destinations that the settings no longer name are owed no more."""
        known = json.dumps(sorted(names))
        gone = self._rows(
            "SELECT film, destination FROM deliveries WHERE state = 'waiting'"
            " AND destination NOT IN (SELECT value FROM json_each(?))",
            known,
        )
        for film, destination in gone:
            self.end_delivery(film, destination, State.FAILED, "no such destination in the settings")

    # For people.

    def retry(self, films: Iterable[int] | None = None) -> int:
        """Take films off the dead-letter list: each goes on where it stopped.

        Args:
            films: their numbers; None for all on the list.

        Returns:
            How many there were.
        """
        now = self._clock()
        chosen = None if films is None else json.dumps(sorted(films))
        with self._transaction() as execute:
            rows = self._rows(
                "SELECT id, (SELECT count(*) FROM deliveries WHERE film = films.id AND state != 'delivered') AS owed"
                " FROM films WHERE state IN ('failed', 'dead')"
                " AND (?1 IS NULL OR id IN (SELECT value FROM json_each(?1)))",
                chosen,
            )
            for film, owed in rows:
                execute(
                    "UPDATE deliveries SET state = 'waiting', attempts = 0, first_failed = NULL, next_attempt = ?"
                    " WHERE film = ? AND state != 'delivered'",
                    now,
                    film,
                )
                execute(
                    "UPDATE films SET state = ?, changed = ?, attempts = 0, faults = 0, first_failed = NULL,"
                    " next_attempt = ? WHERE id = ?",
                    State.EXPLAINED if owed else State.RECEIVED,
                    now,
                    now,
                    film,
                )
        return len(rows)

    def films(self, states: Iterable[State], limit: int) -> tuple[FilmRecord, ...]:
        """Films of these states, the last that changed first."""
        rows = self._rows(
            "SELECT * FROM films WHERE state IN (SELECT value FROM json_each(?))"
            " ORDER BY changed DESC, id DESC LIMIT ?",
            json.dumps([str(state) for state in states]),
            limit,
        )
        return tuple(map(_record, rows))

    def counts(self) -> Mapping[State, int]:
        """How many films have each state."""
        counted = dict(self._rows("SELECT state, count(*) FROM films GROUP BY state"))
        return {state: counted.get(state, 0) for state in State}

    def reasons(self, state: State) -> Mapping[str, int]:
        """How many films of a state have each reason, the most frequent first."""
        rows = self._rows(
            "SELECT reason, count(*) FROM films WHERE state = ? GROUP BY reason ORDER BY count(*) DESC, reason", state
        )
        return {row[0]: row[1] for row in rows}

    def owed_counts(self) -> Mapping[str, int]:
        """How many films' results wait for each destination."""
        rows = self._rows(
            "SELECT destination, count(*) FROM deliveries WHERE state = 'waiting' GROUP BY destination ORDER BY 1"
        )
        return {row[0]: row[1] for row in rows}

    def oldest_waiting(self) -> float | None:
        """When the film that has waited longest was received; None where none waits."""
        oldest: float | None = self._rows("SELECT min(received) FROM films WHERE state IN ('received', 'explained')")[
            0
        ][0]
        return oldest

    # What is kept.

    def files(self) -> tuple[frozenset[str], frozenset[str]]:
        """Names of all files of films, and of all files of results."""
        films = self._rows("SELECT file FROM films WHERE file IS NOT NULL")
        results = self._rows("SELECT file FROM results")
        return frozenset(row[0] for row in films), frozenset(row[0] for row in results)

    def _film(self, query: str, *values: object) -> FilmRecord | None:
        rows = self._rows(query, *values)
        return _record(rows[0]) if rows else None


def _record(row: sqlite3.Row) -> FilmRecord:
    values = {name: row[name] for name in row.keys()}  # noqa: SIM118 - a row is no mapping
    return FilmRecord(**values | {"state": State(row["state"]), "committed": bool(row["committed"])})
