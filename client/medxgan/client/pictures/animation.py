"""`trajectory.gif`: the patient from negative to positive and back, each picture with its score below."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from medxgan.client.results import TrajectoryFrame

SIDE = 320
"""Pixels that the picture is enlarged to, about: by a whole factor, so that every pixel stays a square."""
STRIP, MARGIN, TEXT, BAR = 64, 12, 18, 8
"""Pixels: height of the strip below the picture, its margin, its type, and the height of the bar in it."""
INK, QUIET, GROUND = 255, 110, 24
"""Grey levels of the strip."""

WAY_MS, END_MS = 1800, 900
"""Milliseconds from one end to the other, and at rest at each end."""


def write_animation(trajectory: tuple[TrajectoryFrame, ...], decision_threshold: float, path: Path) -> None:
    """Write a trajectory as a GIF that goes from negative to positive and back, for ever.

    Args:
        trajectory: two frames or more, from the negative realization to the positive one.
        decision_threshold: of the same explanation, drawn as a mark.
        path: the GIF file to write, in grey levels.
    """
    frames = [_frame(frame, decision_threshold) for frame in trajectory]
    between = max(20, WAY_MS // len(frames))
    there = [END_MS, *[between] * (len(frames) - 2), END_MS]
    first, *rest = [*frames, *frames[-2:0:-1]]
    first.save(path, save_all=True, append_images=rest, duration=[*there, *there[-2:0:-1]], loop=0)


def _frame(frame: TrajectoryFrame, decision_threshold: float) -> Image.Image:
    """The picture, enlarged, over a strip that states its score and draws it as a bar with a mark at the threshold."""
    levels = np.rint((np.clip(frame.array(), -1.0, 1.0) + 1.0) * 127.5).astype(np.uint8)
    factor = max(1, SIDE // len(levels))
    picture = Image.fromarray(levels.repeat(factor, axis=0).repeat(factor, axis=1))
    side = picture.width

    canvas = Image.new("L", (side, side + STRIP), GROUND)
    canvas.paste(picture)
    draw = ImageDraw.Draw(canvas)
    decision = "positive" if frame.score.positive else "negative"
    draw.text(
        (MARGIN, side + MARGIN), f"score {frame.score.probability:.2f}", fill=INK, font=ImageFont.load_default(TEXT)
    )
    draw.text((side - MARGIN, side + MARGIN), decision, fill=INK, font=ImageFont.load_default(TEXT), anchor="ra")

    top, length = side + STRIP - MARGIN - BAR, side - 2 * MARGIN
    draw.rectangle((MARGIN, top, MARGIN + length, top + BAR), fill=QUIET // 2)
    draw.rectangle((MARGIN, top, MARGIN + round(frame.score.probability * length), top + BAR), fill=INK)
    mark = MARGIN + round(decision_threshold * length)
    draw.line((mark, top - 3, mark, top + BAR + 3), fill=QUIET, width=2)
    return canvas
