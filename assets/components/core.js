// What the laboratories' instruments share: a place for each tab's t and picture, words, canvases.

// What components call when they are put on the page (see app/ui/components/instrument.py), and
// events; each script adds the mounts that it has.
window.pleinAir = {
  share,
  showPlayer,
  // Which picture of which run the Paint tab shows, as JSON; "null" where there is none.
  painted() {
    const player = document.querySelector(".player[data-run]");
    const pressed = player?.querySelector("[data-picture][aria-pressed=true]");
    if (!pressed) return "null";
    const { dataset, held: recipe } = player;
    return JSON.stringify({ run: dataset.run, recipe, picture: Number(pressed.dataset.picture) });
  },
};

const LINE_MS = 500; // between two looks at the place in the line
const OPENING_FRAMES = 120; // in which a panel opens, even on a slow machine

// Bring the first picture of a tab's player into view; its panel may be about to open.
async function showPlayer(tab) {
  for (let frame = 0; frame < OPENING_FRAMES; frame += 1) {
    const player = document.querySelector(`#${tab} .player`);
    if (player?.checkVisibility()) {
      const { top, bottom } = player.querySelector(".player-box").getBoundingClientRect();
      if (top < 0 || bottom > window.innerHeight) player.scrollIntoView();
      return;
    }
    await new Promise(requestAnimationFrame);
  }
}

const COLOURS = ["--lily", "--ochre", "--accent", "--wisteria", "--poppy"]; // poppy is t's own
const benches = new Map(); // tab -> {t, T, material, ...}

function bench(tab) {
  if (!benches.has(tab)) benches.set(tab, { t: 500, T: 1000, mix: 0.5, rule: "variance_kept" });
  return benches.get(tab);
}

// Set something that a tab's instruments share, and tell them.
function share(tab, change) {
  Object.assign(bench(tab), change);
  document.dispatchEvent(new CustomEvent("plein-air:bench", { detail: { tab, change } }));
}

// Call `act(bench, change)` now and whenever one of `names` changes in the tab; once a frame at most.
function follow(root, tab, names, act) {
  let due = false;
  const now = () => {
    due = false;
    if (root.isConnected) act(bench(tab));
  };
  const listen = ({ detail }) => {
    if (!root.isConnected) return document.removeEventListener("plein-air:bench", listen);
    if (detail.tab !== tab || due || !names.some((name) => name in detail.change)) return;
    due = true;
    requestAnimationFrame(now);
  };
  document.addEventListener("plein-air:bench", listen);
  new ResizeObserver(() => {
    if (due) return;
    due = true;
    requestAnimationFrame(now);
  }).observe(root);
  act(bench(tab));
}

// Deal with each message in turn; `deal` has a function for each kind.
function receiveBy({ props, watch }, deal) {
  let queue = Promise.resolve();
  const receive = () => {
    if (!props.value) return;
    const message = JSON.parse(props.value);
    document.dispatchEvent(new CustomEvent("plein-air:message", { detail: message.kind }));
    queue = queue.then(() => deal[message.kind]?.(message)).catch((error) => console.error(error));
  };
  watch("value", receive);
  receive();
}

async function bitmapOf(src) {
  return createImageBitmap(blobOf(src));
}

function bytesOf(base64) {
  const text = atob(base64);
  return Uint8Array.from({ length: text.length }, (_, i) => text.charCodeAt(i));
}

function floats16(base64) {
  const words = new Uint16Array(bytesOf(base64).buffer);
  return Float32Array.from(words, (word) => {
    const sign = word & 0x8000 ? -1 : 1;
    const exponent = (word >> 10) & 31;
    const fraction = word & 1023;
    return sign * (exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : 2 ** -24 * fraction);
  });
}

// The pixels of a picture as x_0 in [-1, 1], channels last.
function pixelsOf(bitmap) {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [bitmap.width, bitmap.height];
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  const { data } = context.getImageData(0, 0, bitmap.width, bitmap.height);
  const values = new Float32Array((data.length / 4) * 3);
  for (let i = 0, j = 0; i < data.length; i += 4) {
    for (let c = 0; c < 3; c += 1, j += 1) values[j] = data[i + c] / 127.5 - 1;
  }
  return values;
}

const small = new Map(); // a canvas for each size of picture

// Draw values in [-1, 1] (side x side x 3) on a canvas of any size; ImageData rounds and clips.
function drawValues(canvas, values, side) {
  if (!small.has(side)) {
    const made = document.createElement("canvas");
    [made.width, made.height] = [side, side];
    small.set(side, made.getContext("2d"));
  }
  const context = small.get(side);
  const image = context.createImageData(side, side);
  for (let i = 0, j = 0; j < values.length; i += 4) {
    for (let c = 0; c < 3; c += 1, j += 1) image.data[i + c] = (values[j] / 2 + 0.5) * 255;
    image.data[i + 3] = 255;
  }
  context.putImageData(image, 0, 0);
  paintTiles(canvas, [[context.canvas, 0, 0, side, side]], {});
}

// x_t in closed form, eq. 4.
function noised(x0, eps, alphaBar) {
  const [a, b] = [Math.sqrt(alphaBar), Math.sqrt(1 - alphaBar)];
  return Float32Array.from(x0, (value, i) => a * value + b * eps[i]);
}

function gaussian(length) {
  const values = new Float32Array(length);
  for (let i = 0; i < length; i += 2) {
    const radius = Math.sqrt(-2 * Math.log(1 - Math.random()));
    const angle = 2 * Math.PI * Math.random();
    values[i] = radius * Math.cos(angle);
    if (i + 1 < length) values[i + 1] = radius * Math.sin(angle);
  }
  return values;
}

function moments(values) {
  let [sum, squares] = [0, 0];
  for (const value of values) {
    sum += value;
    squares += value * value;
  }
  const mean = sum / values.length;
  return { mean, std: Math.sqrt(Math.max(0, squares / values.length - mean * mean)) };
}

function snrDb(alphaBar) {
  return alphaBar >= 1 ? null : 10 * Math.log10(alphaBar / (1 - alphaBar));
}

// As the service's evenly_spaced, which rounds a half to the even number, as Python does.
function evenly(count, total) {
  if (total <= count) return Array.from({ length: total }, (_, i) => i);
  return Array.from({ length: count }, (_, i) => {
    const exact = (i * (total - 1)) / (count - 1);
    const up = Math.round(exact);
    return up - exact === 0.5 && up % 2 ? up - 1 : up;
  });
}

function number(value, digits = 3) {
  if (value === null || value === undefined) return "–";
  if (value === 0) return "0";
  const size = Math.abs(value);
  const text = size >= 1e4 || size < 1e-3 ? value.toExponential(1) : value.toPrecision(digits);
  return text.replace(/e([+-])0?(\d+)/, (_, sign, power) => `e${sign === "-" ? "−" : ""}${power}`)
    .replace(/^-/, "−");
}

// "1 step", "1,000 steps"
function counted(count, noun) {
  return `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;
}

function escaped(text) {
  const span = document.createElement("span");
  span.textContent = text;
  return span.innerHTML;
}

// A table of pictures: `cell(row, column, words)` is a cell's HTML, and so are the headings.
function gridTable(place, rows, columns, cell) {
  place.style.setProperty("--columns", columns.length);
  place.style.setProperty("--rows", rows.length);
  const [said, above] = [rows, columns].map((names) => names.map((name) => name.replace(/<[^>]*>/g, "")));
  const line = (cells) => `<div role="row" class="lab-grid-row">${cells.join("")}</div>`;
  place.innerHTML = line(['<span role="cell"></span>', ...columns.map((name) => `<b role="columnheader">${name}</b>`)]) +
    rows.map((name, row) => line([`<b role="rowheader">${name}</b>`, ...columns.map((_, n) => cell(row, n, `${said[row]}, ${above[n]}`))])).join("");
}

function save({ name, src }) {
  const anchor = document.createElement("a");
  anchor.href = src;
  anchor.download = name;
  anchor.click();
}

// The line over something that goes on: what is said, and a button that stops it.
function statusLine(root, trigger, name) {
  const line = root.querySelector(".lab-status");
  line.innerHTML = `<p class="lab-progress" role="status" aria-live="polite"></p>
    <button type="button" class="lab-quiet lab-stop">Stop</button>`;
  const words = line.querySelector(".lab-progress");
  const state = (value) => (root.dataset.state = value);
  line.querySelector(".lab-stop").addEventListener("click", () => {
    trigger("stop", { name });
    if (root.dataset.state !== "live") return;
    state("stopped");
    words.textContent = `stopped · ${words.textContent.replace(/ · [^·]* left$/, "")}`;
  });
  state("idle");
  followLine(root, words);
  return { say: (text) => (words.textContent = text), state };
}

// Say the place in the line of what a component was asked for; Gradio tells it to the component's
// status tracker alone, which the styles hide.
function followLine(root, words, say = (text) => (words.textContent = text)) {
  let said = "";
  const looking = setInterval(() => {
    if (!root.isConnected) return clearInterval(looking);
    const tracker = root.closest(".block").querySelector(":scope > [data-testid=status-tracker]");
    const place = /queue: (\d+)\/(\d+)/.exec(tracker?.textContent ?? "");
    if (!place && said && words.textContent === said) say("");
    said = place ? `in line: ${place[1]} of ${place[2]}` : "";
    if (said && words.textContent !== said) say(said);
    root.toggleAttribute("data-line", Boolean(place));
  }, LINE_MS);
}

function maths(base, { sub = "" } = {}) {
  return `<span class="lab-maths"><i>${base}</i>${sub ? `<sub>${sub}</sub>` : ""}</span>`;
}
