"""What a user asks of a run, and what a run of it begins with."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from medxgan.client.results import InversionSettings, MapDescription, ModelDescription
from medxgan.client.vocabulary import MapKind, MapNeed
from medxgan.cohort.errors import CohortError
from medxgan.cohort.figures import Region
from medxgan.cohort.manifest import Manifest
from medxgan.cohort.sources.choosing import Source

USUAL_MAPS = ("original", "reconstruction", "negative_realization", "difference")
"""What is kept of a model that has a generator, where no map is named: enough to look at every film again."""

PART_BYTES = 2**30
"""Maps of a part: three parts are in memory at once, and a chunk of Zarr is compressed as a whole."""

FLOAT_BYTES = 4


@dataclass(frozen=True)
class Wish:
    """What a user asks for.

    Attributes:
        model: name; empty for the server's default.
        version: of the model; empty for the highest.
        maps: names; none for the usual ones.
        region: where the share of every map is noted.
        seed: of every film.
        inversion: settings of the inversion.
        part_films: films of a part.
    """

    model: str
    version: str
    maps: tuple[str, ...]
    region: Region | None
    seed: int
    inversion: InversionSettings
    part_films: int


def manifest_of(
    wish: Wish, source: Source, description: ModelDescription, batch: int | None, salt: str
) -> tuple[Manifest, Sequence[MapDescription]]:
    """What a run begins with, and its maps.

    Args:
        wish: of the user.
        source: of the films.
        description: of the model that the server has.
        batch: films that advance together; None where a server that was named decides it.
        salt: of the run.

    Raises:
        CohortError: the model has no such map, or the maps of a part are too many bytes.
    """
    maps = _maps(wish, description)
    bundle = description.bundle
    _refuse_large_parts(wish.part_films, len(maps), bundle.image.height, bundle.image.width)
    manifest = Manifest(
        source=source.name(salt),
        source_options=source.options,
        salt=salt,
        model=description.model.name,
        version=description.model.version,
        bundle_sha256=description.model.bundle_sha256,
        classes=(bundle.classification.positive_class, bundle.classification.negative_class),
        checks=tuple(measure.name for measure in bundle.familiarity.measures),
        engine=description.execution.engine,
        provider=description.execution.provider,
        server_version=description.server.version,
        batch=batch,
        settings={"seed": wish.seed, "inversion": asdict(wish.inversion)},
        maps=tuple(entry.name for entry in maps),
        region=None if wish.region is None else wish.region.edges,
        part_films=wish.part_films,
    )
    return manifest, maps


def _refuse_large_parts(films: int, maps: int, height: int, width: int) -> None:
    most = PART_BYTES // (max(maps, 1) * height * width * FLOAT_BYTES)
    if films > most:
        raise CohortError(
            f"--part-films: expected at most {most}, got {films}: a part's maps are held in memory, "
            f"{PART_BYTES // 2**30} GiB of them at most, and a film has {maps} of {height}x{width}"
        )


def _maps(wish: Wish, description: ModelDescription) -> Sequence[MapDescription]:
    offered = {
        entry.name: entry for entry in description.maps if isinstance(entry.kind, MapKind) and entry.channels == 1
    }
    names = [name.lower().replace("-", "_") for name in wish.maps]
    if not names:
        usual = [name for name in USUAL_MAPS if name in offered]
        others = [entry.name for entry in offered.values() if entry.is_default]
        names = usual if "difference" in usual else [*usual, *others]
    chosen = []
    for name in dict.fromkeys(names):
        if name not in offered:
            known = ", ".join(name.replace("_", "-") for name in offered)
            raise CohortError(f"--map: {description.model.name} has no map {name!r} of one channel; there is: {known}")
        if MapNeed.RESTARTS in offered[name].needs and (wish.inversion.restarts or 1) < 2:
            raise CohortError(f"--map: {name} needs --restarts of 2 or more")
        chosen.append(offered[name])
    return chosen
