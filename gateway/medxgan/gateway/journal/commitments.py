"""Storage commitment that was asked for and is not answered yet."""

import json
from collections.abc import Iterable, Sequence

from medxgan.gateway.clock import Clock, system_clock
from medxgan.gateway.journal.database import Database
from medxgan.gateway.journal.records import Commitment


class Commitments:
    """What peers wait to hear of.

    Args:
        database: that holds it.
        clock: for times of rows.
    """

    def __init__(self, database: Database, clock: Clock = system_clock) -> None:
        self._clock = clock
        self._rows, self._transaction = database.rows, database.transaction

    def ask(self, transaction_uid: str, peer: str, instances: Sequence[tuple[str, str]]) -> None:
        """Note that a peer asked for storage commitment."""
        with self._transaction() as execute:
            execute(
                "INSERT OR REPLACE INTO commitments (transaction_uid, peer, instances, next_attempt)"
                " VALUES (?, ?, ?, ?)",
                transaction_uid,
                peer,
                json.dumps(list(instances)),
                self._clock(),
            )

    def due(self) -> Commitment | None:
        """A commitment whose peer is to hear of it now."""
        rows = self._rows(
            "SELECT transaction_uid, peer, instances, attempts, first_failed FROM commitments WHERE next_attempt <= ?"
            " ORDER BY next_attempt LIMIT 1",
            self._clock(),
        )
        if not rows:
            return None
        transaction_uid, peer, instances, attempts, first_failed = rows[0]
        pairs = tuple((sop_class, uid) for sop_class, uid in json.loads(instances))
        return Commitment(transaction_uid, peer, pairs, attempts, first_failed)

    def take_responsibility(self, sop_instance_uids: Iterable[str]) -> frozenset[str]:
        """Those of the objects whose file is here; it is not deleted from now on."""
        with self._transaction() as execute:
            rows = self._rows(
                "SELECT id, sop_instance_uid FROM films WHERE file IS NOT NULL"
                " AND sop_instance_uid IN (SELECT value FROM json_each(?))",
                json.dumps(sorted(sop_instance_uids)),
            )
            for film, _ in rows:
                execute("UPDATE films SET committed = 1 WHERE id = ?", film)
        return frozenset(uid for _, uid in rows)

    def postpone(self, commitment: Commitment, first_failed: float, next_attempt: float) -> None:
        """A peer could not be told, and is to be told then."""
        with self._transaction() as execute:
            execute(
                "UPDATE commitments SET attempts = attempts + 1, first_failed = ?, next_attempt = ?"
                " WHERE transaction_uid = ? AND peer = ?",
                first_failed,
                next_attempt,
                commitment.transaction_uid,
                commitment.peer,
            )

    def end(self, commitment: Commitment) -> None:
        """A peer has heard, or won't."""
        with self._transaction() as execute:
            execute(
                "DELETE FROM commitments WHERE transaction_uid = ? AND peer = ?",
                commitment.transaction_uid,
                commitment.peer,
            )
