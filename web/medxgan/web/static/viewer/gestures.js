// Pointer, wheel and touch on the canvas: pan, zoom, window and level, and drawing a region.

const WINDOW_SPEED = 1 / 400; // share of the window for one pixel of the pointer

export class Gestures {
  /** `tool()` says what a plain drag does: "pan", "window" or "region"; `on` has what is called. */
  constructor(viewer, tool, on) {
    this.viewer = viewer;
    this.tool = tool;
    this.on = on;
    this.pointers = new Map();
    const { canvas } = viewer;
    const listen = (name, handler, options) => canvas.addEventListener(name, handler.bind(this), options);
    listen("pointerdown", this.down);
    listen("pointermove", this.move);
    listen("pointerup", this.up);
    listen("pointercancel", this.up);
    listen("pointerleave", () => this.on.probe(null));
    listen("wheel", this.wheel, { passive: false });
    listen("dblclick", () => { if (this.tool() !== "region") { viewer.camera.fit(); viewer.draw(); } });
    listen("contextmenu", (event) => event.preventDefault());
  }

  place(event) {
    const bounds = this.viewer.canvas.getBoundingClientRect();
    return { x: event.clientX - bounds.left, y: event.clientY - bounds.top };
  }

  down(event) {
    this.viewer.canvas.setPointerCapture(event.pointerId);
    const at = this.place(event);
    this.pointers.set(event.pointerId, at);
    if (this.pointers.size > 1) {
      this.doing = "pinch";
      return;
    }
    const { viewer } = this;
    const onSwipe = viewer.swipe >= 0 && Math.abs(at.x - viewer.swipe * viewer.camera.screen.width) < 14;
    if (onSwipe) this.doing = "swipe";
    else if (event.button === 2) this.doing = "window";
    else if (event.button === 1 || event.shiftKey) this.doing = "pan";
    else this.doing = this.tool();
    if (this.doing === "region") this.on.regionBegins(viewer.camera.toFilm(at.x, at.y));
  }

  move(event) {
    const at = this.place(event);
    const before = this.pointers.get(event.pointerId);
    if (!before) {
      this.on.probe(at);
      return;
    }
    const [dx, dy] = [at.x - before.x, at.y - before.y];
    const { viewer } = this;
    if (this.doing === "pinch") {
      const other = [...this.pointers].find(([id]) => id !== event.pointerId)?.[1];
      if (other) {
        const apart = (one) => Math.hypot(one.x - other.x, one.y - other.y) || 1;
        viewer.camera.zoom(apart(at) / apart(before), other.x, other.y);
        viewer.camera.pan(dx / 2, dy / 2);
      }
    } else if (this.doing === "pan") {
      viewer.camera.pan(dx, dy);
    } else if (this.doing === "window") {
      changeWindow(viewer, dx, dy);
      this.on.window();
    } else if (this.doing === "swipe") {
      this.on.swipe(Math.min(Math.max(at.x / viewer.camera.screen.width, 0.02), 0.98));
    } else if (this.doing === "region") {
      this.on.regionGrows(viewer.camera.toFilm(at.x, at.y));
    }
    this.pointers.set(event.pointerId, at);
    viewer.draw();
    this.on.probe(at);
  }

  up(event) {
    this.pointers.delete(event.pointerId);
    if (this.doing === "region" && this.pointers.size === 0) this.on.regionEnds();
    if (this.pointers.size === 0) this.doing = null;
  }

  wheel(event) {
    event.preventDefault();
    const at = this.place(event);
    this.viewer.camera.zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0015)), at.x, at.y);
    this.viewer.draw();
    this.on.probe(at);
  }
}

/** To the right wider, upwards brighter. */
export function changeWindow(viewer, dx, dy) {
  const { low, high } = viewer.window;
  const width = Math.max(high - low, 1);
  const wider = Math.max(width * (1 + dx * WINDOW_SPEED), 1);
  const center = (low + high) / 2 + (viewer.film.inverted ? -1 : 1) * dy * WINDOW_SPEED * width;
  viewer.window = { low: center - wider / 2, high: center + wider / 2 };
}
