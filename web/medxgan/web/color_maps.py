"""Writes `static/color_maps.js` from matplotlib's colour maps: `python -m medxgan.web.color_maps`.

Those for maps with values on both sides of zero are diverging, the others rise in lightness; all of them are told apart
by readers who see fewer colours (Moreland 2009, Nunez et al. 2018, Crameri 2018).
"""

from pathlib import Path

import matplotlib
import numpy as np

SIGNED = ("coolwarm", "berlin", "vanimo")
UNSIGNED = ("inferno", "viridis", "cividis")
FILE = Path(__file__).parent / "static" / "color_maps.js"
LEVELS = 256


def script() -> str:
    """The module: for each map 256 colours, as hexadecimal of red, green and blue."""
    lines = [
        "// Written by `python -m medxgan.web.color_maps` from matplotlib's colour maps; a test compares.",
        f"export const SIGNED = {list(SIGNED)};".replace("'", '"'),
        f"export const UNSIGNED = {list(UNSIGNED)};".replace("'", '"'),
        "const HEXADECIMAL = {",
    ]
    for name in (*SIGNED, *UNSIGNED):
        colors = matplotlib.colormaps[name](np.linspace(0, 1, LEVELS))[:, :3]
        digits = np.rint(colors * 255).astype(np.uint8).tobytes().hex()
        rows = [f'    "{digits[start : start + 96]}"' for start in range(0, len(digits), 96)]
        lines += [f"  {name}:", " +\n".join(rows) + ","]
    lines += [
        "};",
        "",
        "/** 256 colours of a map: red, green, blue, 0 to 255 each. */",
        "export function colors(name) {",
        "  return Uint8Array.from(HEXADECIMAL[name].match(/../g), (pair) => parseInt(pair, 16));",
        "}",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    FILE.write_text(script(), encoding="utf-8")
