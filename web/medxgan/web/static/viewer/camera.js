// What part of the upright film the screen shows: screen = offset + scale * (column, aspect * row), in CSS pixels.

const MARGIN = 12;
const MOST_ZOOM = 64;

export class Camera {
  /** `size` of the upright film; `aspect`: height of its pixels over their width. */
  constructor(size, aspect) {
    this.size = size;
    this.aspect = aspect;
    this.scale = 1;
    this.x = 0;
    this.y = 0;
    this.screen = { width: 1, height: 1 };
    this.fitted = true;
  }

  get fittingScale() {
    const { width, height } = this.screen;
    return Math.min((width - 2 * MARGIN) / this.size.columns, (height - 2 * MARGIN) / (this.size.rows * this.aspect));
  }

  resize(width, height) {
    const middle = this.toFilm(this.screen.width / 2, this.screen.height / 2);
    this.screen = { width, height };
    if (this.fitted) {
      this.fit();
    } else {
      this.x = width / 2 - middle.column * this.scale;
      this.y = height / 2 - middle.row * this.scale * this.aspect;
    }
  }

  fit() {
    this.fitted = true;
    this.scale = this.fittingScale;
    this.x = (this.screen.width - this.size.columns * this.scale) / 2;
    this.y = (this.screen.height - this.size.rows * this.aspect * this.scale) / 2;
  }

  pan(dx, dy) {
    this.fitted = false;
    this.x += dx;
    this.y += dy;
    this.keepInSight();
  }

  /** Zoom by a factor about a point of the screen, which stays where it is. */
  zoom(factor, x = this.screen.width / 2, y = this.screen.height / 2) {
    this.fitted = false;
    const least = this.fittingScale / 2;
    const scale = Math.min(Math.max(this.scale * factor, least), MOST_ZOOM);
    this.x = x - ((x - this.x) * scale) / this.scale;
    this.y = y - ((y - this.y) * scale) / this.scale;
    this.scale = scale;
    this.keepInSight();
  }

  keepInSight() {
    const least = 40;
    const [wide, tall] = [this.size.columns * this.scale, this.size.rows * this.scale * this.aspect];
    this.x = Math.min(Math.max(this.x, least - wide), this.screen.width - least);
    this.y = Math.min(Math.max(this.y, least - tall), this.screen.height - least);
  }

  toFilm(x, y) {
    return { row: (y - this.y) / (this.scale * this.aspect), column: (x - this.x) / this.scale };
  }

  toScreen(row, column) {
    return { x: this.x + column * this.scale, y: this.y + row * this.scale * this.aspect };
  }
}
