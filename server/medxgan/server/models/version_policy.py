"""Which versions of a bundle are served, where its folder holds several."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from medxgan.bundle.schema import NAME_PATTERN, VERSION_PATTERN


@dataclass(frozen=True)
class VersionPolicy:
    """The rule for one name; without either field every version is served.

    Attributes:
        latest: how many of the numerically highest versions are served; None: not by their number.
        specific: the versions that are served; empty: not by name.
    """

    latest: int | None = None
    specific: frozenset[int] = frozenset()

    def chosen(self, versions: Iterable[int]) -> list[int]:
        """Those that are served of the versions there are, the highest last."""
        found = sorted(versions)
        if self.specific:
            return [version for version in found if version in self.specific]
        return found if self.latest is None else found[-self.latest :]


@dataclass(frozen=True)
class VersionPolicies:
    """The rule for every name.

    Attributes:
        usual: of a name that has none of its own.
        by_name: of the others.
    """

    usual: VersionPolicy = VersionPolicy()
    by_name: Mapping[str, VersionPolicy] = field(default_factory=dict)

    def of(self, name: str) -> VersionPolicy:
        """The rule for the versions of one name."""
        return self.by_name.get(name, self.usual)

    @classmethod
    def parse(cls, text: str) -> "VersionPolicies":
        """Read `POLICY;NAME=POLICY;…`: `all`, `latest:N` or `specific:V,V` for all names, and for some of their own.

        Raises:
            ValueError: it is something else.
        """
        usual, by_name = VersionPolicy(), {}
        for number, part in enumerate(text.split(";")):
            name, equals, stated = (each.strip() for each in part.rpartition("="))
            if equals and re.fullmatch(NAME_PATTERN, name) and name not in by_name:
                by_name[name] = _policy(stated)
            elif not equals and number == 0:
                usual = _policy(stated)
            else:
                raise ValueError(f"expected POLICY or NAME=POLICY between semicolons, each name once, got {part!r}")
        return cls(usual, by_name)


def _policy(text: str) -> VersionPolicy:
    kind, _, numbers = text.partition(":")
    if text == "all":
        return VersionPolicy()
    if kind == "latest" and re.fullmatch(VERSION_PATTERN, numbers or "1"):
        return VersionPolicy(latest=int(numbers or "1"))
    versions = [each.strip() for each in numbers.split(",")]
    if kind == "specific" and all(re.fullmatch(VERSION_PATTERN, version) for version in versions):
        return VersionPolicy(specific=frozenset(map(int, versions)))
    raise ValueError(f"expected all, latest:N or specific:V,V, got {text!r}")
