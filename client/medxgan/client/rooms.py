"""Other rooms of medxgan (server, training, export), which the client never imports: found by entry point, on use."""

from importlib.metadata import entry_points
from typing import Any


class MissingExtraError(Exception):
    """What was asked for needs an extra that is not installed; the message says which."""


def load_room(group: str, name: str, *, purpose: str, extra: str) -> Any:
    """Load the object that another room lends under an entry point.

    Args:
        group: the entry point's group.
        name: its name there.
        purpose: what needs it, for the message: "`medxgan train`".
        extra: the extra of the distribution that it needs.

    Raises:
        MissingExtraError: the extra is not installed.
    """
    remedy = f"{purpose} needs the {extra} extra: pip install 'medxgan[{extra}]'"
    found = tuple(entry_points(group=group, name=name))
    if not found:
        raise MissingExtraError(f"{remedy} (this installation knows no {name!r} in {group})")
    try:
        return found[0].load()
    except ModuleNotFoundError as error:
        # A part of medxgan itself that is missing is a broken installation, which no extra mends.
        if error.name is None or error.name.partition(".")[0] == "medxgan":
            raise
        raise MissingExtraError(f"{remedy} (there is no module {error.name!r})") from error
