// One rectangle, one shader: film or picture by window and level, a map in colour over it, a second picture beside it.

const VERTEX = `#version 300 es
const vec2 CORNERS[3] = vec2[3](vec2(-1.0, -1.0), vec2(3.0, -1.0), vec2(-1.0, 3.0));
void main() { gl_Position = vec4(CORNERS[gl_VertexID], 0.0, 1.0); }
`;

const FRAGMENT = `#version 300 es
precision highp float;
precision highp int;
precision highp sampler2D;
precision highp usampler2D;

uniform usampler2D film;       // grey levels, with a pyramid of means
uniform sampler2D pictureA;    // [S, S] in [-1, 1]
uniform sampler2D pictureB;
uniform sampler2D difference;  // [S, S] in the unit of x: what is taken from the film
uniform sampler2D overlay;     // the map in colour
uniform sampler2D colors;      // 256 x 1

uniform vec2 screen;           // of the canvas, in device pixels
uniform float density;         // device pixels for one CSS pixel
uniform vec3 camera;           // x, y, scale
uniform float aspect;
uniform vec2 upright;          // columns, rows of the film turned upright
uniform ivec3 turn;            // transposed, rows reversed, columns reversed
uniform int pyramid;           // levels of the pyramid
uniform vec4 box;              // top, left, bottom, right
uniform int layerA;            // 0 film, 1 picture, 2 film less the difference
uniform int layerB;
uniform float swipe;           // CSS pixels from the left where B begins; negative: no B
uniform vec2 grey;             // x = grey.x * level + grey.y
uniform vec2 window;           // levels that are black and white
uniform bool inverted;
uniform bool smoothed;
uniform bool hurried;          // while things move on a slow machine: one texel where four would be blended
uniform bool overlaid;
uniform float opacity;
uniform float threshold;       // share of the scale below which nothing is drawn
uniform float magnitude;       // the value at the end of the scale
uniform bool signedScale;
uniform bool faded;            // small values are drawn more transparent

out vec4 color;

const vec3 GROUND = vec3(0.027, 0.031, 0.039);

float texel(ivec2 place, int level) {
  ivec2 size = textureSize(film, level);
  return float(texelFetch(film, clamp(place, ivec2(0), size - 1), level).r);
}

// column, row on the upright film to the film's level there
float filmLevel(vec2 place) {
  vec2 stored = vec2(turn.z == 1 ? upright.x - place.x : place.x, turn.y == 1 ? upright.y - place.y : place.y);
  if (turn.x == 1) stored = stored.yx;
  float shrink = 1.0 / (camera.z * density);
  int level = clamp(int(floor(log2(max(shrink, 1.0)) + 0.35)), 0, pyramid - 1);
  vec2 at = stored / exp2(float(level)) - 0.5;
  if (hurried || camera.z * density > 6.0) return texel(ivec2(floor(at + 0.5)), level);
  ivec2 base = ivec2(floor(at));
  vec2 part = at - vec2(base);
  return mix(
    mix(texel(base, level), texel(base + ivec2(1, 0), level), part.x),
    mix(texel(base + ivec2(0, 1), level), texel(base + ivec2(1, 1), level), part.x),
    part.y
  );
}

float value(sampler2D map, vec2 share) {
  ivec2 size = textureSize(map, 0);
  vec2 at = share * vec2(size) - 0.5;
  ivec2 most = size - 1;
  if (hurried || !smoothed) return texelFetch(map, clamp(ivec2(floor(at + 0.5)), ivec2(0), most), 0).r;
  vec2 inside = clamp(at, vec2(0.0), vec2(most));
  ivec2 base = ivec2(floor(inside));
  ivec2 next = min(base + 1, most);
  vec2 part = inside - vec2(base);
  return mix(
    mix(texelFetch(map, base, 0).r, texelFetch(map, ivec2(next.x, base.y), 0).r, part.x),
    mix(texelFetch(map, ivec2(base.x, next.y), 0).r, texelFetch(map, next, 0).r, part.x),
    part.y
  );
}

float shown(float level) {
  float share = clamp((level - window.x) / (window.y - window.x), 0.0, 1.0);
  return inverted ? 1.0 - share : share;
}

float layer(int which, sampler2D picture, vec2 place, vec2 share, bool covered) {
  if (which == 1 && covered) return shown((value(picture, share) - grey.y) / grey.x);
  float level = filmLevel(place);
  if (which == 2 && covered) level -= value(difference, share) / grey.x;
  float drawn = shown(level);
  return which == 1 ? 0.35 * drawn : drawn;  // what a picture does not cover is the film, dimmed
}

void main() {
  vec2 at = vec2(gl_FragCoord.x, screen.y - gl_FragCoord.y) / density;
  vec2 place = (at - camera.xy) / vec2(camera.z, camera.z * aspect);
  if (any(lessThan(place, vec2(0.0))) || any(greaterThanEqual(place, upright))) {
    color = vec4(GROUND, 1.0);
    return;
  }
  vec2 share = (place - box.yx) / (box.wz - box.yx);
  bool covered = all(greaterThanEqual(share, vec2(0.0))) && all(lessThanEqual(share, vec2(1.0)));
  bool beside = swipe >= 0.0 && at.x >= swipe;
  float drawn = beside
    ? layer(layerB, pictureB, place, share, covered)
    : layer(layerA, pictureA, place, share, covered);
  vec3 result = vec3(drawn);
  if (overlaid && covered) {
    float strength = value(overlay, share) / magnitude;
    float size = min(abs(strength), 1.0);
    float index = signedScale ? 0.5 + 0.5 * clamp(strength, -1.0, 1.0) : clamp(strength, 0.0, 1.0);
    vec3 tint = texelFetch(colors, ivec2(int(floor(index * 255.0 + 0.5)), 0), 0).rgb;
    float alpha = size < threshold ? 0.0 : opacity * (faded ? size : 1.0);
    result = mix(result, tint, alpha);
  }
  if (swipe >= 0.0 && abs(at.x - swipe) < 1.0) result = vec3(0.95);
  color = vec4(result, 1.0);
}
`;

const compiled = new WeakMap(); // by context

/** Compile and link, once for each context; throws where the browser can't. */
export function program(gl) {
  const before = compiled.get(gl);
  if (gl.isProgram(before ?? null)) return before; // none is after the context was lost
  const made = gl.createProgram();
  for (const [kind, source] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]]) {
    const shader = gl.createShader(kind);
    gl.shaderSource(shader, source);
    gl.compileShader(shader);
    if (!gl.getShaderParameter(shader, gl.COMPILE_STATUS)) throw new Error(gl.getShaderInfoLog(shader));
    gl.attachShader(made, shader);
  }
  gl.linkProgram(made);
  if (!gl.getProgramParameter(made, gl.LINK_STATUS)) throw new Error(gl.getProgramInfoLog(made));
  compiled.set(gl, made);
  return made;
}
