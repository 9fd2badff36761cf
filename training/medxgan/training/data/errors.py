"""The one error of the readers."""


class DataError(ValueError):
    """A data set cannot be used as it is; the message names the file or the field, and what was expected."""
