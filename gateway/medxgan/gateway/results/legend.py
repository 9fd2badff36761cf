"""What is burnt into a picture: colour bar, verdict, score, model, and that it is for research only.

It lies on a band at the upper or lower edge, where there is less of the map. The band dims what it covers and does not
hide it. It is drawn in square pixels and then fitted to the film's, so that type is not stretched on a screen.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from medxgan.client import Explanation, Score, VerdictStatus
from medxgan.gateway.results.overlay import ColourPicture, FloatArray, coloured

INK, QUIET = (238, 238, 238), (176, 176, 176)
VERDICT_COLORS = {VerdictStatus.RELIABLE: (96, 214, 122), VerdictStatus.NOT_RELIABLE: (255, 160, 60)}
"""Of the verdicts that judge the explanation; the others are as quiet as the rest."""

_FONT = Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")
"""Has the letters of more languages than Pillow's own."""

DIMMED = 0.3
"""What is left of the film's brightness below the band."""
SIDE_PER_TYPE, SMALLEST_TYPE = 66, 8
"""Type is so many times smaller than the shorter side, and goes down to so many pixels where the width asks for it."""
BAR_SHADE = 96.0
"""Grey level that the colours of the bar are drawn over."""


@dataclass(frozen=True)
class Block:
    """Lines of type that stand together, the first bright.

    Attributes:
        lines: from the upper one down.
        color: of the upper line.
        bar: the largest magnitude of a colour bar that takes the place of the upper line; None for none.
    """

    lines: tuple[str, ...]
    color: tuple[int, int, int] = INK
    bar: float | None = None


@dataclass(frozen=True)
class Legend:
    """A legend, laid out for a film.

    Attributes:
        top: first row that its band covers.
        bottom: the row after the last.
        ink: [bottom - top, columns, 3] levels of what is drawn, weighted with `coverage`.
        coverage: [bottom - top, columns, 1] in [0, 1]: how much of a pixel is drawn on.
    """

    top: int
    bottom: int
    ink: FloatArray
    coverage: FloatArray

    def burn_into(self, picture: ColourPicture) -> None:
        """Draw the legend into a picture [rows, columns, 3] uint8 of the film's size."""
        band = picture[self.top : self.bottom].astype(np.float32) * np.float32(DIMMED)
        drawn = band * (1 - self.coverage) + self.ink
        picture[self.top : self.bottom] = np.rint(drawn).clip(0, 255).astype(np.uint8)


def bar_block(magnitude: float) -> Block:
    """The colours of a difference, which end at `magnitude`."""
    return Block(("", "blue: taken away    red: added by pathology"), bar=magnitude)


def verdict_block(explanation: Explanation) -> Block:
    """The verdict, and the score of the film."""
    verdict = explanation.verdict.status
    color = VERDICT_COLORS.get(verdict, INK) if isinstance(verdict, VerdictStatus) else INK
    words = verdict.value.replace("_", " ").upper()
    return Block((f"Explanation: {words}", f"film: {score_text(explanation, explanation.scores.original)}"), color)


def score_text(explanation: Explanation, score: Score) -> str:
    """A score, the class that it is of, and the decision."""
    decision = "positive" if score.positive else "negative"
    return f"{explanation.settings.target_class} {score.probability:.2f} ({decision})"


def model_block(explanation: Explanation) -> Block:
    """That it is for research only, and which model it is from."""
    model = explanation.model
    return Block(("RESEARCH USE ONLY", f"{model.name} {model.version}, bundle {model.bundle_sha256[:12]}"))


def laid_out(blocks: Sequence[Block], shape: tuple[int, int], aspect: float, strength: FloatArray) -> Legend:
    """Lay a legend out.

    Args:
        blocks: from left to right.
        shape: rows and columns of the film.
        aspect: height of a pixel of the film over its width.
        strength: [rows, columns] of the map: the band is put at the edge where there is less of it.
    """
    rows, columns = shape
    width, height = columns, max(1, round(rows * aspect))
    # Where a row of the film is taller than a column is wide, type needs as many rows all the same.
    smallest = round(SMALLEST_TYPE * max(1.0, aspect))
    canvas = _draw(*_fitted(blocks, width, max(smallest, round(min(width, height) / SIDE_PER_TYPE)), smallest), width)
    thickness = min(rows, max(1, round(canvas.height / aspect)))
    layer = np.asarray(canvas.resize((columns, thickness), Image.Resampling.LANCZOS), np.float32)
    weight = np.abs(strength)
    at_top = weight[:thickness].sum() < weight[rows - thickness :].sum()
    top = 0 if at_top else rows - thickness
    # Pillow has drawn on black without cover, so that the ink is weighted with its cover already.
    return Legend(top, top + thickness, layer[..., :3], layer[..., 3:] / np.float32(255))


def _fitted(blocks: Sequence[Block], width: int, size: int, smallest: int) -> tuple[list[list[Block]], int]:
    """Blocks in rows, and the size of type: smaller than `size` where that brings them into one row.

    Where nothing does, only their upper lines are left, in as many rows as it takes: a small picture is not to vanish
    below its legend.
    """
    for smaller in range(size, smallest - 1, -1):
        if _extent(blocks, smaller) <= width:
            return [list(blocks)], smaller
    rows: list[list[Block]] = []
    for block in (replace(block, lines=block.lines[:1]) for block in blocks):
        if not rows or _extent([*rows[-1], block], smallest) > width:
            rows.append([])
        rows[-1].append(block)
    return rows, smallest


def _extent(blocks: Sequence[Block], size: int) -> int:
    """What a row of blocks takes, with its margins and the least gaps."""
    margin, gap = round(size * 0.8), round(size * 2.2)
    return sum(_width(block, size) for block in blocks) + gap * (len(blocks) - 1) + 2 * margin


def _draw(rows: Sequence[Sequence[Block]], size: int, width: int) -> Image.Image:
    """The band in square pixels, transparent where there is no ink."""
    margin, line = round(size * 0.8), round(size * 1.35)
    height = len(rows[0][0].lines) * line
    canvas = Image.new("RGBA", (width, len(rows) * (height + margin) + margin), (0, 0, 0, 0))
    for row, blocks in enumerate(rows):
        taken = [_width(block, size) for block in blocks]
        step = max(0, width - 2 * margin - sum(taken)) / max(1, len(blocks) - 1)
        left = float(margin)
        for block, extent in zip(blocks, taken, strict=True):
            _draw_block(canvas, block, (round(left), margin + row * (height + margin)), extent, size)
            left += extent + step
    return canvas


def _width(block: Block, size: int) -> int:
    font = ImageFont.truetype(_FONT, size)
    return round(max(*map(font.getlength, block.lines), 11 * size if block.bar is not None else 0))


def _draw_block(canvas: Image.Image, block: Block, at: tuple[int, int], width: int, size: int) -> None:
    font, line, draw = ImageFont.truetype(_FONT, size), round(size * 1.35), ImageDraw.Draw(canvas)
    left, top = at
    if block.bar is None:
        draw.text((left, top), block.lines[0], fill=block.color, font=font)
    else:
        low, high = f"\N{MINUS SIGN}{block.bar:.2g}", f"+{block.bar:.2g}"
        begin = left + round(font.getlength(low) + size * 0.4)
        end = left + width - round(font.getlength(high) + size * 0.4)
        strength = np.linspace(-1, 1, end - begin, dtype=np.float32)[np.newaxis].repeat(round(size * 0.8), axis=0)
        colors = coloured(np.full_like(strength, BAR_SHADE), strength)
        canvas.paste(Image.fromarray(colors), (begin, top + round(size * 0.25)))
        draw.text((left, top), low, fill=INK, font=font)
        draw.text((left + width, top), high, fill=INK, font=font, anchor="ra")
    for number, text in enumerate(block.lines[1:], start=1):
        draw.text((left, top + number * line), text, fill=QUIET, font=font)
