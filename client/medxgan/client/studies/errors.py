"""What goes wrong with studies."""


class StudyError(Exception):
    """A study can't be read; the message is for a person."""


class TooLongError(StudyError):
    """An archive sends a larger film than is taken."""


class QueryError(StudyError):
    """Studies can't be searched for in this way.

    Args:
        field: of the query.
        expected: what was expected there.
    """

    def __init__(self, field: str, expected: str) -> None:
        super().__init__(f"{field}: expected {expected}")
        self.field, self.expected = field, expected
