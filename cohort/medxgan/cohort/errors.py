"""Everything that can keep a run from beginning or going on, and what can be wrong with one film.

CohortError                 the run ends with its message; what was done stays, and the same command goes on
├── SourceError             films can't be listed
├── RunFolderError          the folder can't be written to as it is
├── DifferentRunError       the folder's run began with something else
└── LostPartError           the engine said that a part is done, and it is not there

FilmError is apart: it becomes the row of the film.
"""

from collections.abc import Sequence


class CohortError(Exception):
    """Base of what ends a run."""


class SourceError(CohortError):
    """Films can't be listed, or an archive does not answer."""


class RunFolderError(CohortError):
    """The folder of the run can't be used."""


class DifferentRunError(CohortError):
    """The folder holds a run that began with something else.

    Args:
        differences: a sentence each, which names the field.
    """

    def __init__(self, differences: Sequence[str]) -> None:
        super().__init__(
            "the run in this folder began otherwise, and rows of two kinds don't mix: "
            f"{'; '.join(differences)}. Give --out another folder, or the same options as before"
        )
        self.differences = tuple(differences)


class LostPartError(CohortError):
    """Parts are missing where the engine has ended."""


class FilmError(Exception):
    """A film can't be read.

    Attributes:
        code: for programs: "unreadable".
        field: what is wrong: "film".
        text: what was expected, for a person.
    """

    def __init__(self, code: str, field: str, text: str) -> None:
        super().__init__(f"{field}: {text}")
        self.code, self.field, self.text = code, field, text
