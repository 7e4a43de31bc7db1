// Noise schedules side by side: three plots with a line at t, and a strip for each schedule.

const STRIP_TIMES = 12;

function mountSchedules(root, { props, watch, tab }) {
  root.innerHTML = `<div class="lab-plots"></div><div class="lab-legend-place"></div><div class="lab-schedule-strips"></div>`;
  let curves = [];

  const lines = (key) => curves.map(({ label, t, ...values }, n) => ({
    name: label,
    colour: COLOURS[n % COLOURS.length],
    points: t.map((at, i) => [at, values[key][i]]),
  }));

  function plots({ t, T }) {
    root.dataset.t = t;
    const x = { label: "t, noise to picture", range: [0, T], reverse: true };
    root.querySelector(".lab-plots").innerHTML = [
      plotSvg({ title: maths("β", { sub: "t" }), x, y: { label: "variance of a step, log", log: true }, series: lines("beta"), marker: t }),
      plotSvg({ title: maths("ᾱ", { sub: "t" }), x, y: { label: "signal, at a picture's variance of 1", range: [0, 1] }, series: lines("alpha_bar"), marker: t }),
      plotSvg({ title: `log SNR<sub>t</sub>`, x, y: { label: "nats" }, series: lines("log_snr"), marker: t }),
    ].join("");
  }

  function strips({ material }) {
    const place = root.querySelector(".lab-schedule-strips");
    place.innerHTML = curves.map(({ label, prior_bpd: prior }, n) => `<div>
      <p><b><i style="background: var(${COLOURS[n % COLOURS.length]})"></i>${escaped(label.replace("_", " "))}</b>
      <span>${maths("L", { sub: "T" })} = ${number(prior, 2)} bits/dim</span></p><div class="lab-strip"></div></div>`).join("");
    if (!material) return;
    [...place.querySelectorAll(".lab-strip")].forEach((row, n) => {
      const { t, alpha_bar: alphaBar } = curves[n];
      const times = evenly(STRIP_TIMES, t.length).reverse();
      paintStrip(row, material, (i) => alphaBar[i], times);
      times.forEach((i, k) => (row.children[k].querySelector("figcaption").textContent = t[i]));
    });
  }

  function show(shared) {
    if (!curves.length) return;
    plots(shared);
    strips(shared);
  }

  follow(root, tab, ["material"], show);
  follow(root, tab, ["t"], (shared) => curves.length && plots(shared));
  receiveBy({ props, watch }, {
    schedules(message) {
      curves = message.curves;
      root.dataset.curves = curves.length;
      show(bench(tab));
    },
  });
}

// A few pictures with captions, and a table of numbers: the chain, the posterior.
function mountPlate(root, { trigger, props, watch }) {
  root.innerHTML = `<div class="lab-plate"></div><div class="lab-facts"></div>
    <div class="lab-actions"><span class="lab-actions-name">save</span>
    <button type="button" class="lab-quiet" data-ask="png" disabled>PNG</button></div>`;
  const plate = root.querySelector(".lab-plate");
  root.querySelector("[data-ask]").addEventListener("click", () => trigger("select", { ask: "png" }));

  async function pictures(message) {
    const sheet = await bitmapOf(message.sheet);
    const [width, height] = message.tile;
    plate.style.setProperty("--columns", message.captions.length);
    buildRow(plate, message.captions.length, "a picture");
    message.captions.forEach((caption, n) => {
      const figure = plate.children[n];
      figure.querySelector("figcaption").innerHTML = caption;
      paintTiles(figure.querySelector("canvas"), [[sheet, n * width, 0, width, height]], {});
    });
    const [head, ...rows] = message.table;
    root.querySelector(".lab-facts").innerHTML = `<table><thead><tr>${head.map((cell) => `<th>${cell}</th>`).join("")}</tr></thead>
      <tbody>${rows.map((row) => `<tr>${row.map((cell) => `<td>${cell}</td>`).join("")}</tr>`).join("")}</tbody></table>`;
    root.querySelector("[data-ask]").disabled = false;
    root.dataset.ready = message.about;
  }

  function empty({ captions }) {
    plate.style.setProperty("--columns", captions.length);
    buildRow(plate, captions.length, "a picture");
    captions.forEach((caption, n) => (plate.children[n].querySelector("figcaption").innerHTML = caption));
  }

  receiveBy({ props, watch }, { plate: pictures, empty, download: save });
}

Object.assign(pleinAir, { schedules: mountSchedules, plate: mountPlate });
