// Networks in the browser: fetched with progress, run by WebGPU or else by WASM, and each checked by
// one stored input, for a backend that computes wrongly is left for the next.

import { Refusal } from "./recipe.js";

const TOLERANCE = 1e-3; // of an output's error, relative to its root mean square
const MAX_THREADS = 8;
const CACHE = "plein-air-networks";
// A module with one SIMD instruction, which only browsers that have SIMD take.
const SIMD = [0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15, 253, 98, 11];

const hex = (buffer) => Array.from(new Uint8Array(buffer), (byte) => byte.toString(16).padStart(2, "0")).join("");

// The bytes at an address; `tell(bytes so far, all)` hears of them as they come.
async function fetched(address, tell = () => {}) {
  const name = address.split("/").at(-1);
  const broken = new Refusal(`${name} could not be loaded whole.`, "Look at the connection, and reload the page.");
  try {
    const answer = await fetch(address);
    if (!answer.ok) throw broken;
    const total = Number(answer.headers.get("content-length") ?? 0);
    const parts = [];
    let count = 0;
    for (const reader = answer.body.getReader(); ; ) {
      const { done, value } = await reader.read();
      if (done) break;
      parts.push(value);
      count += value.length;
      tell(count, total);
    }
    return new Uint8Array(await new Blob(parts).arrayBuffer());
  } catch (error) {
    if (error instanceof RangeError) throw tooLittle();
    throw broken;
  }
}

const tooLittle = () => new Refusal("This device has too little memory for the network.", "Close other pages and programs, and reload the page.");

// A network's file, from the browser's cache where it is there and whole.
async function fetchNetwork({ file, bytes, sha256 }, tell) {
  const right = async (data) => data.length === bytes && (!crypto.subtle || hex(await crypto.subtle.digest("SHA-256", data)) === sha256);
  // Some browsers keep nothing for a page in a private window or a frame.
  const cache = globalThis.caches ? await caches.open(CACHE).catch(() => null) : null;
  const key = `${file}?${sha256}`;
  const kept = await cache?.match(key);
  if (kept) {
    const data = new Uint8Array(await kept.arrayBuffer());
    if (await right(data)) return data;
  }
  const data = await fetched(`./${file}`, (count) => tell(count, bytes));
  if (!(await right(data))) throw new Refusal(`${file} is broken: it isn't the file that was exported.`, "Reload the page; if that doesn't help, export it again.");
  for (const old of (await cache?.keys()) ?? []) if (old.url.split("?")[0].endsWith(file)) await cache.delete(old);
  await cache?.put(key, new Response(data)).catch(() => {}); // no room: it is fetched again next time
  return data;
}

// How far an output is from what is expected, relative to that; NaN where it has NaN.
function errorOf(output, expected) {
  let [wrong, all] = [0, 0];
  for (let i = 0; i < expected.length; i += 1) {
    wrong += (output[i] - expected[i]) ** 2;
    all += expected[i] ** 2;
  }
  return Math.sqrt(wrong / all);
}

async function startRuntime(name, [module, wasm], tell) {
  const at = (file) => new URL(`runtime/${file}`, import.meta.url).href;
  const ort = await import(at(module));
  const threads = crossOriginIsolated ? Math.min(MAX_THREADS, navigator.hardwareConcurrency || 1) : 1;
  Object.assign(ort.env.wasm, {
    numThreads: threads,
    wasmPaths: { mjs: at(`${wasm}.mjs`), wasm: at(`${wasm}.wasm`) },
    wasmBinary: await fetched(at(`${wasm}.wasm`), tell),
  });
  ort.env.logLevel = "error";
  return { ort, name, threads };
}

// Open a network in a runtime, and check it.
async function openIn({ ort, name }, about, data) {
  const session = await ort.InferenceSession.create(data, { executionProviders: [name] });
  async function run(x, t, label = 0) {
    const pictures = x.length / (about.given * about.side ** 2);
    const each = (value) => new ort.Tensor("float32", new Float32Array(pictures).fill(value), [pictures]);
    const feeds = { x: new ort.Tensor("float32", x, [pictures, about.given, about.side, about.side]), t: each(t) };
    if (about.label !== null) feeds.label = each(label);
    return (await session.run(feeds)).out.data;
  }
  const check = new Float32Array((await fetched(`./${about.check}`)).buffer);
  const x = check.slice(0, about.given * about.side ** 2);
  const error = errorOf(await run(x, about.t, about.label ?? 0), check.subarray(x.length));
  if (!(error < TOLERANCE)) throw new Error(`${name} computes wrongly: the error is ${error}`);
  return run;
}

// The networks of `card`; `tell(words, share)` hears how far loading is. `webgpu` says whether the
// page has found a GPU.
export async function openNetworks(card, webgpu, tell) {
  if (!WebAssembly.validate(new Uint8Array(SIMD))) {
    throw new Refusal("This browser can't run the network: it has no WebAssembly with SIMD.", "Take one of the last three years.");
  }
  const megabytes = (count) => (count / 1e6).toFixed(0);
  const loading = (what) => (count, all) => tell(`loading ${what}: ${megabytes(count)} of ${all ? megabytes(all) : "?"} MB`, all ? count / all : 0);
  const data = await fetchNetwork(card.network, loading("the network"));
  const left = [];
  let [runtime, run] = [null, null];
  for (const name of webgpu ? ["webgpu", "wasm"] : ["wasm"]) {
    try {
      runtime = await startRuntime(name, card.backends[name], loading("what runs it"));
      tell("trying the network", 1);
      run = await openIn(runtime, card.network, data);
      break;
    } catch (error) {
      if (error instanceof Refusal) throw error;
      left.push(String(error.message ?? error));
    }
  }
  if (!run) throw /memory|alloc/i.test(left.at(-1)) ? tooLittle() : new Refusal(`The network can't be run in this browser. ${left.at(-1)}`, "Try another browser.");
  let stage = null;
  return {
    backend: runtime.name,
    threads: runtime.threads,
    left,
    run,
    // The second stage's network is loaded when it is first asked for.
    async stage(about) {
      stage ??= openIn(runtime, about, await fetchNetwork(about, loading("the second stage")));
      return stage;
    },
  };
}
