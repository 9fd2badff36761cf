"""Which maps `--method` asks for, and which options mean something to them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import typer

from medxgan.client.results import MapDescription, ModelDescription
from medxgan.client.vocabulary import MapKind, MapNeed, Unrecognised

COUNTERPART, ALL = "medxgan", "all"
"""The values of `--method` that are no map's name: the counterpart without pathology, and every map."""

COUNTERPART_MAPS = (
    MapKind.ORIGINAL,
    MapKind.RECONSTRUCTION,
    MapKind.NEGATIVE_REALIZATION,
    MapKind.APPLIED_NEGATIVE,
    MapKind.DIFFERENCE,
    MapKind.COLORIZED,
    MapKind.RESIDUAL,
    MapKind.POSITIVE_REALIZATION,
)

OPTION_NEEDS: Mapping[str, MapNeed] = {
    "steps": MapNeed.INVERSION,
    "solver": MapNeed.INVERSION,
    "learning_rate": MapNeed.INVERSION,
    "reconstruction_weight": MapNeed.INVERSION,
    "restarts": MapNeed.INVERSION,
    "seed": MapNeed.INVERSION,
    "path_steps": MapNeed.PATH,
    "baseline": MapNeed.PATH,
    "window": MapNeed.WINDOWS,
    "stride": MapNeed.WINDOWS,
    "occlusion_level": MapNeed.WINDOWS,
}
"""What a map must need for an option, by its parameter, to mean something to it."""


@dataclass(frozen=True)
class ChosenMaps:
    """The maps to ask for.

    Attributes:
        kinds: all of them, in one request.
        counterpart: whether the counterpart without pathology is among them, which has a panel of its own.
        singled_out: the maps that were chosen by name, or by "all"; they are shown beside the original.
    """

    kinds: tuple[MapKind | Unrecognised, ...]
    counterpart: bool
    singled_out: tuple[MapKind | Unrecognised, ...]


def choose_maps(methods: Sequence[str], description: ModelDescription, *, target: str, restarts: int) -> ChosenMaps:
    """The maps that `--method` asks for.

    Args:
        methods: "medxgan", "all", names of maps; hyphens count as underscores. None named: the counterpart, or the
            default maps of a model that has no generator.
        description: of the model, whose table of maps decides.
        target: class to explain; empty for the positive one. "all" leaves out the maps that can't explain it.
        restarts: of the inversion. The uncertainty is added where there are 2 or more.

    Raises:
        typer.BadParameter: the model has no map of that name.
    """
    offered = {entry.name: entry for entry in description.maps}
    other_class = target not in ("", description.bundle.classification.positive_class)
    kinds: list[MapKind | Unrecognised] = [MapKind.ORIGINAL]
    singled_out: list[MapKind | Unrecognised] = []
    if not methods:
        inverts = any(entry.kind is MapKind.NEGATIVE_REALIZATION for entry in offered.values())
        methods = [COUNTERPART] if inverts else [entry.name for entry in offered.values() if entry.is_default]
    for method in methods:
        name = method.lower().replace("-", "_")
        if name == COUNTERPART:
            kinds += [*COUNTERPART_MAPS, *([MapKind.UNCERTAINTY] if restarts > 1 else [])]
        elif name == ALL:
            fitting = [entry for entry in offered.values() if _fits(entry, other_class, restarts)]
            kinds += [entry.kind for entry in fitting]
            singled_out += [entry.kind for entry in fitting]
        elif name in offered:
            kinds.append(offered[name].kind)
            singled_out.append(offered[name].kind)
        else:
            names = ", ".join(name.replace("_", "-") for name in (COUNTERPART, ALL, *offered))
            raise typer.BadParameter(
                f"{description.model.name} {description.model.version} has no map {method!r}; there is: {names}",
                param_hint="--method",
            )
    return ChosenMaps(
        kinds=tuple(dict.fromkeys(kinds)),
        counterpart=MapKind.RECONSTRUCTION in kinds and MapKind.NEGATIVE_REALIZATION in kinds,
        singled_out=tuple(dict.fromkeys(singled_out)),
    )


def refuse_foreign_options(context: typer.Context, chosen: ChosenMaps, description: ModelDescription) -> None:
    """End the command where the caller gave an option that means nothing: it would be ignored in silence.

    Raises:
        typer.BadParameter: names the option.
    """
    maps = [entry for entry in description.maps if entry.kind in chosen.kinds]
    needs = {need for entry in maps for need in entry.needs}
    if _given(context, "trajectory"):
        needs.add(MapNeed.INVERSION)
    for option, need in OPTION_NEEDS.items():
        if _given(context, option) and need not in needs:
            _refuse(option, description, [entry for entry in description.maps if need in entry.needs])
    if _given(context, "target") and not any(entry.any_class for entry in maps):
        _refuse("target", description, [entry for entry in description.maps if entry.any_class])


def _fits(entry: MapDescription, other_class: bool, restarts: int) -> bool:
    return (entry.any_class or not other_class or entry.kind is MapKind.ORIGINAL) and (
        restarts > 1 or MapNeed.RESTARTS not in entry.needs
    )


def _given(context: typer.Context, option: str) -> bool:
    source = context.get_parameter_source(option)
    return source is not None and source.name == "COMMANDLINE"


def _refuse(option: str, description: ModelDescription, useful: Sequence[MapDescription]) -> None:
    names = ", ".join(entry.name.replace("_", "-") for entry in useful)
    raise typer.BadParameter(
        f"means nothing to the maps asked for; it is for: {names or 'no map of ' + description.model.name}",
        param_hint=f"--{option.replace('_', '-')}",
    )
