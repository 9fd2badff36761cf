"""A film as a person looks at it."""

from typing import Any

from numpy.typing import NDArray


def upright(levels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """A film turned to stand upright, as its orientation (EXIF) asks."""
    turned = levels.swapaxes(0, 1) if orientation >= 5 else levels
    rows = -1 if orientation in (3, 4, 7, 8) else 1
    columns = -1 if orientation in (2, 3, 6, 7) else 1
    return turned[::rows, ::columns]
