"""Which file of a folder is the film that a report names."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePath


def films_of(folder: Path, names: Iterable[str]) -> dict[str, Path]:
    """The films that are in a folder, by the names of a report; those that no single file can be are left out.

    A name is that of a file, with or without what stands after its last dot. Of a path as many of the last parts are
    compared as it takes: "films/a/1.dcm" is FOLDER/a/1.dcm, and FOLDER/1.dcm where there is no other 1.dcm.
    """
    paths, ends = _files(folder)
    found = {name: path for name in dict.fromkeys(names) if (path := _found(name, paths, ends)) is not None}
    claims: dict[Path, list[str]] = defaultdict(list)
    for name, path in found.items():
        claims[path].append(name)
    # One file can't be two films: its name says too little.
    return {name: path for name, path in found.items() if len(claims[path]) == 1}


_Files = Mapping[str, list[Path]]


def _files(folder: Path) -> tuple[_Files, _Files]:
    """The files by their paths, and by their last parts alone."""
    paths: dict[str, list[Path]] = defaultdict(list)
    ends: dict[str, list[Path]] = defaultdict(list)
    for path in sorted(folder.rglob("*")):
        below = path.relative_to(folder)
        if any(part.startswith(".") for part in below.parts) or not path.is_file():
            continue
        for key in {below.as_posix(), below.with_suffix("").as_posix()}:
            paths[key].append(path)
        for key in {below.name, below.stem}:
            ends[key].append(path)
    return paths, ends


def _found(name: str, paths: _Files, ends: _Files) -> Path | None:
    parts = PurePath(name).parts
    for first in range(len(parts)):
        if len(same := paths.get("/".join(parts[first:]), [])) == 1:
            return same[0]
    same = ends.get(PurePath(name).name, [])
    return same[0] if len(same) == 1 else None
