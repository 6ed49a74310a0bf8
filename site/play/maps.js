// Where a pixel comes from, and where it goes: the two maps of every operation, multiplied.

/**
 * Which positions of the photo a position of the generated picture takes its textures from.
 *
 * distribution  k h w tensor; at every position the shares of the textures, which sum to 1
 * extraction    k h w tensor; for every texture the weights of the positions, which sum to 1
 * position      index into h w
 * weights       k numbers: how much of each texture is this photo's (less than 1 where two people are mixed)
 * returns       Float32Array of h w
 */
export function sources(distribution, extraction, position, weights) {
  const shares = column(distribution, position).map((share, k) => share * weights[k]);
  return combine(extraction, shares);
}

/** Which positions of the generated picture use what was extracted at a position of the photo. Arguments as above. */
export function destinations(distribution, extraction, position, weights) {
  return combine(distribution, column(extraction, position).map((share, k) => share * weights[k]));
}

/** The values of all k maps at one position. */
export function column(maps, position) {
  const [, k, h, w] = maps.dims;
  return Array.from({ length: k }, (_, texture) => maps.data[texture * h * w + position]);
}

/** The k maps, added with these weights. */
function combine(maps, weights) {
  const size = maps.dims[2] * maps.dims[3];
  const sum = new Float32Array(size);
  weights.forEach((weight, k) => {
    for (let i = 0; i < size; i++) sum[i] += weight * maps.data[k * size + i];
  });
  return sum;
}

/** A map as one picture: at every position the colours of the textures, mixed in their shares. -> RGBA of h w */
export function painted(distribution, colours) {
  const [, k, h, w] = distribution.dims;
  const pixels = new Uint8ClampedArray(4 * h * w).fill(255);
  for (let i = 0; i < h * w; i++) {
    for (let c = 0; c < 3; c++) {
      let sum = 0;
      for (let texture = 0; texture < k; texture++) sum += distribution.data[texture * h * w + i] * colours[texture][c];
      pixels[4 * i + c] = 255 * sum;
    }
  }
  return pixels;
}

/** A heat map on top of a picture: opaque where the map is largest, transparent where it is 0. -> RGBA of h w */
export function heat(map, [red, green, blue]) {
  const largest = map.reduce((a, b) => Math.max(a, b), 1e-12);
  const pixels = new Uint8ClampedArray(4 * map.length);
  map.forEach((value, i) => pixels.set([red, green, blue, 235 * Math.sqrt(value / largest)], 4 * i));
  return pixels;
}
