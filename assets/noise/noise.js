// The forward process in the browser: x_t at the slider, its numbers, its histogram, a film strip.

const BINS = 64;
const REACH = 4;
const NORMAL_TOP = 1 / Math.sqrt(2 * Math.PI);

// What `material` brings: the picture, its noise, the schedule. Of a latent model the noise comes in
// squares, with a deviation that isn't 1.
async function materialOf(message) {
  const bitmap = await bitmapOf(message.src);
  const { deviation, square } = message;
  return { x0: pixelsOf(bitmap), eps: floats16(message.eps), side: bitmap.width, alphaBar: message.alpha_bar, deviation, square };
}

function freshNoise({ x0, side, deviation = 1, square = 1 }) {
  if (square === 1) return gaussian(x0.length);
  const across = side / square;
  const drawn = gaussian(across * across * 3);
  return x0.map((_, i) => {
    const [x, y] = [Math.floor(i / 3) % side, Math.floor(i / 3 / side)];
    return deviation * drawn[3 * (Math.floor(y / square) * across + Math.floor(x / square)) + (i % 3)];
  });
}

// `w` and `h` are the box's own, so that letters keep their size.
function histogramSvg(values, [w, h]) {
  const counts = new Float32Array(BINS);
  for (const value of values) {
    const bin = Math.floor(((value + REACH) / (2 * REACH)) * BINS);
    if (bin >= 0 && bin < BINS) counts[bin] += 1;
  }
  const unit = BINS / (2 * REACH) / values.length; // from counts to density
  const top = NORMAL_TOP * 1.9;
  const floor = h - 22;
  const y = (density) => floor - Math.min(1, density / top) * (floor - 8);
  const bars = Array.from(counts, (count, i) => {
    const at = y(count * unit);
    return `<rect x="${(i * w) / BINS + 0.5}" width="${Math.max(1, w / BINS - 1)}" y="${at.toFixed(1)}" height="${(floor - at).toFixed(1)}"/>`;
  });
  const curve = Array.from({ length: 81 }, (_, i) => {
    const value = -REACH + (i / 80) * 2 * REACH;
    return `${((i / 80) * w).toFixed(1)},${y(NORMAL_TOP * Math.exp((-value * value) / 2)).toFixed(1)}`;
  });
  const ticks = [-3, -2, -1, 0, 1, 2, 3].map((v) => `<text x="${((v + REACH) / (2 * REACH)) * w}" y="${h - 6}" text-anchor="middle">${String(v).replace("-", "−")}</text>`);
  return `<svg viewBox="0 0 ${w} ${h}" role="img" aria-label="histogram of the values of x_t"><g class="bars">${bars.join("")}</g>
    <polyline class="normal" points="${curve.join(" ")}"/>${ticks.join("")}</svg>`;
}

function mountNoise(root, { props, watch, tab }) {
  root.innerHTML = `
  <section class="lab-stage" aria-label="the forward process">
    <figure><figcaption>${maths("x", { sub: "0" })}<span>as the model sees it</span></figcaption>
      <div class="lab-box"><canvas data-view="x_0" role="img" aria-label="the picture"></canvas></div></figure>
    <figure><figcaption>${maths("x", { sub: "t" })}<span>what is left of it</span></figcaption>
      <div class="lab-box"><canvas data-view="x_t" role="img" aria-label="the noised picture"></canvas></div></figure>
    <figure><figcaption><span class="lab-maths"><i>p</i>(<i>x</i><sub>t</sub>)</span><span>values, N(0, 1)</span></figcaption>
      <div class="lab-box lab-histogram"></div></figure>
  </section>
  <dl class="lab-readout">
    <div><dt>${maths("ᾱ", { sub: "t" })}</dt><dd data-read="alpha_bar">–</dd></div>
    <div title="a picture's share of the variance of x_t, were its own variance 1"><dt>signal</dt><dd data-read="signal">–</dd></div>
    <div><dt>SNR</dt><dd data-read="snr">–</dd></div>
    <div><dt>mean of ${maths("x", { sub: "t" })}</dt><dd data-read="mean">–</dd></div>
    <div><dt>its std</dt><dd data-read="std">–</dd></div>
  </dl>`;
  const find = (selector) => root.querySelector(selector);
  const write = (name, text) => (find(`[data-read=${name}]`).textContent = text);

  function show({ t, material, fresh }) {
    if (!material) return;
    const { x0, side, alphaBar, deviation = 1 } = material;
    const a = alphaBar[Math.min(t, alphaBar.length - 1)];
    const x_t = noised(x0, fresh ? freshNoise(material) : material.eps, a);
    const values = x_t.map((value) => value / deviation);
    drawValues(find("[data-view=x_0]"), x0, side);
    drawValues(find("[data-view=x_t]"), x_t, side);
    const box = find(".lab-histogram");
    box.innerHTML = histogramSvg(values, [box.clientWidth || 320, box.clientHeight || 320]);
    const { mean, std } = moments(values);
    write("alpha_bar", a < 0.001 ? a.toExponential(2).replace("-", "−") : a.toFixed(4));
    write("signal", `${percent(a)} %`);
    write("snr", `${decibels(snrDb(a))} dB`);
    write("mean", mean.toFixed(3).replace("-", "−"));
    write("std", std.toFixed(3));
    root.dataset.t = t;
    root.dataset.ready = "true";
  }

  follow(root, tab, ["t", "material", "fresh"], show);
  receiveBy({ props, watch }, {
    async material(message) {
      share(tab, { material: await materialOf(message) });
    },
  });
}

// A row of boxes with a caption under each; kept while their number stays.
function buildRow(row, count, label) {
  if (row.children.length === count) return;
  row.innerHTML = Array.from(
    { length: count },
    () => `<figure><canvas role="img" aria-label="${label}"></canvas><figcaption>&nbsp;</figcaption></figure>`,
  ).join("");
}

// x_t at some t of an alpha_bar table, from noise on the left to the picture on the right.
function paintStrip(row, material, alphaBar, times, { fresh = false } = {}) {
  buildRow(row, times.length, "a moment of the forward process");
  times.forEach((t, n) => {
    const figure = row.children[n];
    const { x0, eps, side } = material;
    const noise = fresh ? freshNoise(material) : eps;
    drawValues(figure.querySelector("canvas"), noised(x0, noise, alphaBar(t)), side);
    figure.querySelector("figcaption").textContent = t;
  });
}

function mountStrip(root, { trigger, props, watch, tab }) {
  root.innerHTML = `<div class="lab-strip"></div>
    <div class="lab-actions"><span class="lab-actions-name">save</span>
      <button type="button" class="lab-quiet" data-ask="png">Strip</button>
      <button type="button" class="lab-quiet" data-ask="gif">GIF</button>
      <button type="button" class="lab-quiet" data-ask="webp">WebP</button></div>`;
  const row = root.querySelector(".lab-strip");
  let drawn = null;

  function show({ t, material, fresh, moments: count = 10 }) {
    if (!material) return;
    const T = material.alphaBar.length - 1;
    const times = evenly(count, T + 1).reverse();
    const nearest = times.reduce((best, at) => (Math.abs(at - t) < Math.abs(best - t) ? at : best));
    if (drawn?.material !== material || drawn.fresh !== fresh || drawn.count !== count || drawn.width !== root.clientWidth) {
      row.dataset.count = count > 16 ? "many" : "few";
      paintStrip(row, material, (at) => material.alphaBar[at], times, { fresh });
      drawn = { material, fresh, count, width: root.clientWidth };
    }
    times.forEach((at, n) => row.children[n].toggleAttribute("aria-current", at === nearest));
  }

  root.addEventListener("click", (event) => {
    const figure = event.target.closest("figure");
    if (figure) share(tab, { goto: Number(figure.textContent) });
    const button = event.target.closest("[data-ask]");
    if (!button) return;
    trigger("select", { ask: button.dataset.ask });
    working(button);
  });
  follow(root, tab, ["t", "material", "fresh", "moments"], show);
  receiveBy({ props, watch }, { download: save });
}

Object.assign(pleinAir, { noise: mountNoise, strip: mountStrip });
