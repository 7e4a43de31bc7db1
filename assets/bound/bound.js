// The bound while its terms come in: a table, and plots drawn again from all that has come.

const DASHES = ["", "7 5", "2 4"]; // one for each model
const MOST_POINTS = 400;
const LATENTS = `<p class="lab-note">In nats for each of the latent's values. What the decoder adds, how likely it makes
  the picture of its latent, isn't known: these are no bits of the picture, and can be compared in one latent space only.</p>`;
const KEYS = ["line", "kind", "t", "weight", "bpd", "bpd_error", "eps_mse", "rate", "distortion", "prior", "vb", "decoder", "total", "total_error"];

function mountBound(root, { trigger, props, watch, tab }) {
  root.innerHTML = `<div class="lab-status"></div><div class="lab-facts lab-bound-table"></div>
    <div class="lab-plots lab-bound-plots"></div>
    <div class="lab-actions"><span class="lab-actions-name">plots over t</span>
      <button type="button" class="lab-quiet" data-scale="linear" aria-pressed="true">linear</button>
      <button type="button" class="lab-quiet" data-scale="log" aria-pressed="false">logarithmic</button>
      <span class="lab-actions-name lab-apart">save</span>
      <button type="button" class="lab-quiet" data-ask="png" disabled title="the table and the plots, with their recipe inside">PNG</button>
      <button type="button" class="lab-quiet" data-save disabled title="every term with its error, as a table">CSV</button></div>`;
  const status = statusLine(root, trigger, "bound");
  const saving = root.querySelector("[data-save]");
  const asking = root.querySelector("[data-ask]");
  let run = null;
  let rows = []; // one list for each line
  let due = false;
  let log = false;

  function thinned(list) {
    if (list.length <= MOST_POINTS) return list;
    return evenly(MOST_POINTS, list.length).map((i) => list[i]);
  }

  function lines(pick) {
    return run.lines.map(({ name, colour, dash }, n) => ({
      name,
      colour: COLOURS[colour],
      dash: DASHES[dash],
      points: thinned(rows[n].map(pick).filter(Boolean)),
    }));
  }

  function plots() {
    const x = { label: log ? "t, noise to picture, log" : "t, noise to picture", range: [log ? 1 : 0, run.T], reverse: true, log };
    const overT = (value, error) => (row) => row.kind !== "prior" && [row.t, row[value], error && row[error]];
    const weights = [
      { name: `in the bound, ${run.unit}`, colour: "--wisteria", points: run.weights.t.map((t, i) => [t, run.weights.vlb[i]]) },
      { name: "in the simple loss", colour: "--ochre", points: [[1, 1], [run.T, 1]] },
    ];
    const term = maths("L", { sub: "t−1" });
    root.querySelector(".lab-bound-plots").innerHTML = [
      plotSvg({ title: term, x, y: { label: run.unit }, series: lines(overT("bpd", "bpd_error")) }),
      plotSvg({ title: term, x, y: { label: `${run.unit}, log`, log: true }, series: lines(overT("bpd", "bpd_error")) }),
      plotSvg({ title: "sum so far", x, y: { label: `${run.unit}, from noise on` }, series: lines((row) => [row.t, row.total]) }),
      ofLatents() ? "" : plotSvg({
        title: "rate and distortion",
        x: { label: `rate, ${run.unit}` },
        y: { label: "rmse of x̂₀, 0 to 255" },
        series: lines((row) => row.distortion !== null && [row.rate, row.distortion]),
      }),
      plotSvg({ title: `‖${maths("ε")} − ${maths("ε̂")}‖²`, x, y: { label: "mean square, log", log: true }, series: lines(overT("eps_mse")) }),
      `<div>${plotSvg({ title: "weight of a step", x, y: { label: "of that error, log", log: true }, series: weights })}${legendOf(weights)}</div>`,
    ].join("");
  }

  const ofLatents = () => run.unit !== "bits/dim";

  function table() {
    const head = ["picture", maths("L", { sub: "T" }), `${maths("L", { sub: "1" })} … ${maths("L", { sub: "T−1" })}`, maths("L", { sub: "0" }), "sum", "±"];
    const body = run.lines.map(({ name, colour, dash }, n) => {
      const last = rows[n].at(-1);
      const swatch = `<svg viewBox="0 0 22 8" aria-hidden="true"><line x1="0" x2="22" y1="4" y2="4" stroke="var(${COLOURS[colour]})" stroke-width="2.4" stroke-dasharray="${DASHES[dash]}"/></svg>`;
      const cells = last
        ? [number(last.prior, 2), last.vb.toFixed(4), last.decoder === null ? "–" : last.decoder.toFixed(4), last.total.toFixed(4), last.total_error === null ? "–" : last.total_error.toFixed(4)]
        : ["–", "–", "–", "–", "–"];
      return `<tr><th scope="row">${swatch} ${escaped(name)}</th>${cells.map((cell) => `<td>${cell}</td>`).join("")}</tr>`;
    });
    const titles = { "±": "the sum's standard error, itself estimated: from two t in each stretch, twice it holds the whole bound about 9 times in 10" };
    root.querySelector(".lab-bound-table").innerHTML = `<table><thead><tr>${head.map((cell) => `<th title="${titles[cell] ?? ""}">${cell}</th>`).join("")}</tr></thead><tbody>${body.join("")}</tbody></table>${ofLatents() ? LATENTS : ""}`;
  }

  function draw() {
    due = false;
    if (!run) return;
    table();
    plots();
  }

  function later() {
    if (due) return;
    due = true;
    requestAnimationFrame(draw);
  }

  function start(message) {
    if (!message.live && run) return; // kept for the first sight
    run = message;
    rows = run.lines.map(() => []);
    root.dataset.run = message.run;
    root.dataset.terms = "0";
    status.state(message.live ? "live" : "idle");
    status.say(message.words);
    saving.disabled = asking.disabled = true;
    add(message.rows ?? []);
    later();
  }

  function add(list) {
    for (const values of list) {
      const row = Object.fromEntries(KEYS.map((key, i) => [key, values[i]]));
      rows[row.line].push(row);
    }
    root.dataset.terms = Math.max(...rows.map((line) => line.length));
    saving.disabled = asking.disabled = !rows.some((line) => line.length);
  }

  function csv() {
    const head = ["model", "subject", ...KEYS.slice(1)];
    const quoted = (text) => `"${String(text).replaceAll('"', '""')}"`;
    const text = [head.join(","), ...rows.flatMap((line, n) =>
      line.map((row) => [quoted(run.lines[n].model), quoted(run.lines[n].subject), ...KEYS.slice(1).map((key) => row[key] ?? "")].join(",")))].join("\n");
    save({ name: "bound.csv", src: URL.createObjectURL(new Blob([`${text}\n`], { type: "text/csv" })) });
  }

  root.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    if (button === saving) csv();
    if (button === asking) trigger("select", { ask: "png", log });
    if (button.dataset.scale) {
      log = button.dataset.scale === "log";
      for (const each of root.querySelectorAll("[data-scale]")) each.setAttribute("aria-pressed", String(each === button));
      later();
    }
  });

  receiveBy({ props, watch }, {
    bound: start,
    download: save,
    terms(message) {
      if (message.run !== run?.run) return;
      add(message.rows);
      if (root.dataset.state === "live") status.say(message.words);
      later();
    },
    end(message) {
      if (message.run !== run?.run) return;
      status.state("finished");
      status.say(message.words);
      later();
    },
    error({ message, hint }) {
      status.state("failed");
      status.say(`${message} ${hint}`);
    },
  });
}

pleinAir.bound = mountBound;
