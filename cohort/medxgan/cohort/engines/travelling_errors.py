"""Errors on their way from a process that explains to the one that runs the command."""

from collections.abc import Iterator
from contextlib import contextmanager

from medxgan.client.command.embedded import EmbeddedServerError
from medxgan.client.errors import MedxganClientError, MissingExtraError
from medxgan.cohort.errors import CohortError


@contextmanager
def errors_that_travel() -> Iterator[None]:
    """Errors of several arguments can't be pickled: their words go.

    Raises:
        CohortError: with the words of one that ends a run.
    """
    try:
        yield
    except (CohortError, EmbeddedServerError, MedxganClientError, MissingExtraError) as error:
        raise CohortError(str(error)) from None
