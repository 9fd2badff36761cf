// Where things lie: on the film as it is stored, on the film turned upright, on a map, on the screen.
// A pixel in row r and column c covers [r, r + 1) x [c, c + 1), as the contract's Geometry has it.

const EXIF = ["", "as_stored", "mirrored_left_right", "turned_180", "mirrored_top_bottom", "transposed", "turned_90",
  "transversed", "turned_270"];

/** A turn: rows and columns are exchanged first, then either is reversed. */
export function turnOf(orientation) {
  const number = typeof orientation === "number" ? orientation : EXIF.indexOf(orientation);
  if (number < 1) return null;
  return {
    transposed: number >= 5,
    rowsReversed: [3, 4, 7, 8].includes(number),
    columnsReversed: [2, 3, 6, 7].includes(number),
  };
}

/** The size of a film turned upright. */
export function uprightSize(rows, columns, turn) {
  return turn.transposed ? { rows: columns, columns: rows } : { rows, columns };
}

/** From a place on the upright film to the film as it is stored. */
export function toStored(row, column, size, turn) {
  const r = turn.rowsReversed ? size.rows - row : row;
  const c = turn.columnsReversed ? size.columns - column : column;
  return turn.transposed ? [c, r] : [r, c];
}

/** From a place on the upright film to row and column on a map of that shape; outside of [0, h] x [0, w]: not covered. */
export function toMap(row, column, box, shape) {
  return [
    ((row - box.top) * shape[0]) / (box.bottom - box.top),
    ((column - box.left) * shape[1]) / (box.right - box.left),
  ];
}

/** The value of a map [h, w] at a place on it: bilinear between centres, as it is drawn; null outside. */
export function valueAt(values, shape, row, column, smooth = true) {
  const [height, width] = shape;
  if (row < 0 || column < 0 || row > height || column > width) return null;
  const clamp = (value, most) => Math.min(Math.max(value, 0), most);
  if (!smooth) {
    return values[clamp(Math.floor(row), height - 1) * width + clamp(Math.floor(column), width - 1)];
  }
  const y = clamp(row - 0.5, height - 1);
  const x = clamp(column - 0.5, width - 1);
  const [top, left] = [Math.floor(y), Math.floor(x)];
  const [bottom, right] = [Math.min(top + 1, height - 1), Math.min(left + 1, width - 1)];
  const [fy, fx] = [y - top, x - left];
  const at = (r, c) => values[r * width + c];
  return (at(top, left) * (1 - fx) + at(top, right) * fx) * (1 - fy)
    + (at(bottom, left) * (1 - fx) + at(bottom, right) * fx) * fy;
}
