"""Where looking at each archive was left off."""

from medxgan.gateway.journal.database import Database


class Cursors:
    """Places in the feeds of archives.

    Args:
        database: that holds them.
    """

    def __init__(self, database: Database) -> None:
        self._rows, self._transaction = database.rows, database.transaction

    def place(self, archive: str) -> int:
        """Where looking at an archive was left off; 0 where it has not begun."""
        rows = self._rows("SELECT value FROM cursors WHERE archive = ?", archive)
        return int(rows[0][0]) if rows else 0

    def move(self, archive: str, value: int) -> None:
        """Looking at an archive goes on from there."""
        with self._transaction() as execute:
            execute("INSERT OR REPLACE INTO cursors VALUES (?, ?)", archive, value)
