"""Environment variables that look like a setting's and are none's."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches

_ALIKE = 0.9
"""Share of letters from which on a name is taken for a setting's, misspelt."""


def misspelt_variables(
    environment: Iterable[str], settings: Iterable[str], prefix: str = "MEDXGAN_"
) -> Mapping[str, str]:
    """Variables that nobody reads, and the ones that were meant: a server would come up without what they say.

    Others with the prefix are let be: those of other commands, and what Kubernetes sets for a service of that name.

    Args:
        environment: names of variables.
        settings: names of settings, in small letters.
        prefix: of the settings' variables.
    """
    known = {name.upper() for name in settings}
    found = {}
    for name in sorted(each.upper().removeprefix(prefix) for each in environment if each.upper().startswith(prefix)):
        if name not in known and (meant := get_close_matches(name, known, 1, _ALIKE)):
            found[prefix + name] = prefix + meant[0]
    return found
