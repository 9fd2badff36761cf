"""Why a film and its explanation make no results."""


class UnusableFilmError(ValueError):
    """A film that no results can be made of.

    Attributes:
        attribute: keyword of the attribute that is in the way.
    """

    def __init__(self, attribute: str, expected: str) -> None:
        super().__init__(f"{attribute}: expected {expected}")
        self.attribute = attribute
