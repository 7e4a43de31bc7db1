// Paints off the page's thread, and sends the page the messages that the studio's server would send
// to its player (app/ui/components/messages.py), as JSON.

import { SAMPLERS, SeededNoise, alphaBarAt, derivedSeed, levelAt, qSample, reverseProcess, spacedTimesteps } from "./diffusion.js";
import { openNetworks } from "./network.js";
import { Refusal, base64, completeRecipe, fileNameOf, fromLink, pngOf, smallOf, titleOf, toLink } from "./recipe.js";
import { BANDS, createEnlargement } from "./stage.js";

const VIEWS = ["x_t", "x_0_hat", "eps_hat"];
const PACE = 100; // ms between two messages, at least
const [MAX_KEPT, MAX_TILES, TILE] = [250, 4700, 64];
const NOISE_RANGE = 3;
const STRIP_PICTURES = 10;
const WAY_BACK = 2; // a derived seed's purpose, as in app/painting/sampling.py

let card = null;
let networks = null; // a Promise
let run = 0; // the number of the latest; another ends it
let working = Promise.resolve(); // until the run before has heard of it: a network has one at a time
let remembered = null; // of the latest whole run: {run, recipe, name, kept}

const say = (message) => postMessage(JSON.stringify(message));
const token = () => Array.from(crypto.getRandomValues(new Uint8Array(4)), (byte) => byte.toString(16).padStart(2, "0")).join("");
const breathe = () => new Promise((resolve) => setTimeout(resolve)); // for a stop to be heard

function fail(error) {
  if (!(error instanceof Refusal)) console.error(error);
  const [message, hint] = error instanceof Refusal ? [error.message, error.hint] : [`Painting failed: ${error.message}`, "Reload the page."];
  say({ kind: "error", message, hint, token: token() });
}

// ---- pictures

// `count` of the indices below `total`, both ends included; a half is rounded to the even one.
function evenly(count, total) {
  if (total <= count) return Array.from({ length: total }, (_, i) => i);
  return Array.from({ length: count }, (_, i) => {
    const exact = (i * (total - 1)) / (count - 1);
    const up = Math.round(exact);
    return up - exact === 0.5 && up % 2 ? up - 1 : up;
  });
}

function keptFrames(steps, pictures, side) {
  const tiles = pictures * VIEWS.length * Math.max(1, side / TILE) ** 2;
  return evenly(Math.max(2, Math.min(MAX_KEPT, Math.floor(MAX_TILES / tiles))), steps + 1);
}

// Picture n of a batch of `channels` in [-range, range], as a browser draws it.
function imageOf(values, n, side, channels, range = 1) {
  const image = new ImageData(side, side);
  const area = side * side;
  for (let i = 0; i < area; i += 1) {
    for (let c = 0; c < 3; c += 1) {
      const value = values[(n * channels + (channels === 1 ? 0 : c)) * area + i];
      image.data[4 * i + c] = Math.max(0, Math.min(1, value / (2 * range) + 0.5)) * 255; // rounds as torch does
    }
    image.data[4 * i + 3] = 255;
  }
  return image;
}

// 256 levels again, as a saved picture has them.
const inLevels = (values) => values.map((value) => Math.round(Math.max(0, Math.min(1, value / 2 + 0.5)) * 255) / 127.5 - 1);

function canvasOf(image) {
  const canvas = new OffscreenCanvas(image.width, image.height);
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}

const dataUri = (png) => `data:image/png;base64,${base64(png)}`;

// One frame's pictures: a row a view, a column a picture.
async function sheetOf(views) {
  const side = views[0][0].width;
  const canvas = new OffscreenCanvas(views[0].length * side8(side), views.length * side8(side));
  const context = canvas.getContext("2d");
  views.forEach((pictures, row) => pictures.forEach((image, n) => context.putImageData(image, n * side8(side), row * side8(side))));
  return dataUri(await pngOf(canvas));
}

const side8 = (side) => Math.ceil(side / 8) * 8; // the player's pitch

// ---- runs

// What one moment shows: {i, t, signal, snr_db, views}, views as lists of ImageData.
function momentOf(frame, table, i, show) {
  return { i, ...levelAt(table, frame.t), views: show(frame) };
}

// The moments of a run from x_start over `timesteps`; with `recipe.size` the second stage's follow.
async function* momentsOf(recipe, { x_start, timesteps, noise, stageSeeds }) {
  const { network, size: side, channels, null_label } = card;
  const opened = await networks;
  const table = network.alphas_cumprod;
  const label = recipe.label ?? null_label ?? 0;
  const pictures = recipe.pictures;
  const all = Array.from({ length: pictures }, (_, n) => n);
  const views = ({ x_t, x_0_hat, eps_hat }) => [
    all.map((n) => imageOf(x_t, n, side, channels)),
    all.map((n) => imageOf(x_0_hat, n, side, channels)),
    ...(eps_hat ? [all.map((n) => imageOf(eps_hat, n, side, channels, NOISE_RANGE))] : []),
  ];
  const process = { table, target: network.target, x_start, timesteps, noise, sampler: recipe.sampler, clip: recipe.clip, eta: recipe.eta };
  let small = x_start;
  for await (const frame of reverseProcess((x, t) => opened.run(x, t, label), process)) {
    yield momentOf(frame, table, frame.index, views);
    small = frame.x_t;
  }
  if (recipe.size) yield* stageMoments(recipe, inLevels(small), timesteps.length + 1, stageSeeds, opened);
}

async function* stageMoments(recipe, small, before, seeds, opened) {
  const { stage, size: side } = card;
  const predict = await opened.stage(stage);
  const table = stage.alphas_cumprod;
  const [pictures, area] = [recipe.pictures, side * side];
  const noise = new SeededNoise(seeds);
  const [eps, z] = [noise.draw(3 * area), noise.draw(BANDS * area)];
  const t = recipe.stage_noise;
  const shown = qSample(alphaBarAt(stage.low_res_alphas_cumprod, t - 1), small, eps);
  const part = (values, n, channels) => values.subarray(n * channels * area, (n + 1) * channels * area);
  const each = Array.from({ length: pictures }, (_, n) => createEnlargement(part(small, n, 3), side, stage.std));
  // The bands with the small picture behind them, picture by picture.
  const joined = (x) => {
    const out = new Float32Array(pictures * (BANDS + 3) * area);
    for (let n = 0; n < pictures; n += 1) {
      out.set(part(x, n, BANDS), n * (BANDS + 3) * area);
      out.set(part(shown, n, 3), (n * (BANDS + 3) + BANDS) * area);
    }
    return out;
  };
  const views = ({ x_t, x_0_hat, eps_hat }) => {
    const show = (z, how, range) => each.map((it, n) => imageOf(how(it, part(z, n, BANDS)), 0, 4 * side, 3, range));
    if (!eps_hat) {
      const last = show(x_t, (it, z) => (recipe.back_projection ? it.backProjected(it.picture(z)) : it.picture(z)));
      return [last, last];
    }
    return [show(x_t, (it, z) => it.picture(z)), show(x_0_hat, (it, z) => it.picture(z)), show(eps_hat, (it, z) => it.noise(z), NOISE_RANGE)];
  };
  const timesteps = spacedTimesteps(recipe.stage_steps, table.length);
  const process = { table, target: stage.target, x_start: z, timesteps, noise, sampler: "dpm-solver-sde", clip: false, s_noise: 1 + stage.s_noise / recipe.stage_steps };
  for await (const frame of reverseProcess((x, at) => predict(joined(x), at, Math.max(0, t - 1)), process)) {
    yield momentOf(frame, table, before + frame.index, views);
  }
}

const seedsFrom = (seed, count) => Array.from({ length: count }, (_, n) => seed + n);

// How a recipe is painted from noise.
function fromNoise(recipe) {
  const noise = new SeededNoise(seedsFrom(recipe.seed, recipe.pictures));
  return {
    x_start: noise.draw(card.channels * card.size ** 2),
    timesteps: spacedTimesteps(recipe.steps, card.network.alphas_cumprod.length, recipe.spacing),
    noise,
    stageSeeds: seedsFrom(recipe.stage_seed ?? 0, recipe.pictures),
  };
}

// How pictures are painted from an x_t at the paper's t, each with noise of its own.
function fromXt(recipe, x_t, t) {
  const T = card.network.alphas_cumprod.length;
  const noise = new SeededNoise(seedsFrom(recipe.seed, recipe.pictures).map((seed) => derivedSeed(seed, WAY_BACK)));
  const timesteps = spacedTimesteps(Math.ceil((recipe.steps * t) / T), t, recipe.spacing);
  // Runs with one seed draw the same noise at the same timestep, wherever they start.
  if (SAMPLERS[recipe.sampler].draws(recipe.eta)) {
    for (let n = timesteps.length; n < recipe.steps; n += 1) noise.draw(x_t.length);
  }
  const x_start = new Float32Array(x_t.length * recipe.pictures);
  for (let n = 0; n < recipe.pictures; n += 1) x_start.set(x_t, n * x_t.length);
  return { x_start, timesteps, noise, stageSeeds: seedsFrom(recipe.stage_seed ?? 0, recipe.pictures) };
}

// Do a run and tell the player; `about` has the title, the file's name and the link of picture n,
// and whether pictures carry their recipe.
async function paint(recipe, how, about, source = "") {
  const mine = (run += 1);
  const before = working;
  let over = null;
  working = new Promise((resolve) => (over = resolve));
  await before;
  try {
    if (mine === run) await painted(mine, recipe, how, about, source);
  } finally {
    over();
  }
}

async function painted(mine, recipe, how, about, source) {
  const side = recipe.size ?? card.size;
  const before = how.timesteps.length;
  const steps = before + (recipe.size ? 1 + recipe.stage_steps : 0);
  const kept = new Set(keptFrames(before, recipe.pictures, card.size));
  if (recipe.size) for (const i of keptFrames(recipe.stage_steps, recipe.pictures, recipe.size)) kept.add(before + 1 + i);
  const name = `${about.run}${token()}`;
  say({
    kind: "start", run: name, title: about.title(recipe), pictures: recipe.pictures, tile: [side, side], steps,
    T: card.network.alphas_cumprod.length, second: recipe.size ? before + 1 : null,
    small: recipe.size ? [card.size, card.size] : null, enlarges: false, picture: recipe.picture, source, views: VIEWS, seq: 0,
  });
  const film = [];
  let [waiting, seq, due, began] = [[], 0, 0, performance.now()];
  for await (const moment of momentsOf(recipe, how)) {
    if (mine !== run) return;
    const { i, t, signal, snr_db, views } = moment;
    if (!i) began = performance.now(); // loading is over
    if (kept.has(i)) {
      film.push(moment);
      waiting.push({ i, t, snr_db, signal, src: await sheetOf(views) });
    }
    if (performance.now() >= due || i === steps) {
      const left = i ? ((performance.now() - began) / i / 1000) * (steps - i) : null;
      say({ kind: "frames", run: name, seq: (seq += 1), frames: waiting, progress: { step: i, steps, t, seconds_left: left } });
      [waiting, due] = [[], performance.now() + PACE];
    }
    await breathe();
    if (mine !== run) return;
  }
  remembered = { run: name, recipe, about, film };
  const pictures = await Promise.all(Array.from({ length: recipe.pictures }, (_, n) => finishedPicture(recipe, n, film, about)));
  if (mine === run) say({ kind: "end", run: name, seq: seq + 1, pictures });
}

async function finishedPicture(recipe, n, film, about) {
  const own = { ...recipe, picture: n };
  const png = (moment, its) => pngOf(canvasOf(moment.views[0][n]), about.carries ? its : null).then(dataUri);
  const before = recipe.size ? film.at(-1).i - recipe.stage_steps - 1 : 0;
  const small = recipe.size ? film.find(({ i }) => i === before) : null;
  return {
    src: await png(film.at(-1), own), name: `${about.file(own)}.png`, recipe: about.title(own), seed: recipe.seed + n,
    link: about.carries ? await toLink(own) : "", nearest: "",
    small: small ? await png(small, smallOf(own)) : "", small_name: small ? `${about.file(smallOf(own))}.png` : "",
  };
}

async function paintRecipe(asked, source) {
  const recipe = completeRecipe(asked, card);
  const about = { run: `${await toLink(recipe)}.`, title: (it) => titleOf(it, card), file: fileNameOf, carries: true };
  return paint(recipe, fromNoise(recipe), about, source);
}

// Paint from pictures that the page noised, and perhaps mixed, to x_t.
function paintFrom({ recipe: asked, x_t, t, title, file }) {
  const recipe = completeRecipe(asked, card);
  const about = { run: "", title: (it) => `${title} · ${titleOf(it, card)}`, file: (it) => `${file}-${fileNameOf(it)}`, carries: false };
  return paint(recipe, fromXt(recipe, x_t, t), about);
}

// ---- files

async function strip({ run: name, picture, view }) {
  if (remembered?.run !== name) throw new Refusal("That run isn't kept any more.", "Paint it again; its strip can then be saved.");
  const { film, recipe, about } = remembered;
  const at = evenly(STRIP_PICTURES, film.length).map((k) => film[k]);
  const images = at.map(({ views }) => canvasOf(views[VIEWS.indexOf(view)][picture]));
  const last = images.at(-1).width;
  const side = last * Math.max(1, Math.ceil(128 / last));
  const [gap, foot] = [Math.max(4, Math.floor(side / 16)), Math.max(24, Math.floor(side / 5))];
  const canvas = new OffscreenCanvas(gap + images.length * (side + gap), gap + side + foot);
  const context = canvas.getContext("2d");
  context.fillStyle = "#faf7f0";
  context.fillRect(0, 0, canvas.width, canvas.height);
  Object.assign(context, { fillStyle: "#22303c", font: `${foot * 0.55}px system-ui, sans-serif`, textAlign: "center", textBaseline: "middle", imageSmoothingQuality: "high" });
  images.forEach((image, n) => {
    const left = gap + n * (side + gap);
    context.drawImage(image, left, gap, side, side);
    context.fillText(`t = ${at[n].t}`, left + side / 2, gap + side + foot / 2);
  });
  const own = { ...recipe, picture };
  const expected = view === "x_t" ? "" : "-expected";
  const src = dataUri(await pngOf(canvas, about.carries ? own : null));
  say({ kind: "download", name: `${about.file(own)}${expected}-strip.png`, src, token: token() });
}

// ---- what the page asks for

const ASKED = {
  async load({ webgpu, card: given }) {
    card = given;
    networks = openNetworks(card, webgpu, (words, share) => say({ kind: "loading", words, share }));
    const { backend, threads, left } = await networks;
    say({ kind: "ready", backend, threads, left });
  },
  paint: ({ recipe, source = "" }) => paintRecipe(recipe, source),
  async whole({ run: name }) {
    return paintRecipe(await fromLink(name.split(".")[0]), name.split(".").at(-1));
  },
  from: paintFrom,
  strip,
  stop: () => (run += 1),
};

addEventListener("message", ({ data: { ask, ...asked } }) => {
  Promise.resolve()
    .then(() => ASKED[ask](asked))
    .catch((error) => (ask === "load" ? say({ kind: "refused", message: error.message, hint: error.hint ?? "Reload the page." }) : fail(error)));
});
