// Arrays on the graphics card. A film keeps its 16 bits; its pyramid is made of means, so that a small view does not flicker.

/** Half the size of a picture: each pixel the mean of four. */
function halved(levels, rows, columns) {
  const [r, c] = [Math.max(1, rows >> 1), Math.max(1, columns >> 1)];
  const half = new Uint16Array(r * c);
  const [right, below] = [columns > 1 ? 1 : 0, rows > 1 ? columns : 0];
  for (let row = 0, to = 0; row < r; row += 1) {
    let from = row * 2 * columns;
    for (let column = 0; column < c; column += 1, to += 1, from += 2) {
      half[to] = (levels[from] + levels[from + right] + levels[from + below] + levels[from + below + right] + 2) >> 2;
    }
  }
  return { levels: half, rows: r, columns: c };
}

function nearest(gl) {
  for (const side of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) gl.texParameteri(gl.TEXTURE_2D, side, gl.NEAREST);
  for (const axis of [gl.TEXTURE_WRAP_S, gl.TEXTURE_WRAP_T]) gl.texParameteri(gl.TEXTURE_2D, axis, gl.CLAMP_TO_EDGE);
}

/** A film's levels [rows, columns], Uint16Array; gives the texture and how many levels its pyramid has. */
export function filmTexture(gl, levels, rows, columns) {
  const texture = gl.createTexture();
  gl.bindTexture(gl.TEXTURE_2D, texture);
  gl.pixelStorei(gl.UNPACK_ALIGNMENT, 1);
  const count = 1 + Math.floor(Math.log2(Math.max(rows, columns)));
  gl.texStorage2D(gl.TEXTURE_2D, count, gl.R16UI, columns, rows);
  let picture = { levels, rows, columns };
  for (let level = 0; level < count; level += 1) {
    gl.texSubImage2D(gl.TEXTURE_2D, level, 0, 0, picture.columns, picture.rows, gl.RED_INTEGER, gl.UNSIGNED_SHORT,
      picture.levels);
    if (level + 1 < count) picture = halved(picture.levels, picture.rows, picture.columns);
  }
  nearest(gl);
  gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.NEAREST_MIPMAP_NEAREST);
  return { texture, count };
}

/** A map [h, w], Float32Array. */
export function mapTexture(gl, values, shape) {
  const texture = gl.createTexture();
  gl.bindTexture(gl.TEXTURE_2D, texture);
  gl.pixelStorei(gl.UNPACK_ALIGNMENT, 4);
  gl.texImage2D(gl.TEXTURE_2D, 0, gl.R32F, shape[1], shape[0], 0, gl.RED, gl.FLOAT, values);
  nearest(gl);
  return texture;
}

/** 256 colours, Uint8Array. */
export function colorTexture(gl, colors) {
  const texture = gl.createTexture();
  gl.bindTexture(gl.TEXTURE_2D, texture);
  gl.pixelStorei(gl.UNPACK_ALIGNMENT, 1);
  gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGB8, colors.length / 3, 1, 0, gl.RGB, gl.UNSIGNED_BYTE, colors);
  nearest(gl);
  return texture;
}
