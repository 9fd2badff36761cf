"""What is done with is deleted, once it has stayed for as long as the settings say."""

from medxgan.gateway.clock import Clock
from medxgan.gateway.journal.files import FileStore
from medxgan.gateway.journal.journal import Journal
from medxgan.gateway.settings import RetentionSettings
from medxgan.gateway.telemetry.log import get_logger

log = get_logger(__name__)

DAY_S = 86_400.0


class Retention:
    """Deletes.

    Args:
        journal: that says what is done with.
        films: files of films.
        results: files of results.
        settings: how long things stay.
        clock: by which that is reckoned.
    """

    def __init__(
        self, journal: Journal, films: FileStore, results: FileStore, settings: RetentionSettings, clock: Clock
    ) -> None:
        self._journal, self._films, self._results = journal, films, results
        self._settings, self._clock = settings, clock

    def step(self) -> bool:
        """Delete what is due; false, since there is no more to do then."""
        now = self._clock()
        # The rows first: what no row names is swept at the next start.
        films, results = self._journal.forget_files(now - self._settings.files_days * DAY_S)
        self._films.remove(films)
        self._results.remove(results)
        forgotten = self._journal.forget_films(now - self._settings.rows_days * DAY_S)
        if films or forgotten:
            log.info("deleted", films=len(films), results=len(results), rows=forgotten)
        return False
