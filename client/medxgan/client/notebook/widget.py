"""An explanation to look at in a notebook: pictures to blink between, maps over them, the verdict in words."""

from base64 import b64encode
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path

import anywidget
import numpy as np
import traitlets
from PIL import Image

from medxgan.client.geometry import FloatArray
from medxgan.client.pictures.appearance import PICTURES, appearance, layer
from medxgan.client.pictures.files import drawable
from medxgan.client.pictures.panel import NOTE, score_caption, sheet_title, verdict_badge
from medxgan.client.results import Explanation, Score
from medxgan.client.vocabulary import MapKind

TITLES: Mapping[MapKind, str] = {
    MapKind.ORIGINAL: "Film",
    MapKind.RECONSTRUCTION: "Reconstruction",
    MapKind.NEGATIVE_REALIZATION: "Negative",
    MapKind.APPLIED_NEGATIVE: "Applied negative",
    MapKind.POSITIVE_REALIZATION: "Positive",
}
"""The pictures to choose from, in this order; the film is as the networks saw it."""

NO_MAP = "none"
"""The overlay that is none."""


class ExplanationWidget(anywidget.AnyWidget):
    """Shows an explanation; it holds pictures of it, not the explanation.

    Attributes:
        picture: the picture that is shown, a `MapKind`'s value: "original". Blinking goes to the film and back, and
            from the film to the negative.
        overlay: the map that lies over it, likewise; "none" for none.
        opacity: of that map, in [0, 1].
        blinking: whether it blinks.
    """

    _esm = Path(__file__).with_name("widget.js")

    pictures = traitlets.List(traitlets.Dict()).tag(sync=True)
    overlays = traitlets.List(traitlets.Dict()).tag(sync=True)
    words = traitlets.Dict().tag(sync=True)
    picture = traitlets.Unicode().tag(sync=True)
    overlay = traitlets.Unicode(NO_MAP).tag(sync=True)
    opacity = traitlets.Float(0.7, min=0.0, max=1.0).tag(sync=True)
    blinking = traitlets.Bool(False).tag(sync=True)

    def __init__(self, explanation: Explanation) -> None:
        pictures = _pictures(explanation)
        if not pictures:
            raise LookupError("an explanation without pictures: ask for the map 'original'")
        overlays = _overlays(explanation)
        super().__init__(
            pictures=pictures,
            overlays=overlays,
            words=_words(explanation),
            picture=pictures[0]["kind"],
            overlay=overlays[0]["kind"] if overlays else NO_MAP,
        )

    @traitlets.validate("picture", "overlay")
    def _known(self, proposal: traitlets.Bunch) -> str:
        name, kind = proposal["trait"].name, str(proposal["value"])
        offered = self.pictures if name == "picture" else [*self.overlays, {"kind": NO_MAP}]
        if all(kind != each["kind"] for each in offered):
            raise traitlets.TraitError(f"{name}: expected one of {', '.join(each['kind'] for each in offered)}")
        return kind


def _pictures(explanation: Explanation) -> list[dict[str, str]]:
    scores = explanation.scores
    captions: Mapping[MapKind, Score | None] = {
        MapKind.ORIGINAL: scores.original,
        MapKind.RECONSTRUCTION: scores.reconstruction,
        MapKind.NEGATIVE_REALIZATION: scores.negative_realization,
        MapKind.APPLIED_NEGATIVE: scores.applied_negative,
        MapKind.POSITIVE_REALIZATION: scores.positive_realization,
    }
    return [
        {
            "kind": kind.value,
            "title": title,
            "caption": score_caption(captions[kind]),
            "source": _png((np.clip(explanation[kind], -1.0, 1.0) + 1.0) / 2.0),
        }
        for kind, title in TITLES.items()
        if kind in explanation.maps
        and drawable(explanation.maps[kind])
        # Of a positive film it would be the reconstruction.
        and not (kind is MapKind.POSITIVE_REALIZATION and scores.original.positive)
    ]


def _overlays(explanation: Explanation) -> list[dict[str, str]]:
    return [
        {
            "kind": kind.value,
            "title": appearance(kind).name,
            "caption": appearance(kind).reading,
            "source": _png(layer(explanation, kind)),
        }
        for kind, entry in explanation.maps.items()
        if kind not in PICTURES and drawable(entry) and explanation[kind].ndim == 2
    ]


def _words(explanation: Explanation) -> dict[str, object]:
    verdict, badge = explanation.verdict, verdict_badge(explanation.verdict)
    return {
        "title": sheet_title(explanation.model, explanation.settings.target_class or "explanation"),
        "verdict": badge.text,
        "color": badge.color,
        "sentences": [
            f"An image counts as positive from {explanation.scores.decision_threshold:.2f}.",
            *(reason.sentence for reason in verdict.reasons),
        ],
        "note": NOTE,
    }


def _png(levels: FloatArray) -> str:
    """A picture [S, S], or [S, S, 4], in [0, 1] as the address of a PNG that holds it."""
    file = BytesIO()
    Image.fromarray(np.rint(levels * 255.0).astype(np.uint8)).save(file, "png")
    return f"data:image/png;base64,{b64encode(file.getvalue()).decode()}"
