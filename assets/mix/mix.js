// Mixing two pictures at x_t in the browser: both noised, their mixture, and the noise's variance.

const RULES = {
  linear: { colour: "--lily" },
  shared: { colour: "--ochre" },
  variance_kept: { colour: "--accent", dash: "8 8" },
  slerp: { colour: "--poppy", dash: "2 6" },
};
const NEARLY_PARALLEL = 0.9995;
const REST_MS = 400;

// Weights of the signals and of the noises; slerp's need the angle between the two x_t.
function mixWeights(rule, mix, angle) {
  const line = [1 - mix, mix];
  if (rule === "variance_kept") return [line, line.map((w) => w / Math.hypot(...line))];
  if (rule !== "slerp" || angle === null) return [line, line];
  const arc = line.map((w) => Math.sin(w * angle) / Math.sin(angle));
  return [arc, arc];
}

const varianceKept = (rule, [w1, w2]) => (rule === "shared" ? (w1 + w2) ** 2 : w1 * w1 + w2 * w2);

function angleBetween(a, b) {
  let [dot, aa, bb] = [0, 0, 0];
  for (let i = 0; i < a.length; i += 1) {
    dot += a[i] * b[i];
    aa += a[i] * a[i];
    bb += b[i] * b[i];
  }
  const cosine = aa && bb ? dot / Math.sqrt(aa * bb) : 1;
  return Math.abs(cosine) > NEARLY_PARALLEL ? null : Math.acos(cosine);
}

function mountMixture(root, { props, watch, tab }) {
  const figure = (view, symbols, words) => `<figure><figcaption>${symbols}<span>${words}</span></figcaption>
    <div class="lab-box"><canvas data-view="${view}" role="img" aria-label="${words}"></canvas></div></figure>`;
  root.innerHTML = `
  <section class="lab-stage lab-four" aria-label="two pictures mixed at t">
    ${figure("first", maths("x", { sub: "t" }), "of A")}
    ${figure("mixed", maths("x̄", { sub: "t" }), "the mixture")}
    ${figure("second", maths("x′", { sub: "t" }), "of B")}
    <div class="lab-variance"></div>
  </section>
  <dl class="lab-readout">
    <div><dt>this rule leaves of the noise's variance</dt><dd data-read="kept">–</dd></div>
    <div><dt>variance of the mixed ${maths("x", { sub: "t" })}</dt><dd data-read="variance">–</dd></div>
    <div><dt>of A's and B's</dt><dd data-read="alone">–</dd></div>
  </dl>`;
  const find = (selector) => root.querySelector(selector);
  const write = (name, text) => (find(`[data-read=${name}]`).textContent = text);

  function show({ t, mix, rule, pair }) {
    if (!pair) return;
    const { first, second, side, alphaBar } = pair;
    const a = alphaBar[Math.min(t, alphaBar.length - 1)];
    const [s, n] = [Math.sqrt(a), Math.sqrt(1 - a)];
    const secondEps = rule === "shared" ? first.eps : second.eps;
    const x1 = noised(first.x0, first.eps, a);
    const x2 = noised(second.x0, secondEps, a);
    const angle = angleBetween(x1, rule === "slerp" ? x2 : noised(second.x0, second.eps, a));
    const [u, w] = mixWeights(rule, mix, angle);
    const mixed = x1.map((_, i) => s * (u[0] * first.x0[i] + u[1] * second.x0[i]) + n * (w[0] * first.eps[i] + w[1] * secondEps[i]));
    drawValues(find("[data-view=first]"), x1, side);
    drawValues(find("[data-view=mixed]"), mixed, side);
    drawValues(find("[data-view=second]"), x2, side);
    const series = Object.entries(RULES).map(([name, look]) => ({
      ...look,
      name: name.replace("_", " "),
      points: Array.from({ length: 41 }, (_, i) => [i / 40, varianceKept(name, mixWeights(name, i / 40, angle)[1])]),
    }));
    find(".lab-variance").innerHTML = plotSvg({
      title: "noise variance left",
      x: { label: "λ, A to B", range: [0, 1] },
      y: { label: "", range: [0, 1.1] },
      series,
      marker: mix,
      mark: "--wisteria",
    }) + legendOf(series);
    write("kept", `${(varianceKept(rule, w) * 100).toFixed(0)} %`);
    const variance = (values) => ((moments(values).std / (first.deviation ?? 1)) ** 2).toFixed(3);
    write("variance", variance(mixed));
    write("alone", `${variance(x1)}, ${variance(x2)}`);
    Object.assign(root.dataset, { t, mix, rule, ready: "true" });
  }

  follow(root, tab, ["t", "mix", "rule", "pair"], show);
  receiveBy({ props, watch }, {
    async pair(message) {
      const [first, second] = await Promise.all([message.first, message.second].map(materialOf));
      share(tab, { pair: { key: message.key, first, second, side: first.side, alphaBar: message.first.alpha_bar }, material: first });
    },
  });
}

const enlargeMarkup = (title) => `<button type="button" class="lab-quiet" data-ask="enlarge" title="${title}" hidden>× 4</button>`;

// The button that asks for a second stage: there where a run can have one, once the run is over.
function enlargeButton(root) {
  const button = root.querySelector("[data-ask=enlarge]");
  return { show: (there, now) => ([button.hidden, button.disabled] = [!there, !now]) };
}

// The grid: its cells are filled as rows arrive.
function mountGrid(root, { trigger, props, watch }) {
  root.innerHTML = `<div class="lab-status"></div><div class="lab-grid" role="table"></div>
    <div class="lab-actions"><span class="lab-actions-name">save</span>
    <button type="button" class="lab-quiet" data-ask="png" disabled title="the labelled grid with its recipe inside">PNG</button>
    ${enlargeMarkup("the same pictures, painted anew four times as large; the saved grid shows it")}</div>`;
  const place = root.querySelector(".lab-grid");
  const status = statusLine(root, trigger, "grid");
  const enlarge = enlargeButton(root);
  const button = root.querySelector("[data-ask=png]");
  for (const each of root.querySelectorAll("[data-ask]")) {
    each.addEventListener("click", () => {
      trigger("select", { ask: each.dataset.ask });
      if (each.dataset.ask !== "enlarge") working(each); // which says how far it is
    });
  }
  let grid = null;

  async function start(message) {
    if (!message.live && grid) return; // kept for the first sight
    grid = message;
    const { columns, rows } = message;
    gridTable(place, rows, columns, (row, column, words) =>
      `<canvas role="cell" data-row="${row}" data-column="${column}" aria-label="${words}"></canvas>`);
    const ends = await Promise.all([message.first, message.second].map(bitmapOf));
    rows.forEach((_, row) => ends.forEach((image, n) => paintCell(row, n ? columns.length - 1 : 0, [image, 0, 0, image.width, image.height])));
    root.dataset.rows = "0";
    root.dataset.run = message.run;
    status.state(message.live ? "live" : "idle");
    status.say(message.words);
    button.disabled = true;
    for (const each of message.parts) await part(each);
    enlarge.show(message.enlarges, !message.live);
  }

  function paintCell(row, column, tile) {
    const canvas = place.querySelector(`[data-row="${row}"][data-column="${column}"]`);
    if (!paintTiles(canvas, [tile], {})) return;
    canvas.dataset.filled = "true";
  }

  async function part(message) {
    if (message.run !== grid?.run) return;
    const [width, height] = message.tile;
    const pitch = Math.ceil(width / 8) * 8;
    const sheet = await bitmapOf(message.src);
    for (let n = 0; n < grid.columns.length - 2; n += 1) paintCell(message.place, n + 1, [sheet, n * pitch, 0, width, height]);
    if (message.finished) {
      root.dataset.rows = message.place + 1;
      root.dataset.tile = width;
    }
    button.disabled = false;
    if (root.dataset.state === "live") status.say(message.words);
  }

  function end(message) {
    if (message.run !== grid?.run) return;
    status.state("finished");
    status.say(message.words);
    enlarge.show(grid.enlarges, true);
  }

  receiveBy({ props, watch }, {
    grid: start,
    part,
    end,
    download: save,
    error({ message, hint }) {
      status.state("failed");
      status.say(`${message} ${hint}`);
    },
  });
}

// A morph: its frames in a row, one of them large, a slider over them.
function mountMorph(root, { trigger, props, watch, tab }) {
  root.innerHTML = `<div class="lab-status"></div>
    <div class="lab-morph"><canvas class="lab-large" role="img" aria-label="a frame of the morph"></canvas>
    <div><div class="lab-slider" role="slider" tabindex="0" aria-label="frame of the morph" aria-valuemin="0" aria-valuemax="0" aria-valuenow="0">
    <span data-end="0">A</span><div class="lab-track"><i></i><b></b></div><span data-end="1">B</span></div>
    <div class="lab-frames"></div>
    <div class="lab-actions"><button type="button" class="lab-quiet" data-play>Play</button><span class="lab-actions-name">save</span>
    ${["gif", "webp", "strip"].map((ask) => `<button type="button" class="lab-quiet" data-ask="${ask}" disabled>${{ gif: "GIF", webp: "WebP", strip: "Strip" }[ask]}</button>`).join("")}
    ${enlargeMarkup("the same frames, painted anew four times as large, with one brushwork for all")}</div></div></div>`;
  const find = (selector) => root.querySelector(selector);
  const status = statusLine(root, trigger, "morph");
  const enlarge = enlargeButton(root);
  const slider = find(".lab-slider");
  let morph = null;
  let tiles = [];
  let at = 0;
  let timer = 0;

  function go(to) {
    at = Math.max(0, Math.min(tiles.length - 1, to));
    root.style.setProperty("--at", tiles.length > 1 ? at / (tiles.length - 1) : 0);
    slider.setAttribute("aria-valuenow", at);
    slider.setAttribute("aria-valuetext", `frame ${at + 1}, ${morph?.labels[at] ?? ""}`);
    if (tiles[at]) paintTiles(find(".lab-large"), [tiles[at]], {});
    [...find(".lab-frames").children].forEach((figure, n) => figure.toggleAttribute("aria-current", n === at));
  }

  function play() {
    clearInterval(timer);
    timer = timer ? 0 : setInterval(() => go((at + 1) % tiles.length), 120);
    find("[data-play]").textContent = timer ? "Pause" : "Play";
  }

  async function start(message) {
    if (!message.live && morph) return; // kept for the first sight
    if (timer) play();
    morph = message;
    tiles = Array.from({ length: message.labels.length }, () => null);
    buildRow(find(".lab-frames"), tiles.length, "a frame of the morph");
    [...find(".lab-frames").children].forEach((figure, n) => {
      figure.querySelector("figcaption").textContent = message.labels[n];
      const canvas = figure.querySelector("canvas");
      canvas.getContext("2d").clearRect(0, 0, canvas.width, canvas.height);
    });
    message.ends.forEach((name, n) => (find(`[data-end="${n}"]`).textContent = name));
    slider.setAttribute("aria-valuemax", tiles.length - 1);
    root.dataset.frames = "0";
    root.dataset.run = message.run;
    savable(false);
    enlarge.show(message.enlarges, !message.live);
    status.state(message.live ? "live" : "idle");
    status.say(message.words);
    for (const each of message.parts) await part(each);
    go(message.live ? 0 : tiles.length >> 1);
  }

  async function part(message) {
    if (message.run !== morph?.run) return;
    const sheet = await bitmapOf(message.src);
    const [width, height] = message.tile;
    const pitch = Math.ceil(width / 8) * 8;
    for (let n = 0; n < sheet.width / pitch; n += 1) {
      tiles[message.place + n] = [sheet, n * pitch, 0, width, height];
      paintTiles(find(".lab-frames").children[message.place + n].querySelector("canvas"), [tiles[message.place + n]], {});
    }
    if (message.finished) {
      root.dataset.frames = message.place + sheet.width / pitch;
      root.dataset.tile = width;
      savable(true);
    }
    if (root.dataset.state === "live") status.say(message.words);
    go(at);
  }

  function end(message) {
    if (message.run !== morph?.run) return;
    status.state("finished");
    status.say(message.words);
    enlarge.show(morph.enlarges, true);
  }

  function savable(now) {
    for (const ask of ["gif", "webp", "strip"]) find(`[data-ask=${ask}]`).disabled = !now;
  }

  root.addEventListener("click", (event) => {
    const ask = event.target.closest("[data-ask]");
    if (!ask) return;
    trigger("select", { ask: ask.dataset.ask });
    if (ask.dataset.ask !== "enlarge") working(ask);
    else if (event.target.closest("[data-play]")) play();
    const figure = event.target.closest(".lab-frames figure");
    if (figure) go([...figure.parentElement.children].indexOf(figure));
  });
  const drag = (event) => {
    const box = find(".lab-track").getBoundingClientRect();
    go(Math.round(((event.clientX - box.left) / box.width) * (tiles.length - 1)));
  };
  slider.addEventListener("pointerdown", (event) => {
    slider.setPointerCapture(event.pointerId);
    drag(event);
  });
  slider.addEventListener("pointermove", (event) => slider.hasPointerCapture(event.pointerId) && drag(event));
  slider.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1, Home: -tiles.length, End: tiles.length }[event.key];
    if (!by) return;
    event.preventDefault();
    go(at + by);
  });

  // Where t comes to rest, how long a morph would take is asked anew, if anybody sees it.
  let [rests, asked] = [0, bench(tab).t];
  follow(root, tab, ["t"], ({ t }) => {
    if (t === asked) return;
    asked = t;
    clearTimeout(rests);
    rests = setTimeout(() => root.checkVisibility() && trigger("input"), REST_MS);
  });

  receiveBy({ props, watch }, {
    morph: start,
    part,
    end,
    download: save,
    error({ message, hint }) {
      status.state("failed");
      status.say(`${message} ${hint}`);
    },
  });
}

Object.assign(pleinAir, { mixture: mountMixture, grid: mountGrid, morph: mountMorph });
