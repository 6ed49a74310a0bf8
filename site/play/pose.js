// The pose input of the model: 18 key points become a map with 20 channels.
//
// This is nted_lite/pose.py, written once more in plain loops. Lesson 01 explains what is drawn and why; the tests
// compare the two on 200 poses, pixel by pixel.

// The 18 joints of OpenPose in COCO-18 order; right and left are the person's own.
export const JOINTS = [
  "nose", "neck",
  "right shoulder", "right elbow", "right wrist", "left shoulder", "left elbow", "left wrist",
  "right hip", "right knee", "right ankle", "left hip", "left knee", "left ankle",
  "right eye", "left eye", "right ear", "left ear",
];

export const LIMBS = [
  [1, 2], [1, 5], [2, 3], [3, 4], [5, 6], [6, 7],
  [1, 8], [8, 9], [9, 10], [1, 11], [11, 12], [12, 13],
  [1, 0], [0, 14], [14, 16], [0, 15], [15, 17],
];

// Values of channels 0, 1, 2 for joint i and limb i: blue, green, red.
export const COLOURS = [
  [0, 0, 255], [0, 85, 255], [0, 170, 255], [0, 255, 255], [0, 255, 170], [0, 255, 85],
  [0, 255, 0], [85, 255, 0], [170, 255, 0], [255, 255, 0], [255, 170, 0], [255, 85, 0],
  [255, 0, 0], [255, 0, 85], [255, 0, 170], [255, 0, 255], [170, 0, 255], [85, 0, 255],
];

const CHANNELS = 3 + LIMBS.length;
const FAR = 8192; // "the limb has no pixel in this row"

// A table of sines with 7 decimals in single precision, because OpenCV has one, and the published models saw its poses.
const SINE = Array.from({ length: 360 }, (_, degree) =>
  Math.fround(Math.round(Math.sin(degree * (Math.PI / 180)) * 1e7) / 1e7));
const cosine = (degree) => SINE[(degree + 90) % 360];

/**
 * Draw key points as the pose map.
 *
 * keypoints  18 pairs [x, y] in pixels; integers are the centres of pixels
 * visible    18 booleans, false for a missing joint
 * size       {height, width} of the map
 * fine       whether channels 3-19 are the nearness of `limbNearness` instead of the published distances
 * returns    Float32Array of 20 * height * width, 0..1
 */
export function poseMap(keypoints, visible, { height, width }, fine) {
  const map = new Float32Array(CHANNELS * height * width);
  const scale = Math.min(1, height / 256);
  const radius = Math.max(1, Math.floor(4 * scale));
  const spans = LIMBS.map(([a, b]) =>
    visible[a] && visible[b] ? limbSpan(keypoints[a], keypoints[b], radius, height, width) : nothing(height));
  stickFigure(map, keypoints, visible, spans, radius, height, width);
  LIMBS.forEach(([a, b], limb) => {
    const channel = map.subarray((3 + limb) * height * width, (4 + limb) * height * width);
    if (!fine) {
      const step = Math.fround(3 * scale);
      cityBlock(channel, spans[limb], height, width);
      channel.forEach((distance, i) => (channel[i] = Math.min(255, Math.floor(Math.fround(distance / step))) / 255));
    } else if (visible[a] && visible[b]) limbNearness(channel, keypoints[a], keypoints[b], height, width);
  });
  return map;
}

const nothing = (height) => ({ left: new Int16Array(height).fill(FAR), right: new Int16Array(height).fill(-FAR) });

/** The first and last column of a limb's filled ellipse in each row. */
function limbSpan([x1, y1], [x2, y2], radius, height, width) {
  const { left, right } = nothing(height);
  const cover = (x, y) => {
    if (y < 0 || y >= height) return;
    const column = Math.min(Math.max(x, -1), width);
    left[y] = Math.min(left[y], column);
    right[y] = Math.max(right[y], column);
  };

  // Centre, half length and angle are whole numbers first, and the vertices of the ellipse are rounded to pixels.
  const [dx, dy] = [x1 - x2, y1 - y2];
  const [centreX, centreY] = [Math.trunc((x1 + x2) / 2), Math.trunc((y1 + y2) / 2)];
  const half = Math.trunc(Math.sqrt(dx * dx + dy * dy) / 2);
  const angle = (Math.trunc(Math.atan2(dy, dx) * (180 / Math.PI)) + 360) % 360;
  const step = Math.max(1, Math.min(4, Math.floor(256 / height)));
  const vertices = [];
  for (let degree = 0; degree < 360; degree += step) {
    const [along, across] = [cosine(degree), radius * SINE[degree]];
    const x = roundToEven(centreX + half * cosine(angle) * along - SINE[angle] * across);
    const y = roundToEven(centreY + half * SINE[angle] * along + cosine(angle) * across);
    vertices.push([x, y]);
    cover(x, y);
  }
  const opposite = vertices[vertices.length / 2];
  const extent = Math.max(Math.abs(vertices[0][0] - opposite[0]), Math.abs(vertices[0][1] - opposite[1]));
  if (extent > Math.floor(vertices.length / 4)) {
    vertices.forEach((vertex, i) => coverEdge(vertex, vertices[(i + 1) % vertices.length], cover));
  }
  for (let y = 0; y < height; y++) {
    if (left[y] >= width || right[y] < 0) [left[y], right[y]] = [FAR, -FAR];
  }
  return { left, right };
}

/** The pixels between two neighbouring vertices that do not touch: a Bresenham line, ties broken as in OpenCV. */
function coverEdge([x0, y0], [x1, y1], cover) {
  const [dx, dy] = [x1 - x0, y1 - y0];
  const steps = Math.max(Math.abs(dx), Math.abs(dy));
  const up = dx * dy > 0 ? 1 : 0;
  for (let k = 1; k < steps; k++) {
    const y = y0 + Math.floor((2 * k * dy + steps - up) / (2 * steps));
    cover(x0 + Math.floor((2 * k * dx + steps - 1) / (2 * steps)), y);
    cover(x0 + Math.floor((2 * k * dx + steps) / (2 * steps)), y);
  }
}

/** A disc for each joint, and each limb blended over what is there: 0.4 of the old colour, 0.6 of the limb's. */
function stickFigure(map, keypoints, visible, spans, radius, height, width) {
  const size = height * width;
  keypoints.forEach(([px, py], joint) => {
    if (!visible[joint]) return;
    for (let dy = -radius; dy <= radius; dy++) {
      for (let dx = -radius; dx <= radius; dx++) {
        const [x, y] = [Math.trunc(px) + dx, Math.trunc(py) + dy];
        if (dx * dx + dy * dy > radius * radius || x < 0 || x >= width || y < 0 || y >= height) continue;
        for (let c = 0; c < 3; c++) map[c * size + y * width + x] = COLOURS[joint][c];
      }
    }
  });
  spans.forEach(({ left, right }, limb) => {
    for (let y = 0; y < height; y++) {
      for (let x = Math.max(left[y], 0); x <= Math.min(right[y], width - 1); x++) {
        for (let c = 0; c < 3; c++) {
          const i = c * size + y * width + x;
          map[i] = Math.round(0.4 * map[i] + 0.6 * COLOURS[limb][c]); // whole fifths: never halfway between two
        }
      }
    }
  });
  for (let i = 0; i < 3 * size; i++) map[i] /= 255;
}

/** The city-block distance |dx| + |dy| of every pixel to a span: along each row, then down and up the rows. */
function cityBlock(out, { left, right }, height, width) {
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) out[y * width + x] = Math.max(left[y] - x, x - right[y], 0);
  }
  for (let i = width; i < out.length; i++) out[i] = Math.min(out[i], out[i - width] + 1);
  for (let i = out.length - width - 1; i >= 0; i--) out[i] = Math.min(out[i], out[i + width] + 1);
}

/** exp(-d / s) with the exact distance d of every pixel to the segment between two joints; s is 2 pixels of 64 rows. */
function limbNearness(out, [ax, ay], [bx, by], height, width) {
  const [dx, dy, scale] = [bx - ax, by - ay, height / 32];
  const length = Math.max(dx * dx + dy * dy, 1e-6);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const t = Math.min(Math.max(((x - ax) * dx + (y - ay) * dy) / length, 0), 1);
      const [ex, ey] = [x - ax - t * dx, y - ay - t * dy];
      out[y * width + x] = Math.exp(-Math.sqrt(ex * ex + ey * ey) / scale); // Math.hypot is several times slower
    }
  }
}

/** Round as NumPy, PyTorch and OpenCV do: a half goes to the even neighbour. */
function roundToEven(x) {
  return Math.abs(x % 1) === 0.5 ? 2 * Math.round(x / 2) : Math.round(x);
}
