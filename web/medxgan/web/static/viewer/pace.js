// How finely to draw: a machine that takes too long for a frame draws coarser while things move, and fine when they rest.

const SLOW = 33; // milliseconds of a frame, 30 a second
const FAST = 12;
const COARSEST = 4;
const REST = 160; // milliseconds without a new frame
const POLL = 2;

export class Pace {
  constructor() {
    this.coarseness = 1; // what moving asks for
    this.refining = false;
    this.last = -Infinity;
    this.took = 0;
  }

  /** Without a new frame for so long, things rest. */
  get rest() {
    return Math.max(REST, 2 * this.took);
  }

  /** A frame begins; gives how coarse it is to be. */
  begins() {
    const now = performance.now();
    const moving = now - this.last < this.rest && !this.refining;
    this.last = now;
    this.refining = false;
    this.now = moving ? this.coarseness : 1;
    return this.now;
  }

  /** A frame was sent; `again` draws it once more when things rest. */
  drawn(gl, again) {
    const [sent, drawnAt] = [performance.now(), this.now];
    const fence = gl.fenceSync(gl.SYNC_GPU_COMMANDS_COMPLETE, 0);
    gl.flush();
    const look = () => {
      if (gl.isContextLost()) return;
      const state = gl.clientWaitSync(fence, 0, 0);
      if (state === gl.TIMEOUT_EXPIRED) {
        setTimeout(look, POLL);
        return;
      }
      gl.deleteSync(fence);
      const took = this.took = performance.now() - sent;
      // Only a frame as coarse as asked for says whether that is enough.
      if (took > SLOW && drawnAt >= this.coarseness) this.coarseness = Math.min(drawnAt * 2, COARSEST);
      else if (took < FAST && drawnAt === this.coarseness && drawnAt > 1) this.coarseness = drawnAt / 2;
    };
    setTimeout(look, POLL);
    clearTimeout(this.timer);
    if (drawnAt > 1) {
      this.timer = setTimeout(() => { this.refining = true; again(); }, this.rest);
    }
  }

  stop() {
    clearTimeout(this.timer);
  }
}
