"""What a run began with. A run goes on with the same, or not at all."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from medxgan.client.results import InversionSettings, Settings
from medxgan.client.vocabulary import MapKind, Solver
from medxgan.cohort.durable import write_durably
from medxgan.cohort.errors import RunFolderError
from medxgan.cohort.figures import Region

FORMAT = 2
"""Version of the folder's layout. Of 1 it is not known which films of the source were asked for."""


@dataclass(frozen=True)
class Manifest:
    """What the rows of a run have in common.

    Attributes:
        source: where the films come from.
        source_options: what else says which films these are, by the names of the command's options.
        salt: of the hash that stands for an archive's query, in hexadecimal digits.
        model: name.
        version: of the model.
        bundle_sha256: of the model.
        classes: names of the positive and of the negative class.
        checks: names of the bundle's measures of how unlike an image is to those of the training.
        engine: that computes: "onnxruntime".
        provider: execution provider that computes.
        server_version: of the server.
        batch: inversions that advance together; None where a server that was named decides it.
        settings: of the explanations, as they were asked for.
        maps: names of the maps.
        region: edges of the region whose share is noted.
        part_films: films of a part.
        format: version of the folder's layout.
    """

    source: str
    source_options: Mapping[str, str | None]
    salt: str
    model: str
    version: str
    bundle_sha256: str
    classes: tuple[str, str]
    checks: tuple[str, ...]
    engine: str
    provider: str
    server_version: str
    batch: int | None
    settings: Mapping[str, Any]
    maps: tuple[str, ...]
    region: tuple[float, ...] | None
    part_films: int
    format: int = field(default=FORMAT)

    @property
    def kinds(self) -> tuple[MapKind, ...]:
        """The maps to ask for."""
        return tuple(MapKind(name) for name in self.maps)

    @property
    def asked_settings(self) -> Settings:
        """`settings` as the client takes them."""
        inversion = dict(self.settings["inversion"])
        if inversion["solver"] is not None:
            inversion["solver"] = Solver(inversion["solver"])
        return Settings(seed=self.settings["seed"], inversion=InversionSettings(**inversion))

    @property
    def asked_region(self) -> Region | None:
        """`region` to measure by."""
        return None if self.region is None else Region(*self.region)

    def differences(self, other: "Manifest") -> list[str]:
        """What another run would have otherwise, a sentence for each field."""
        began, now = dict(_leaves(asdict(self))), dict(_leaves(asdict(other)))
        return [
            f"{name} began as {began.get(name)!r}, and is {now.get(name)!r} now"
            for name in dict.fromkeys((*began, *now))
            if began.get(name) != now.get(name)
        ]


@dataclass(frozen=True)
class Run:
    """A manifest, and the number of films that were listed when the run began."""

    manifest: Manifest
    films: int

    @property
    def parts(self) -> int:
        """Number of parts."""
        return -(-self.films // self.manifest.part_films)

    def films_of(self, part: int) -> int:
        """Number of films of a part."""
        return min(self.manifest.part_films, self.films - part * self.manifest.part_films)

    def write(self, path: Path) -> None:
        """Write it down, whole or not at all."""
        text = json.dumps({"films": self.films, **asdict(self.manifest)}, indent=2) + "\n"
        write_durably(path, partial(_write_text, text))

    @classmethod
    def read(cls, path: Path) -> "Run":
        """Read what `write` wrote.

        Raises:
            RunFolderError: it is of another version, or no such file.
        """
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            films = content.pop("films")
            if content["format"] != FORMAT:
                raise RunFolderError(
                    f"{path}: expected format {FORMAT}, got {content['format']}; "
                    "a run ends with the release that it began with. Give --out another folder"
                )
            for name in ("classes", "checks", "maps"):
                content[name] = tuple(content[name])
            content["region"] = None if content["region"] is None else tuple(content["region"])
            return cls(Manifest(**content), films)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise RunFolderError(f"{path}: expected what a run began with ({type(error).__name__})") from error


def _write_text(text: str, path: Path) -> None:
    path.write_text(text, encoding="utf-8")


def _leaves(content: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in content.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{path}{name}.")
        else:
            yield f"{path}{name}", tuple(value) if isinstance(value, list) else value
