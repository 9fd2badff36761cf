"""What is burnt into a picture: colour bar, verdict, score, model, and that it is for research only.

It lies on a band at the upper or lower edge, where there is less of the map. The band dims what it covers and does not
hide it. It is drawn in square pixels and then fitted to the film's, so that type is not stretched on a screen.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from medxgan.client import Explanation, VerdictStatus
from medxgan.gateway.results.overlay import ColourPicture, FloatArray, coloured

INK, QUIET = (238, 238, 238), (176, 176, 176)
VERDICT_COLORS = {VerdictStatus.RELIABLE: (96, 214, 122), VerdictStatus.NOT_RELIABLE: (255, 160, 60)}
"""Of the verdicts that judge the explanation; the others are as quiet as the rest."""

_FONT = Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")
"""Has the letters of more languages than Pillow's own."""

DIMMED = 0.3
"""What is left of the film's brightness below the band."""
LARGEST_TYPE, SMALLEST_TYPE = 66, 7
"""Pixels: the height of type is a sixtieth of the shorter side, and goes down where the width asks for it."""
BAR_SHADE = 96.0
"""Grey level that the colours of the bar are drawn over."""


@dataclass(frozen=True)
class Block:
    """Two lines of type that stand together, the first bright.

    Attributes:
        lines: upper and lower line.
        color: of the upper line.
        bar: the largest magnitude of a colour bar that takes the place of the upper line; None for none.
    """

    lines: tuple[str, str]
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


def explanation_blocks(explanation: Explanation, magnitude: float) -> list[Block]:
    """What the difference over the film is signed with."""
    verdict, score = explanation.verdict.status, explanation.scores.original
    model, target = explanation.model, explanation.settings.target_class
    name = verdict.value.replace("_", " ").upper()
    color = VERDICT_COLORS.get(verdict, INK) if isinstance(verdict, VerdictStatus) else INK
    decision = "positive" if score.positive else "negative"
    return [
        Block(("", "blue: taken away    red: added by pathology"), bar=magnitude),
        Block((f"Explanation: {name}", f"{target} {score.probability:.2f} ({decision})"), color=color),
        Block(("RESEARCH USE ONLY", f"{model.name} {model.version}, bundle {model.bundle_sha256[:12]}")),
    ]


def laid_out(blocks: Sequence[Block], shape: tuple[int, int], aspect: float, strength: FloatArray) -> Legend:
    """Lay a legend out.

    Args:
        blocks: from left to right, in as many rows as it takes.
        shape: rows and columns of the film.
        aspect: height of a pixel of the film over its width.
        strength: [rows, columns] of the map: the band is put at the edge where there is less of it.
    """
    rows, columns = shape
    width, height = columns, max(1, round(rows * aspect))
    size = max(SMALLEST_TYPE, round(min(width, height) / LARGEST_TYPE))
    canvas = _draw(blocks, width, size)
    thickness = min(rows, max(1, round(canvas.height / aspect)))
    layer = np.asarray(canvas.resize((columns, thickness), Image.Resampling.LANCZOS), np.float32)
    weight = np.abs(strength)
    at_top = weight[:thickness].sum() < weight[rows - thickness :].sum()
    top = 0 if at_top else rows - thickness
    # Pillow has drawn on black without cover, so that the ink is weighted with its cover already.
    return Legend(top, top + thickness, layer[..., :3], layer[..., 3:] / np.float32(255))


def _draw(blocks: Sequence[Block], width: int, size: int) -> Image.Image:
    """The band in square pixels, transparent where there is no ink."""
    font = ImageFont.truetype(_FONT, size)
    margin, gap, line = round(size * 0.8), round(size * 2.2), round(size * 1.35)
    widths = [_width(block, font, size) for block in blocks]
    rows: list[list[int]] = [[]]
    for index in range(len(blocks)):
        taken = sum(widths[i] + gap for i in rows[-1]) + widths[index] + 2 * margin
        if rows[-1] and taken > width:
            rows.append([])
        rows[-1].append(index)
    canvas = Image.new("RGBA", (width, len(rows) * (2 * line + margin) + margin), (0, 0, 0, 0))
    draw = ImageDraw.Draw(canvas)
    for row, members in enumerate(rows):
        top = margin + row * (2 * line + margin)
        spare = max(0, width - 2 * margin - sum(widths[i] for i in members))
        step = spare / max(1, len(members) - 1) if len(members) > 1 else 0
        left = float(margin)
        for index in members:
            _draw_block(canvas, draw, blocks[index], (round(left), top), widths[index], size)
            left += widths[index] + step
    return canvas


def _width(block: Block, font: ImageFont.FreeTypeFont, size: int) -> int:
    lengths = [font.getlength(text) for text in block.lines]
    return round(max(*lengths, 16 * size if block.bar is not None else 0))


def _draw_block(
    canvas: Image.Image, draw: ImageDraw.ImageDraw, block: Block, at: tuple[int, int], width: int, size: int
) -> None:
    font, line = ImageFont.truetype(_FONT, size), round(size * 1.35)
    left, top = at
    if block.bar is None:
        draw.text((left, top), block.lines[0], fill=block.color, font=font)
    else:
        low, high = f"\N{MINUS SIGN}{block.bar:.2g}", f"+{block.bar:.2g}"
        begin, end = (
            left + round(font.getlength(low) + size * 0.4),
            left + width - round(font.getlength(high) + size * 0.4),
        )
        strength = np.linspace(-1, 1, end - begin, dtype=np.float32)[np.newaxis].repeat(round(size * 0.8), axis=0)
        colors = coloured(np.full_like(strength, BAR_SHADE), strength)
        canvas.paste(Image.fromarray(colors), (begin, top + round(size * 0.25)))
        draw.text((left, top), low, fill=INK, font=font)
        draw.text((left + width, top), high, fill=INK, font=font, anchor="ra")
    draw.text((left, top + line), block.lines[1], fill=QUIET, font=font)
