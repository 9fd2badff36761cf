// A map over its picture on a small canvas, for thumbnails and side by side: pixel for pixel, as the networks see it.

/** `look`: colors, magnitude, signed, opacity, threshold, faded; without a map the picture alone. */
export function paint(canvas, picture, map, look) {
  const [height, width] = (picture ?? map).shape;
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  for (let pixel = 0, to = 0; pixel < width * height; pixel += 1, to += 4) {
    const grey = picture ? Math.min(Math.max((picture.values[pixel] + 1) * 127.5, 0), 255) : 18;
    let [red, green, blue] = [grey, grey, grey];
    if (map) {
      const strength = map.values[pixel] / look.magnitude;
      const size = Math.min(Math.abs(strength), 1);
      const alpha = size < look.threshold ? 0 : look.opacity * (look.faded ? size : 1);
      const share = look.signed ? 0.5 + 0.5 * Math.min(Math.max(strength, -1), 1) : Math.min(Math.max(strength, 0), 1);
      const from = 3 * Math.round(share * 255);
      red += (look.colors[from] - red) * alpha;
      green += (look.colors[from + 1] - green) * alpha;
      blue += (look.colors[from + 2] - blue) * alpha;
    }
    image.data[to] = red;
    image.data[to + 1] = green;
    image.data[to + 2] = blue;
    image.data[to + 3] = 255;
  }
  context.putImageData(image, 0, 0);
}

/** The scale of a map as a strip of 256 colours, drawn as over a grey of the middle. */
export function paintScale(canvas, look) {
  const strip = { shape: [1, 256], values: new Float32Array(256) };
  for (let index = 0; index < 256; index += 1) {
    strip.values[index] = look.magnitude * (look.signed ? (index / 255) * 2 - 1 : index / 255);
  }
  paint(canvas, { shape: [1, 256], values: new Float32Array(256).fill(-0.5) }, strip, look);
}
