// The second stage's picture of its bands, as app/diffusion/cascade.py has it: an orthonormal 4 x 4
// block DCT, 16 bands of luma and the lowest 2 x 2 of each chroma, beside a bicubic enlargement.

const RATIO = 4;
const LUMA = RATIO ** 2;
const CHROMA = 4;
export const BANDS = LUMA + 2 * CHROMA;
const RGB = 3;

const YCBCR = [[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]];
const TO_RGB = inverse(YCBCR);

function inverse([[a, b, c], [d, e, f], [g, h, i]]) {
  const cofactors = [[e * i - f * h, c * h - b * i, b * f - c * e], [f * g - d * i, a * i - c * g, c * d - a * f], [d * h - e * g, b * g - a * h, a * e - b * d]];
  const determinant = a * cofactors[0][0] + b * cofactors[1][0] + c * cofactors[2][0];
  return cofactors.map((row) => row.map((value) => value / determinant));
}

const ROWS = Array.from({ length: RATIO }, (_, k) =>
  Array.from({ length: RATIO }, (_, n) => Math.cos((Math.PI * (n + 0.5) * k) / RATIO) * Math.sqrt((k ? 2 : 1) / RATIO)));

// The residual (3, 4h, 4w) of one picture's bands z (24, h, w), each times its deviation.
function residual(z, std, side) {
  const [area, large] = [side * side, RATIO * side];
  const planes = [0, 1, 2].map(() => new Float64Array(large * large));
  for (let band = 0; band < BANDS; band += 1) {
    const plane = band < LUMA ? 0 : 1 + Math.floor((band - LUMA) / CHROMA);
    const [across, within] = plane ? [2, (band - LUMA) % CHROMA] : [RATIO, band];
    const [down, right] = [ROWS[Math.floor(within / across)], ROWS[within % across]];
    for (let y = 0; y < large; y += 1) {
      for (let x = 0; x < large; x += 1) {
        const value = z[band * area + (y >> 2) * side + (x >> 2)] * std[band];
        planes[plane][y * large + x] += value * down[y & 3] * right[x & 3];
      }
    }
  }
  const out = new Float32Array(RGB * large * large);
  TO_RGB.forEach((row, c) => {
    for (let i = 0; i < large * large; i += 1) out[c * large * large + i] = row[0] * planes[0][i] + row[1] * planes[1][i] + row[2] * planes[2][i];
  });
  return out;
}

// Rows of weights, [first pixel, weights], by which a row of pixels becomes one of another length.
function cubicRows(side) {
  const A = -0.75; // torch's bicubic
  const near = (d) => ((A + 2) * d - (A + 3)) * d * d + 1;
  const far = (d) => ((A * d - 5 * A) * d + 8 * A) * d - 4 * A;
  return Array.from({ length: RATIO * side }, (_, i) => {
    const at = (i + 0.5) / RATIO - 0.5;
    const low = Math.floor(at);
    const d = at - low;
    return [low - 1, [far(d + 1), near(d), near(1 - d), far(2 - d)]];
  });
}

function lanczosRows(side) {
  const sinc = (x) => (x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x));
  const support = 3 * RATIO;
  return Array.from({ length: side }, (_, i) => {
    const centre = (i + 0.5) * RATIO;
    const first = Math.max(0, Math.trunc(centre - support + 0.5));
    const last = Math.min(RATIO * side, Math.trunc(centre + support + 0.5));
    const row = Array.from({ length: last - first }, (_, n) => (first + n + 0.5 - centre) / RATIO).map((x) => sinc(x) * sinc(x / 3));
    const sum = row.reduce((total, weight) => total + weight, 0);
    return [first, row.map((weight) => weight / sum)];
  });
}

// Both axes of planes (3, from, from) to (3, rows.length, rows.length); edges are repeated.
function resized(planes, from, rows) {
  const to = rows.length;
  const pass = (source, height, width, down) => {
    const out = new Float64Array(RGB * (down ? to * width : height * to));
    const [outHeight, outWidth] = down ? [to, width] : [height, to];
    for (let c = 0; c < RGB; c += 1) {
      for (let y = 0; y < outHeight; y += 1) {
        for (let x = 0; x < outWidth; x += 1) {
          const [first, weights] = rows[down ? y : x];
          let sum = 0;
          for (let k = 0; k < weights.length; k += 1) {
            const at = Math.max(0, Math.min(from - 1, first + k));
            sum += weights[k] * source[c * height * width + (down ? at * width + x : y * width + at)];
          }
          out[(c * outHeight + y) * outWidth + x] = sum;
        }
      }
    }
    return out;
  };
  return pass(pass(planes, from, from, false), from, to, true);
}

// What a stage makes of one small picture (3, side, side) in [-1, 1].
export function createEnlargement(lowRes, side, std) {
  const [cubic, lanczos] = [cubicRows(side), lanczosRows(side)];
  const begun = resized(lowRes, side, cubic);
  const luma = Math.sqrt(std.slice(0, LUMA).reduce((sum, s) => sum + s * s, 0) / LUMA);
  return {
    picture: (z) => residual(z, std, side).map((value, i) => begun[i] + value),
    noise: (z) => residual(z, std, side).map((value) => value / luma),
    // Add what it lacks to be reduced to the small picture, twice.
    backProjected(large) {
      let x = large;
      for (let n = 0; n < 2; n += 1) {
        const reduced = resized(x, RATIO * side, lanczos);
        const lacking = resized(reduced.map((value, i) => lowRes[i] - value), side, cubic);
        x = Float32Array.from(x, (value, i) => value + lacking[i]);
      }
      return x;
    },
  };
}
