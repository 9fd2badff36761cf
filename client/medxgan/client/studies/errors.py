"""What goes wrong with studies."""


class StudyError(Exception):
    """A study can't be read; the message is for a person."""


class TooLongError(StudyError):
    """An archive sends a larger film than is taken."""
