"""What is done with is deleted, once it has stayed for as long as the settings say."""

from medxgan.gateway.clock import Clock
from medxgan.gateway.journal.database import Database
from medxgan.gateway.journal.files import FileStore
from medxgan.gateway.settings import RetentionSettings
from medxgan.gateway.telemetry.log import get_logger

log = get_logger(__name__)

DAY_S = 86_400.0


class Retention:
    """Deletes.

    Args:
        database: that says what is done with.
        films: files of films.
        results: files of results.
        settings: how long things stay.
        clock: by which that is reckoned.
        answers: files of what the server said of films; None where they are not kept.
    """

    def __init__(
        self,
        database: Database,
        films: FileStore,
        results: FileStore,
        settings: RetentionSettings,
        clock: Clock,
        answers: FileStore | None = None,
    ) -> None:
        self._database, self._films, self._results, self._answers = database, films, results, answers
        self._settings, self._clock = settings, clock

    def step(self) -> bool:
        """Delete what is due; false, since there is no more to do then."""
        now = self._clock()
        # The rows first: a file that no row names is taken out at the next start.
        films, results = self._forget_files(now - self._settings.files_days * DAY_S)
        self._films.remove(films)
        if self._answers is not None:
            self._answers.remove(films)
        self._results.remove(results)
        forgotten = self._forget_films(now - self._settings.rows_days * DAY_S)
        if films or forgotten:
            log.info("deleted", films=len(films), results=len(results), rows=forgotten)
        return False

    def _forget_files(self, before: float) -> tuple[list[str], list[str]]:
        """Films that were delivered before then have no files any more, unless they are committed to.

        Nor has one that was sent again, and that a rule has ignored since.
        """
        with self._database.transaction() as execute:
            done = "state IN ('delivered', 'ignored') AND changed < ? AND file IS NOT NULL AND NOT committed"
            films = execute(f"SELECT file FROM films WHERE {done}", before).fetchall()  # noqa: S608 - a constant
            results = execute(
                f"DELETE FROM results WHERE film IN (SELECT id FROM films WHERE {done}) RETURNING file",  # noqa: S608
                before,
            ).fetchall()
            execute(f"UPDATE films SET file = NULL WHERE {done}", before)  # noqa: S608
        return [row[0] for row in films], [row[0] for row in results]

    def _forget_films(self, before: float) -> int:
        """Films that were delivered or ignored before then and have no file are not known any more."""
        with self._database.transaction() as execute:
            return execute(
                "DELETE FROM films WHERE state IN ('delivered', 'ignored') AND changed < ? AND file IS NULL", before
            ).rowcount
