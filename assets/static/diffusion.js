// The reverse process in the browser: the schedule, torch's random numbers, the samplers, the steps.
//
// It computes what app/diffusion computes, in the same terms: timesteps count from 0 and t = -1 is
// clean data; a step is a pair (t, s) with s < t; alpha_bar comes as a float64 table. Pictures of a
// batch lie one after the other in a Float32Array, channels first. Coefficients are doubles.

const CLEAN = -1;

// Called ᾱ at t in [-1, T).
export const alphaBarAt = (table, t) => (t === CLEAN ? 1 : table[t]);

// As a person reads it: the paper's t, ᾱ, and the signal-to-noise ratio in dB, null where infinite.
export function levelAt(table, t) {
  const signal = alphaBarAt(table, t);
  return { t: t + 1, signal, snr_db: signal < 1 ? 10 * Math.log10(signal / (1 - signal)) : null };
}

// a / b rounded to a whole number, a half to the even one; both whole and not negative.
function roundedRatio(a, b) {
  const low = Math.floor(a / b);
  const twice = 2 * (a - low * b);
  return twice > b || (twice === b && low % 2) ? low + 1 : low;
}

const SPACINGS = {
  leading: (i, n, T) => i * Math.floor(T / n),
  even: (i, n, T) => Math.floor((i * T) / n),
  trailing: (i, n, T) => roundedRatio((i + 1) * T, n) - 1,
  linspace: (i, n, T) => (n === 1 ? T - 1 : roundedRatio(i * (T - 1), n - 1)),
};

// Choose `n` of the timesteps [0, T), descending.
export function spacedTimesteps(n, T, spacing = "trailing") {
  if (!(n >= 1 && n <= T)) throw new RangeError(`need 1 <= steps <= ${T}, got ${n}`);
  return Array.from({ length: n }, (_, i) => SPACINGS[spacing](i, n, T)).reverse();
}

// ---- random numbers, as torch's generator on the CPU draws them

const [N, M] = [624, 397];

// MT19937 (Matsumoto & Nishimura 1998), seeded as torch.Generator().manual_seed(seed).
export class Generator {
  constructor(seed) {
    this.state = new Uint32Array(N);
    this.state[0] = seed % 2 ** 32;
    for (let j = 1; j < N; j += 1) {
      const before = this.state[j - 1] ^ (this.state[j - 1] >>> 30);
      this.state[j] = Math.imul(1812433253, before) + j;
    }
    this.next = N;
  }

  random() {
    if (this.next === N) this.#twist();
    let y = this.state[this.next];
    this.next += 1;
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    return (y ^ (y >>> 18)) >>> 0;
  }

  // In [0, 1), with a float's 24 bits.
  uniform() {
    return (this.random() & 0xffffff) / 2 ** 24;
  }

  // As torch.randn fills `out` of at least 16: Box-Muller in blocks of 16, the last block drawn anew.
  normal(out) {
    if (out.length < 16) throw new RangeError("torch draws fewer than 16 in another way");
    for (let i = 0; i < out.length; i += 1) out[i] = this.uniform();
    for (let i = 0; i + 16 <= out.length; i += 16) boxMuller(out, i);
    if (out.length % 16) {
      const last = out.length - 16;
      for (let i = last; i < out.length; i += 1) out[i] = this.uniform();
      boxMuller(out, last);
    }
    return out;
  }

  #twist() {
    const { state } = this;
    for (let i = 0; i < N; i += 1) {
      const y = (state[i] & 0x80000000) | (state[(i + 1) % N] & 0x7fffffff);
      state[i] = state[(i + M) % N] ^ (y >>> 1) ^ (y & 1 ? 0x9908b0df : 0);
    }
    this.next = 0;
  }
}

function boxMuller(out, from) {
  for (let j = from; j < from + 8; j += 1) {
    const radius = Math.sqrt(-2 * Math.log(1 - out[j]));
    const angle = 2 * Math.PI * out[j + 8];
    out[j] = radius * Math.cos(angle);
    out[j + 8] = radius * Math.sin(angle);
  }
}

// The draws of a batch: picture i draws from its own generator.
export class SeededNoise {
  constructor(seeds) {
    this.generators = seeds.map((seed) => new Generator(seed));
  }

  draw(size) {
    const out = new Float32Array(size * this.generators.length);
    this.generators.forEach((each, i) => each.normal(out.subarray(i * size, (i + 1) * size)));
    return out;
  }
}

// A seed that depends on all of `parts`: the lower word, which is all that MT19937 takes, of
// numpy's SeedSequence(parts).
export function derivedSeed(...parts) {
  const entropy = parts.flatMap((part) => (part < 2 ** 32 ? [part] : [part % 2 ** 32, Math.floor(part / 2 ** 32)]));
  let factor = 0x43b0d7e5;
  const hashed = (value) => {
    const before = value ^ factor;
    factor = Math.imul(factor, 0x931e8875);
    const product = Math.imul(before, factor);
    return product ^ (product >>> 16);
  };
  const mixed = (x, y) => {
    const sum = Math.imul(0xca01f9dd, x) - Math.imul(0x4973f715, y);
    return sum ^ (sum >>> 16);
  };
  const pool = [0, 1, 2, 3].map((i) => hashed(entropy[i] ?? 0));
  for (let from = 0; from < 4; from += 1) {
    for (let to = 0; to < 4; to += 1) if (from !== to) pool[to] = mixed(pool[to], hashed(pool[from]));
  }
  for (const word of entropy.slice(4)) {
    for (let to = 0; to < 4; to += 1) pool[to] = mixed(pool[to], hashed(word));
  }
  const product = Math.imul(pool[0] ^ 0x8b51f9dd, Math.imul(0x8b51f9dd, 0x58f38ded));
  return (product ^ (product >>> 16)) >>> 0;
}

// ---- arithmetic of pictures

// The sum of arrays, each times its number: weighted([w, x], [v, y]) is w x + v y.
export function weighted(...terms) {
  const out = new Float32Array(terms[0][1].length);
  for (let i = 0; i < out.length; i += 1) {
    let sum = 0;
    for (let k = 0; k < terms.length; k += 1) sum += terms[k][0] * terms[k][1][i];
    out[i] = sum;
  }
  return out;
}

// x_t in closed form (Ho et al. 2020, eq. 4).
export const qSample = (alphaBar, x_0, eps) => weighted([Math.sqrt(alphaBar), x_0], [Math.sqrt(1 - alphaBar), eps]);

// x_0_hat and eps_hat from what a network was trained to predict (eq. 15); with `clip`, x_0_hat is
// kept in [-1, 1] and eps_hat derived again.
export function estimate(out, target, x_t, alphaBar, clip) {
  const [a, b] = [Math.sqrt(alphaBar), Math.sqrt(1 - alphaBar)];
  const towards = {
    epsilon: () => [weighted([1 / a, x_t], [-b / a, out]), out],
    sample: () => [out, weighted([1 / b, x_t], [-a / b, out])],
    v_prediction: () => [weighted([a, x_t], [-b, out]), weighted([b, x_t], [a, out])],
  };
  const [x_0_hat, eps_hat] = towards[target]();
  if (!clip) return { x_0_hat, eps_hat };
  const clipped = x_0_hat.map((value) => Math.max(-1, Math.min(1, value)));
  return { x_0_hat: clipped, eps_hat: weighted([1 / b, x_t], [-a / b, clipped]) };
}

// ---- samplers: each makes a function that takes x_t to x_s by the stream's step `index`

// Ancestral sampling with beta-tilde (Ho et al. 2020, eqs. 6, 7 and 11); the last step is its mean.
function ddpm(table, timesteps) {
  return ({ x_0_hat }, x_t, index, draw) => {
    const [a_t, a_s] = levels(table, timesteps, index);
    const a_ts = a_t / a_s;
    const w_0 = (Math.sqrt(a_s) * (1 - a_ts)) / (1 - a_t);
    const w_t = (Math.sqrt(a_ts) * (1 - a_s)) / (1 - a_t);
    const mean = [[w_0, x_0_hat], [w_t, x_t]];
    if (index === timesteps.length - 1) return weighted(...mean);
    return weighted(...mean, [Math.sqrt(((1 - a_ts) * (1 - a_s)) / (1 - a_t)), draw()]);
  };
}

// Song et al. (2021), eqs. 12 and 16, which draw noise only where eta is above 0.
function ddim(table, timesteps, { eta = 0 }) {
  return ({ x_0_hat, eps_hat }, x_t, index, draw) => {
    const [a_t, a_s] = levels(table, timesteps, index);
    const variance = eta ** 2 * ((1 - a_s) / (1 - a_t)) * (1 - a_t / a_s);
    const mean = [[Math.sqrt(a_s), x_0_hat], [Math.sqrt(Math.max(0, 1 - a_s - variance)), eps_hat]];
    if (eta === 0 || index === timesteps.length - 1) return weighted(...mean);
    return weighted(...mean, [Math.sqrt(variance), draw()]);
  };
}

// DPM-Solver++ 2M SDE (Lu et al. 2022), the midpoint rule of diffusers; the last step is of first
// order, and so is x_0_hat itself.
function dpmSolverSde(table, timesteps, { s_noise = 1 }) {
  const sigmas = [...timesteps.map((t) => Math.sqrt((1 - table[t]) / table[t])), 0];
  const at = (index) => {
    const alpha = 1 / Math.hypot(sigmas[index], 1);
    const sigma = sigmas[index] * alpha;
    return { alpha, sigma, lambda: Math.log(alpha) - Math.log(sigma) };
  };
  let before = null; // the last step's x_0_hat
  return ({ x_0_hat }, x_t, index, draw) => {
    const [here, there, noise] = [at(index), at(index + 1), draw()];
    const h = there.lambda - here.lambda;
    const gain = there.alpha * -Math.expm1(-2 * h);
    const terms = [[(there.sigma / here.sigma) * Math.exp(-h), x_t], [gain, x_0_hat]];
    if (before && index < timesteps.length - 1) {
      const half = (gain / 2) * (h / (here.lambda - at(index - 1).lambda));
      terms.push([half, x_0_hat], [-half, before]);
    }
    before = x_0_hat;
    return weighted(...terms, [s_noise * there.sigma * Math.sqrt(-Math.expm1(-2 * h)), noise]);
  };
}

const levels = (table, timesteps, index) =>
  [timesteps[index], timesteps[index + 1] ?? CLEAN].map((t) => alphaBarAt(table, t));

// `draws`: whether noise is drawn between x_T and the picture, with an eta.
export const SAMPLERS = {
  ddpm: { label: "DDPM", make: ddpm, draws: () => true },
  ddim: { label: "DDIM", make: ddim, draws: (eta) => eta > 0 },
  "dpm-solver-sde": { label: "DPM-Solver++ 2M SDE", make: dpmSolverSde, draws: () => true },
};

// Denoise x_start from timesteps[0] down to clean data, and yield n + 1 frames: {index, t, x_t,
// x_0_hat, eps_hat}, eps_hat null at the end. `predict(x_t, t)` is the network.
export async function* reverseProcess(predict, { table, target, x_start, timesteps, noise, sampler, clip, ...how }) {
  const pictures = noise.generators.length;
  const step = SAMPLERS[sampler].make(table, timesteps, how);
  let x_t = x_start;
  for (const [index, t] of timesteps.entries()) {
    const guess = estimate(await predict(x_t, t), target, x_t, table[t], clip);
    yield { index, t, x_t, ...guess };
    x_t = step(guess, x_t, index, () => noise.draw(x_start.length / pictures));
    if (!x_t.every(Number.isFinite)) throw new RangeError(`What the network predicts at t = ${t + 1} isn't finite.`);
  }
  yield { index: timesteps.length, t: CLEAN, x_t, x_0_hat: x_t, eps_hat: null };
}
