// Recipes, as app/painting/recipe.py writes and reads them: in a PNG's text, in links, in words.
//
// What is read comes from anywhere: types and ranges are checked, unknown fields refused.

import { SAMPLERS } from "./diffusion.js";

const KEY = "plein-air-recipe";
const LABORATORY = "plein-air-laboratory";
const MAX_JSON = 500_000;
const MAX_SEED = 2 ** 32 - 1;
const MAX_PICTURES = 16;
const SIGNATURE = [137, 80, 78, 71, 13, 10, 26, 10];

// What can't be done, in a sentence, and what to do about it.
export class Refusal extends Error {
  constructor(message, hint = "") {
    super(message);
    this.hint = hint;
  }
}

const whole = (low, high) => (value) => Number.isInteger(value) && value >= low && value <= high;
const oneOf = (...values) => (value) => values.includes(value);
const real = (low, high) => (value) => Number.isFinite(value) && value >= low && value <= high;
const text = (value) => typeof value === "string";
const hash = (value) => /^([0-9a-f]{64})?$/.test(value);

// What only the full studio paints.
const ELSEWHERE = {
  variation_seed: "it is a variation of another seed's picture",
  variation_strength: "it is a variation of another seed's picture",
  source: "it starts from a picture",
  mask: "it paints a part anew",
  start_t: "it starts from a picture",
  resampling: "it paints a part anew",
  step_t: "its steps are a list of their own",
  step_eta: "its steps are a list of their own",
};

const FIELDS = {
  format: oneOf("plein-air/2"),
  model: text,
  weights: hash,
  sampler: text,
  steps: whole(1, 1000),
  spacing: oneOf("leading", "even", "trailing", "linspace"),
  eta: real(0, 1),
  clip: oneOf(true, false),
  seed: whole(0, MAX_SEED),
  pictures: whole(1, MAX_PICTURES),
  picture: whole(0, MAX_PICTURES - 1),
  precision: oneOf("exact", "fast"),
  label: (value) => text(value) || whole(0, 99999)(value),
  guidance_scale: real(1, 20),
  guidance_from: whole(0, 10000),
  guidance_to: whole(0, 10000),
  size: whole(1, 4096),
  stage: text,
  stage_weights: hash,
  stage_steps: whole(1, 100),
  stage_seed: whole(0, MAX_SEED),
  stage_noise: whole(0, 10000),
  back_projection: oneOf(true, false),
  stage_truncation: whole(0, 10000),
  parent: (value) => typeof value === "object",
  frame: whole(0, 1000),
  versions: (value) => typeof value === "object",
  ...Object.fromEntries(Object.keys(ELSEWHERE).map((name) => [name, () => true])),
};

const DEFAULTS = {
  weights: "", sampler: "dpm-solver-sde", steps: 50, spacing: "trailing", eta: 0, clip: true, seed: 0,
  pictures: 1, picture: 0, precision: "exact", guidance_scale: 1,
};
const STAGE = { stage_weights: "", stage_steps: 12, stage_seed: 0, stage_noise: 0, back_projection: true, stage_truncation: 0 };

// Read a recipe's JSON; a field that is missing has its default.
export function parseRecipe(json) {
  const damaged = "Take it from the PNG or the link once more.";
  if (json.length > MAX_JSON) throw new Refusal("The recipe is longer than any that is written here.", damaged);
  let recipe = null;
  try {
    recipe = JSON.parse(json);
  } catch {
    throw new Refusal("The recipe's JSON is damaged.", damaged);
  }
  if (recipe === null || typeof recipe !== "object" || Array.isArray(recipe)) throw new Refusal("The recipe's JSON is no object.", damaged);
  for (const [name, value] of Object.entries(recipe)) {
    if (value === null) delete recipe[name];
    else if (!Object.hasOwn(FIELDS, name)) throw new Refusal(`The recipe can't be used: ${name} is no field of it.`, "Leave that out.");
    else if (!FIELDS[name](value)) throw new Refusal(`The recipe can't be used: its ${name} is ${JSON.stringify(value).slice(0, 40)}.`, "Open it in the full studio.");
  }
  return { ...DEFAULTS, ...(recipe.size ? STAGE : {}), ...recipe };
}

// The recipe as it will be painted here; a Refusal names the field that stands in the way.
export function completeRecipe(asked, card) {
  const recipe = { ...asked };
  const refuse = (field, why, hint = "Open it in the full studio.") => {
    throw new Refusal(`This page can't paint that recipe because of its ${field}: ${why}.`, hint);
  };
  if (recipe.model !== card.model) refuse("model", `it is ${recipe.model}, and here is ${card.model}`);
  if (recipe.weights && recipe.weights !== card.weights) refuse("weights", `they are others than those of ${card.model} here`);
  if (recipe.parent) refuse("parent", "it is a branch of another run");
  for (const [name, why] of Object.entries(ELSEWHERE)) {
    if (recipe[name] !== undefined) refuse(name, why);
  }
  if (!card.samplers.includes(recipe.sampler)) refuse("sampler", `${recipe.sampler} isn't among ${card.samplers.join(", ")}`);
  if (recipe.steps > card.most_steps) refuse("steps", `${recipe.steps} are more than the model's ${card.most_steps}`);
  if (recipe.picture >= recipe.pictures) refuse("picture", `there is no picture ${recipe.picture} of ${recipe.pictures}`);
  recipe.label = labelOf(recipe.label, card, refuse);
  if (recipe.guidance_scale !== 1 && recipe.label !== undefined) refuse("guidance_scale", "nothing is guided here");
  if (recipe.size === card.size) delete recipe.size;
  if (recipe.size) {
    if (!card.stage) refuse("size", `pictures are ${card.size} px here`);
    if (recipe.size !== 4 * card.size) refuse("size", `it is neither ${card.size} nor ${4 * card.size}`);
    if ((recipe.stage ?? card.stage.id) !== card.stage.id) refuse("stage", `it is ${recipe.stage}, and here is ${card.stage.id}`);
    if (recipe.stage_weights && recipe.stage_weights !== card.stage.weights) refuse("stage_weights", `they are others than those of ${card.stage.id} here`);
    if (recipe.stage_truncation) refuse("stage_truncation", "the second stage begins with a finished picture here");
    if (recipe.stage_steps > card.stage.most_steps) refuse("stage_steps", `${recipe.stage_steps} are more than the stage's ${card.stage.most_steps}`);
    if (recipe.stage_noise > card.stage.low_res_noise) refuse("stage_noise", `the stage knows noise up to t = ${card.stage.low_res_noise}`);
    Object.assign(recipe, { stage: card.stage.id, stage_weights: card.stage.weights });
  } else {
    for (const name of ["stage", ...Object.keys(STAGE)]) delete recipe[name];
  }
  const versions = { plein_air: card.version, torch: "", diffusers: "" };
  // What is computed here is float32, whatever was asked for.
  return { format: "plein-air/2", ...recipe, weights: card.weights, precision: "exact", versions };
}

function labelOf(asked, { labels, null_label }, refuse) {
  if (asked === undefined || asked === "any") {
    if (labels.length && null_label === null) refuse("label", `it has to be one of ${labels.join(", ")}`);
    return undefined;
  }
  if (!labels.length) refuse("label", "the model has no classes");
  const number = text(asked) ? labels.findIndex((name) => name.toLowerCase() === asked.toLowerCase()) : asked;
  if (number < 0 || number >= labels.length) refuse("label", `the model has no class ${asked}`);
  return number;
}

// ---- words

export function titleOf(recipe, { labels }) {
  const eta = recipe.sampler === "ddim" ? ` · eta ${recipe.eta}` : "";
  const label = recipe.label === undefined ? "" : ` · ${labels[recipe.label]}`;
  const large = recipe.size ? ` · ${recipe.size} px, brushwork ${recipe.stage_seed + recipe.picture}` : "";
  const steps = `${recipe.steps} step${recipe.steps === 1 ? "" : "s"}`;
  return `${SAMPLERS[recipe.sampler].label}${eta} · ${steps} · seed ${recipe.seed + recipe.picture}${label}${large} · ${recipe.precision}`;
}

export function fileNameOf(recipe) {
  const large = recipe.size ? `-${recipe.size}px-${recipe.stage_seed + recipe.picture}` : "";
  return `${recipe.model.replaceAll("/", "-")}-${recipe.sampler}-${recipe.steps}-seed-${recipe.seed + recipe.picture}${large}`;
}

// The same recipe at the model's own size.
export function smallOf(recipe) {
  const small = { ...recipe };
  for (const name of ["size", "stage", ...Object.keys(STAGE)]) delete small[name];
  return small;
}

// ---- links

const through = async (bytes, stream) => new Uint8Array(await new Response(new Blob([bytes]).stream().pipeThrough(stream)).arrayBuffer());
const inflate = (bytes) => through(bytes, new DecompressionStream("deflate"));

export function base64(bytes) {
  let binary = "";
  for (let i = 0; i < bytes.length; i += 0x8000) binary += String.fromCharCode(...bytes.subarray(i, i + 0x8000));
  return btoa(binary);
}

export async function toLink(recipe) {
  const bytes = new TextEncoder().encode(JSON.stringify(recipe));
  return base64(await through(bytes, new CompressionStream("deflate"))).replaceAll("+", "-").replaceAll("/", "_");
}

export async function fromLink(link) {
  let json = "";
  try {
    const binary = atob(link.slice(0, MAX_JSON).replaceAll("-", "+").replaceAll("_", "/"));
    json = new TextDecoder().decode(await inflate(Uint8Array.from(binary, (c) => c.charCodeAt(0))));
  } catch {
    throw new Refusal("The link's recipe is damaged.", "Copy the whole link again; mail programs sometimes break long ones.");
  }
  return parseRecipe(json);
}

// ---- PNGs

function* chunksOf(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = SIGNATURE.length; at + 12 <= bytes.length; at += 12 + view.getUint32(at)) {
    const name = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
    yield [name, bytes.subarray(at + 8, at + 8 + view.getUint32(at))];
  }
}

// The recipe in a PNG file's text.
export async function recipeIn(bytes) {
  const hint = "Drop a PNG that was saved here or in the studio; other programs may have removed its recipe.";
  if (!SIGNATURE.every((byte, i) => bytes[i] === byte)) throw new Refusal("The file is no PNG that can be read.", hint);
  for (const [name, body] of chunksOf(bytes)) {
    if (!["iTXt", "tEXt", "zTXt"].includes(name)) continue;
    const key = new TextDecoder("latin1").decode(body.subarray(0, body.indexOf(0)));
    if (key === LABORATORY) throw new Refusal("This picture is a laboratory's experiment, not a painting.", "Open it in the full studio.");
    if (key !== KEY) continue;
    try {
      return parseRecipe(await textOf(name, body.subarray(key.length + 1)));
    } catch (error) {
      if (error instanceof Refusal) throw error;
      throw new Refusal("The picture's recipe is damaged.", hint);
    }
  }
  throw new Refusal("The picture has no recipe in it.", hint);
}

async function textOf(kind, body) {
  if (kind === "tEXt") return new TextDecoder("latin1").decode(body);
  if (kind === "zTXt") return new TextDecoder("latin1").decode(await inflate(body.subarray(1)));
  const language = body.indexOf(0, 2);
  const words = body.subarray(body.indexOf(0, language + 1) + 1);
  return new TextDecoder().decode(body[0] ? await inflate(words) : words);
}

const CRC = Uint32Array.from({ length: 256 }, (_, n) => {
  let c = n;
  for (let k = 0; k < 8; k += 1) c = c & 1 ? (c >>> 1) ^ 0xedb88320 : c >>> 1;
  return c;
});

function crcOf(bytes) {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = (crc >>> 8) ^ CRC[(crc ^ byte) & 255];
  return (crc ^ 0xffffffff) >>> 0;
}

// A canvas's PNG file; with the recipe in its text, if there is one.
export async function pngOf(canvas, recipe = null) {
  const bytes = new Uint8Array(await (await canvas.convertToBlob({ type: "image/png" })).arrayBuffer());
  if (!recipe) return bytes;
  const body = new TextEncoder().encode(`iTXt${KEY}\0\0\0\0\0${JSON.stringify(recipe)}`);
  const chunk = new Uint8Array(body.length + 8);
  const view = new DataView(chunk.buffer);
  view.setUint32(0, body.length - 4);
  chunk.set(body, 4);
  view.setUint32(body.length + 4, crcOf(body));
  const head = SIGNATURE.length + 25; // IHDR comes first, and is as long in every PNG
  const whole = new Uint8Array(bytes.length + chunk.length);
  whole.set(bytes.subarray(0, head));
  whole.set(chunk, head);
  whole.set(bytes.subarray(head), head + chunk.length);
  return whole;
}
