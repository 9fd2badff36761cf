"""Explanations made by hand, whose maps lie where the tests put them."""

from dataclasses import replace

import numpy as np
from PIL import Image

from medxgan.client import (
    Explanation,
    Geometry,
    Map,
    MapKind,
    Orientation,
    PixelSpacing,
    Score,
    Settings,
    VerdictStatus,
)
from medxgan.client.geometry import Box
from medxgan.client.results import (
    Execution,
    Interval,
    InversionOutcome,
    InversionSettings,
    ModelIdentity,
    Scores,
    Timing,
    TrajectoryFrame,
    Verdict,
    VerdictReason,
)

SIDE = 64
"""Of x and its maps."""

TRANSPOSITIONS = {
    Orientation.MIRRORED_LEFT_RIGHT: Image.Transpose.FLIP_LEFT_RIGHT,
    Orientation.TURNED_180: Image.Transpose.ROTATE_180,
    Orientation.MIRRORED_TOP_BOTTOM: Image.Transpose.FLIP_TOP_BOTTOM,
    Orientation.TRANSPOSED: Image.Transpose.TRANSPOSE,
    Orientation.TURNED_90: Image.Transpose.ROTATE_270,
    Orientation.TRANSVERSED: Image.Transpose.TRANSVERSE,
    Orientation.TURNED_270: Image.Transpose.ROTATE_90,
}
"""What Pillow calls the turns that make a stored picture stand upright."""

SPACING = PixelSpacing(0.2, 0.2)
RELIABLE = Verdict(VerdictStatus.RELIABLE, ())


def to_map(pattern: np.ndarray, orientation: Orientation, box: Box) -> np.ndarray:
    """What x's pixels [SIDE, SIDE] are of a pattern on a film, by Pillow: turned, cut out or padded, reduced."""
    picture = Image.fromarray(pattern.astype(np.float32))
    if orientation in TRANSPOSITIONS:
        picture = picture.transpose(TRANSPOSITIONS[orientation])
    padding = 200
    padded = Image.fromarray(np.pad(np.asarray(picture), padding))
    edges = tuple(edge + padding for edge in (box.left, box.top, box.right, box.bottom))
    return np.asarray(padded.resize((SIDE, SIDE), Image.Resampling.BOX, box=edges))


def make_explanation(
    shape: tuple[int, int],
    difference: np.ndarray,
    *,
    original: np.ndarray | None = None,
    box: Box | None = None,
    orientation: Orientation = Orientation.AS_STORED,
    spacing: PixelSpacing | None = SPACING,
    aspect: float = 1.0,
    verdict: Verdict = RELIABLE,
    trajectory: int = 0,
    evidence: np.ndarray | None = None,
    target: str = "lung opacity",
) -> Explanation:
    """An explanation of a film of that shape whose difference is given."""
    if original is None:
        original = np.zeros_like(difference)
    maps = {
        MapKind.ORIGINAL: original,
        MapKind.RECONSTRUCTION: original,
        MapKind.DIFFERENCE: difference,
        MapKind.EVIDENCE: np.abs(difference) if evidence is None else evidence,
    }
    score, negative = Score(0.93, True), Score(0.11, False)
    return Explanation(
        model=ModelIdentity("chest", "5", "ab" * 32),
        execution=Execution("onnxruntime", "CPUExecutionProvider", "cpu", False, ""),
        settings=Settings(target_class=target, seed=0, inversion=InversionSettings(steps=10, restarts=1)),
        scores=Scores(score, score, negative, negative, None, 0.5),
        verdict=verdict,
        image_checks=(),
        outcome=InversionOutcome(10, True, 0.01, 0.1, 0, None),
        positive_outcome=None,
        target=None,
        maps={
            kind: Map(kind, values.astype(np.float32), None, Interval(-2, 2), None, 1) for kind, values in maps.items()
        },
        trajectory=tuple(
            TrajectoryFrame(a, Score(a, a > 0.5), (original - (1 - a) * difference).astype(np.float32), None)
            for a in np.linspace(0, 1, trajectory)
        ),
        geometry=Geometry(*shape, orientation, box or Box(0, 0, *shape), spacing, aspect, 0),
        timing=Timing(0, 0, 0, 0, 0, 0),
        notes=(),
    )


def with_verdict(explanation: Explanation, status: VerdictStatus, *reasons: VerdictReason) -> Explanation:
    return replace(explanation, verdict=Verdict(status, reasons))
