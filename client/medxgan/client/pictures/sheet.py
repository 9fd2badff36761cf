"""A sheet: rows of captioned pictures under a heading, 2000 pixels wide, as PNG.

It is laid out in inches from the top edge, so that type and margins keep their size whatever the pictures are.
"""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, Literal, Self

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

from medxgan.client.geometry import FloatArray

WIDTH = 10.0
DOTS_PER_INCH = 200
MARGIN = 0.3
GUTTER = 0.16

TITLE, BODY, SMALL = 12.0, 8.5, 7.0
LINE_HEIGHT = 1.45 / 72
"""Inches for a line of type, per point of its size."""
TITLE_CHARACTERS, BODY_CHARACTERS, FOOTER_CHARACTERS = 84, 150, 165

INK, QUIET, RULE = "#1b1f24", "#57606a", "#d0d7de"


def largest_magnitude(values: FloatArray) -> float:
    """The largest magnitude in `values`, or 1 where all are zero: half the width of a scale that shows them all."""
    return float(np.abs(values).max()) or 1.0


@dataclass(frozen=True)
class Picture:
    """One picture of a sheet.

    Attributes:
        pixels: [S, S], or [S, S, 3] in [0, 1] for colour.
        name: what it is.
        caption: what to know about it, one short line.
        colors: matplotlib's name of a colour map; without meaning for a colour picture.
        low: the level that gets the first colour.
        high: the level that gets the last colour.
        bar: what the levels are, for a colour bar below the picture; empty for no bar.
    """

    pixels: FloatArray
    name: str
    caption: str
    colors: str = "gray"
    low: float = -1.0
    high: float = 1.0
    bar: str = ""

    @classmethod
    def signed(cls, values: FloatArray, name: str, caption: str, bar: str, *, least: float = 0.0) -> Self:
        """A map [S, S] with values on both sides of zero: red above, blue below.

        Its scale ends at its largest magnitude, but not below `least`: what is next to nothing is drawn pale.
        """
        magnitude = max(least, largest_magnitude(values))
        return cls(values, name, caption, colors="RdBu_r", low=-magnitude, high=magnitude, bar=bar)

    @classmethod
    def unsigned(cls, values: FloatArray, name: str, caption: str, bar: str, *, least: float = 0.0) -> Self:
        """A map [S, S] without negative values, from dark at zero to bright at its largest; `least` as for `signed`."""
        magnitude = max(least, largest_magnitude(values))
        return cls(values, name, caption, colors="inferno", low=0.0, high=magnitude, bar=bar)


@dataclass(frozen=True)
class Badge:
    """A few words on a coloured ground, at the right of the heading."""

    text: str
    color: str


@dataclass(frozen=True)
class Sheet:
    """What stands on a sheet: heading, pictures from left to right, and two foot notes.

    Attributes:
        columns: pictures in a row, >= 1.
    """

    title: str
    badge: Badge | None
    sentences: Sequence[str]
    pictures: Sequence[Picture]
    columns: int
    note: str
    small_print: str

    def write(self, file: Path | BinaryIO) -> None:
        """Draw the sheet and save it as PNG, to a path or into an open file."""
        self.figure().savefig(file, format="png")

    def figure(self) -> Figure:
        """Draw the sheet."""
        title = textwrap.wrap(self.title, TITLE_CHARACTERS)
        sentences = [line for sentence in self.sentences for line in textwrap.wrap(sentence, BODY_CHARACTERS)]
        side = (WIDTH - 2 * MARGIN - GUTTER * (self.columns - 1)) / self.columns
        rows = [self.pictures[first : first + self.columns] for first in range(0, len(self.pictures), self.columns)]

        prose = MARGIN + _height(title, TITLE) + 0.04
        captions = prose + _height(sentences, BODY) + 0.2
        caption_height = 2 * BODY * LINE_HEIGHT + 0.06
        heights = [caption_height + side + (0.52 if any(picture.bar for picture in row) else 0.2) for row in rows]
        tops = [captions + sum(heights[:row]) for row in range(len(rows))]
        footer = captions + sum(heights)
        # Beside the note where there is room for both, else below it.
        below = SMALL * LINE_HEIGHT if len(self.note) + len(self.small_print) > FOOTER_CHARACTERS else 0.0
        page = _Page(footer + 0.12 + SMALL * LINE_HEIGHT + below + 0.16)

        for row, line in enumerate(title):
            page.write(MARGIN, MARGIN + row * TITLE * LINE_HEIGHT, line, TITLE, weight="bold")
        for row, line in enumerate(sentences):
            page.write(MARGIN, prose + row * BODY * LINE_HEIGHT, line, BODY, color=QUIET)
        if self.badge is not None:
            page.badge(self.badge)
        for top, pictures in zip(tops, rows, strict=True):
            for column, picture in enumerate(pictures):
                left = MARGIN + column * (side + GUTTER)
                page.write(left, top, picture.name, BODY + 0.5, weight="bold")
                page.write(left, top + BODY * LINE_HEIGHT, picture.caption, BODY, color=QUIET)
                page.picture(left, top + caption_height, side, picture)
        page.rule(footer)
        page.write(MARGIN, footer + 0.12, self.note, SMALL, weight="bold")
        page.write(WIDTH - MARGIN, footer + 0.12 + below, self.small_print, SMALL, color=QUIET, align="right")
        return page.figure


class _SheetFigure(Figure):
    """A figure that a notebook shows, with or without pyplot's integration."""

    def _repr_png_(self) -> bytes:
        picture = BytesIO()
        self.savefig(picture, format="png")
        return picture.getvalue()


class _Page:
    """A figure addressed in inches from its top left corner."""

    def __init__(self, height: float) -> None:
        # A Figure of its own draws with Agg and needs neither a display nor pyplot's global state.
        self.figure = _SheetFigure(figsize=(WIDTH, height), dpi=DOTS_PER_INCH, facecolor="white")
        self.height = height

    def write(
        self,
        x: float,
        y: float,
        text: str,
        size: float,
        *,
        color: str = INK,
        weight: Literal["normal", "bold"] = "normal",
        align: Literal["left", "right"] = "left",
    ) -> Text:
        return self.figure.text(
            x / WIDTH,
            # On the baseline: aligned by their tops, "Original" and "Reconstruction" would stand at two heights.
            1 - (y + size / 72) / self.height,
            text,
            fontsize=size,
            color=color,
            fontweight=weight,
            horizontalalignment=align,
            verticalalignment="baseline",
            parse_math=False,
        )

    def badge(self, badge: Badge) -> None:
        text = self.write(
            WIDTH - MARGIN - 0.08, MARGIN + 0.02, badge.text, BODY, color="white", weight="bold", align="right"
        )
        text.set_bbox({"boxstyle": "round,pad=0.45,rounding_size=0.35", "facecolor": badge.color, "edgecolor": "none"})

    def picture(self, left: float, top: float, side: float, picture: Picture) -> None:
        axes = self._axes(left, top, side, side)
        # Nearest: what the networks saw and made, not what interpolation would make of it.
        image = axes.imshow(
            picture.pixels, cmap=picture.colors, vmin=picture.low, vmax=picture.high, interpolation="nearest"
        )
        axes.set_axis_off()
        if picture.bar:
            scale = self._axes(left, top + side + 0.09, side, 0.07)
            bar = self.figure.colorbar(image, cax=scale, orientation="horizontal")
            bar.set_ticks([picture.low, (picture.low + picture.high) / 2, picture.high])
            bar.set_ticklabels(
                [f"{picture.low:.2g}".replace("-", "\N{MINUS SIGN}"), picture.bar, f"{picture.high:+.2g}"]
            )
            bar.outline.set_visible(False)
            scale.tick_params(length=0, pad=3, labelsize=SMALL, labelcolor=QUIET)
            # Inside the picture's width, so that labels of neighbours never meet.
            first, _, last = scale.get_xticklabels()
            first.set_horizontalalignment("left")
            last.set_horizontalalignment("right")

    def rule(self, y: float) -> None:
        axes = self._axes(MARGIN, y, WIDTH - 2 * MARGIN, 0.005)
        axes.set_facecolor(RULE)
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)

    def _axes(self, left: float, top: float, width: float, height: float) -> Axes:
        bottom = self.height - top - height
        return self.figure.add_axes((left / WIDTH, bottom / self.height, width / WIDTH, height / self.height))


def _height(lines: Sequence[str], size: float) -> float:
    return len(lines) * size * LINE_HEIGHT
