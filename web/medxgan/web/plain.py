"""Results as JSON: what the browser is told of an explanation, a model and a film."""

from typing import Any

from google.protobuf.json_format import MessageToDict

from medxgan.client.pictures.appearance import PICTURES, appearance
from medxgan.client.pictures.report import plain
from medxgan.client.results import Explanation, ModelDescription, Progress
from medxgan.client.vocabulary import MapKind, Unrecognised
from medxgan.web.dicom_results import obstacle
from medxgan.web.sessions import HeldExplanation, HeldFilm

BUNDLE_FIELDS = ("image", "classification", "inversion", "reliability", "metrics", "provenance", "familiarity")
"""What a reader may want to know of a bundle; the rest is about its files."""
RIGHTS = ("limitations", "license", "attribution", "data")


def film(held: HeldFilm) -> dict[str, Any]:
    """A film: what the browser needs to draw its levels, and the ids of its explanations."""
    shown = held.film
    rows, columns = shown.levels.shape
    return {
        "id": held.id,
        "rows": rows,
        "columns": columns,
        "bits": 8 * shown.levels.itemsize,
        "inverted": shown.inverted,
        "low": shown.low,
        "high": shown.high,
        "slope": shown.slope,
        "intercept": shown.intercept,
        "unit": shown.unit,
        "orientation": shown.orientation,
        "aspect": shown.aspect,
        "frame": shown.frame,
        "frames": shown.frames,
        "model": held.model,
        "makes_dicom": not obstacle(held),
        "explanations": list(held.explanations),
    }


def explanation(held: HeldExplanation) -> dict[str, Any]:
    """An explanation but its pixels, with what is to be known to draw each map."""
    grey = None if held.grey is None else {"slope": held.grey.slope, "offset": held.grey.offset}
    return {"id": held.id, "positive_class": held.positive_class, "grey": grey, **answer(held.explanation)}


def progress(event: Progress) -> dict[str, Any]:
    """How far an inversion is."""
    return plain(event)


def answer(result: Explanation) -> dict[str, Any]:
    """An answer but its pixels."""
    told = plain(result)
    told["maps"] = [{**told["maps"][kind], **_shape_and_drawing(kind, result)} for kind in result.maps]
    for frame in told["trajectory"]:
        frame.pop("values", None)
    return told


def _shape_and_drawing(kind: MapKind | Unrecognised, result: Explanation) -> dict[str, Any]:
    values = result.maps[kind].values
    return {"shape": [] if values is None else list(values.shape), **drawing(kind)}


def drawing(kind: MapKind | Unrecognised) -> dict[str, Any]:
    """How a map is called and drawn."""
    if kind in PICTURES:
        title = kind.value.replace("_", " ")
        return {"picture": True, "signed": True, "title": title, "unit": "", "reading": "", "least": 0.0}
    shown = appearance(kind)
    return {
        "picture": False,
        "signed": shown.signed,
        "title": shown.name,
        "unit": shown.unit,
        "reading": shown.reading,
        "least": shown.least,
    }


def model(description: ModelDescription) -> dict[str, Any]:
    """A model: what it is for, what is known of it, its maps and settings."""
    whole = MessageToDict(description.bundle, preserving_proto_field_name=True)
    bundle = {name: whole[name] for name in BUNDLE_FIELDS if name in whole}
    provenance = whole.get("provenance", {})
    bundle["provenance"] = {name: provenance[name] for name in RIGHTS if name in provenance}
    return {
        "model": plain(description.model),
        "bundle": bundle,
        "execution": plain(description.execution),
        "maps": [{**plain(entry), "kind": entry.kind.value} for entry in description.maps],
        "default_settings": plain(description.default_settings),
        "limits": plain(description.server.limits),
    }
