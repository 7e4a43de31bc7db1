// The training jobs: a list, and one of them in full. The page says what it has, and gets what is new.

const LOOK_EVERY = 1000; // ms, while anything goes on
const REST = 4; // times as long while nothing does
const AT_REST = ["done", "stopped", "failed"];
const OF_A_MODEL = ["paint", "download"];
const SLOW = ["download", "compare", "enlarge", "curves"]; // which a message answers

// What is being saved names its state itself.
const stateOf = ({ state, words }) => (state === "saving" ? words : `${state} · ${words}`);

function mountTrain(root, { trigger, props, watch }) {
  root.innerHTML = TRAIN_MARKUP;
  const find = (selector) => root.querySelector(selector);
  const panel = find(".train-job");
  let lines = [];
  let example = null; // what is shown while there is nothing of one's own
  let current = "";
  let curves = null;
  let marker = null;
  let asking = "";
  let noLikeness = ""; // why "Did it copy?" has no answer
  const blank = () => ({ listing: "", detail: "", curves: "", log: "" });
  let marks = blank();
  const samples = trainSamples(find(".train-samples"), (step) => {
    marker = step;
    trainPlots(find(".train-plots"), curves, marker);
    showWhich();
  });

  // The loss lies over as many columns as there are.
  let columns = "";
  new ResizeObserver(() => {
    const now = getComputedStyle(find(".train-plots")).gridTemplateColumns;
    if (now !== columns) trainPlots(find(".train-plots"), curves, marker);
    columns = now;
  }).observe(find(".train-plots"));

  const lineOf = (id) => lines.find((line) => line.id === id);
  const seen = () => ({
    listing: marks.listing,
    job: current === "example" ? "" : current,
    detail: marks.detail,
    curves: marks.curves,
    samples: current === "example" ? [] : samples.steps,
    log: find(".train-log").open ? marks.log : null,
  });
  const look = () => trigger("input", seen());
  const wish = (ask, job, more = {}) => trigger("select", { ask, job, seen: seen(), ...more });

  function turnTo(id) {
    current = id;
    marks = { ...blank(), listing: marks.listing };
    [curves, marker, noLikeness] = [null, null, ""];
    samples.clear();
    ask("");
    find(".train-likeness").hidden = find(".train-enlarged").hidden = true;
    find(".train-warning").hidden = find(".train-fault").hidden = true;
    find(".train-facts dl").innerHTML = find(".train-log pre").textContent = "";
    trainPlots(find(".train-plots"), null);
    showList();
  }

  function showList() {
    const list = find(".train-list");
    const ids = lines.map(({ id }) => id).join();
    if (list.dataset.ids !== ids) {
      list.dataset.ids = ids;
      list.innerHTML = lines.map(({ id }) => `<li><button type="button" data-job="${escaped(id)}">
        <i class="train-dot"></i><b></b><span class="train-words"></span><span class="train-mini"><i></i></span></button></li>`).join("");
    }
    lines.forEach((line, i) => {
      const row = list.children[i].firstElementChild;
      row.setAttribute("aria-pressed", String(line.id === current));
      row.dataset.state = line.state;
      row.style.setProperty("--share", line.share);
      row.querySelector("b").textContent = line.name;
      row.querySelector(".train-words").textContent = stateOf(line);
    });
    find(".train-none").hidden = lines.length > 0 || !marks.listing;
    find(".train-log").hidden = current === "example";
    showJob();
  }

  function showJob() {
    const line = lineOf(current);
    panel.hidden = !line;
    root.dataset.state = line?.state ?? "";
    root.dataset.job = line ? current : "";
    if (!line) return;
    find("h2").textContent = line.name;
    find(".train-state").textContent = stateOf(line);
    find(".train-share").style.setProperty("--share", line.share);
    panel.dataset.state = line.state;
    const button = (deed, name, kind = "") => `<button type="button" class="lab-quiet ${kind}" data-ask="${deed}" title="${TITLES[deed] ?? ""}">${name}</button>`;
    const may = line.may.join();
    if (panel.dataset.may === may) return showWhich();
    panel.dataset.may = may;
    find(".train-actions").innerHTML = Object.entries(DEEDS)
      .filter(([deed]) => line.may.includes(deed))
      .map(([deed, name]) => button(deed, name, MARKS[deed])).join("");
    find(".train-result").innerHTML = line.may.includes("paint")
      ? `${button("paint", "Paint with this", "train-paint")}${button("download", "Download")}${button("compare", "Did it copy?")}${button("enlarge", "× 4")}<p class="train-which"></p>
        <p class="train-which train-why"></p>`
      : "";
    find(".train-curves").hidden = !line.may.includes("curves");
    showWhich();
  }

  // The step whose model is asked for: the samples' that are shown, or null for the newest.
  function modelStep() {
    const shown = samples.scrubbed;
    return lineOf(current)?.models?.includes(shown) ? shown : null;
  }

  function showWhich() {
    const which = find(".train-which");
    if (!which) return;
    find("[data-ask=enlarge]").hidden = !samples.enlarges;
    const [step, { models }] = [modelStep(), lineOf(current)];
    const steps = counted(step ?? models.at(-1) ?? 0, "step");
    const missing = samples.scrubbed !== null && step === null ? "not kept here; " : "";
    const why = noLikeness || (samples.steps.length ? "" : "no samples are painted yet");
    find("[data-ask=compare]").disabled = Boolean(why);
    find(".train-why").textContent = why ? `“Did it copy?” can't be told: ${why}.` : "";
    which.textContent = step === null ? `${missing}the newest model, after ${steps}` : `the model after ${steps}`;
  }

  function ask(deed) {
    asking = deed;
    const form = find(".train-ask");
    form.hidden = !deed;
    form.innerHTML = deed ? `${ASKING[deed](lineOf(current))}<button type="button" class="lab-quiet" data-no>Cancel</button>` : "";
    form.querySelector("input")?.select();
    if (deed === "delete") form.querySelector("[data-no]").focus();
  }

  function showRoom({ words, old }) {
    const offers = old.map(([id, name]) => `<button type="button" class="lab-quiet" data-old="${escaped(id)}">${escaped(name)}</button>`);
    find(".train-room").innerHTML = lines.length ? `${escaped(words)}${offers.length ? ` Could go: ${offers.join(" ")}` : ""}` : "";
  }

  root.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    if (SLOW.includes(button.dataset.ask)) working(button);
    const { job, old, ask: deed } = button.dataset;
    if (job || old) {
      if ((job ?? old) !== current) {
        turnTo(job ?? old);
        look();
      }
      if (old) ask("delete");
    } else if (deed in ASKING) ask(asking === deed ? "" : deed);
    else if (deed === "enlarge") wish(deed, current, { step: samples.step, picture: samples.chosen });
    else if (deed) wish(deed, current, OF_A_MODEL.includes(deed) ? { step: modelStep() } : {});
    else if ("no" in button.dataset) ask("");
  });
  find(".train-ask").addEventListener("submit", (event) => {
    event.preventDefault();
    const given = new FormData(event.target);
    const more = asking === "rename" ? { name: given.get("name") } : asking === "extend" ? { steps: Number(given.get("steps")) } : {};
    wish(asking, current, more);
    ask("");
  });
  find(".train-log").addEventListener("toggle", () => find(".train-log").open && look());

  // The parts that came of the job that is shown.
  function take({ detail, curves: drawn, samples: grids, log }) {
    if (detail) {
      marks.detail = detail.mark;
      find(".train-fault").hidden = !detail.fault;
      find(".train-fault").textContent = detail.fault;
      find(".train-facts dl").innerHTML = detail.facts
        .map(([name, value]) => `<div><dt>${escaped(name)}</dt><dd>${escaped(value)}</dd></div>`).join("");
      samples.expect(detail.first_sample);
      noLikeness = detail.no_likeness ?? "";
      showWhich();
    }
    if (drawn) {
      curves = drawn;
      marks.curves = drawn.mark;
      root.dataset.points = drawn.loss[0].length;
      find(".train-warning").hidden = !drawn.turned_up;
      trainPlots(find(".train-plots"), drawn, marker);
    }
    if (log) {
      marks.log = log.mark;
      const text = find(".train-log pre");
      text.textContent = log.text;
      text.scrollTop = text.scrollHeight;
    }
    const job = current;
    return grids && samples.add(grids, () => job === current);
  }

  function showExample() {
    lines = [example.line];
    find(".train-room").textContent = "";
    turnTo(example.line.id);
    return take(example);
  }

  receiveBy({ props, watch }, {
    news(news) {
      if (news.jobs && !news.jobs.length && example) {
        marks.listing = news.listing;
        return current === "example" ? null : showExample();
      }
      if (news.jobs) {
        lines = news.jobs;
        marks.listing = news.listing;
        showRoom(news.room);
      }
      if (news.job !== current && (news.choose || !lineOf(current))) turnTo(news.job);
      if (news.jobs) showList();
      return news.job === current ? take(news) : null;
    },
    example(message) {
      example = message;
      return lines.length ? null : showExample();
    },
    comparison({ job, pairs }) {
      if (job !== current) return;
      const box = find(".train-likeness");
      box.hidden = false;
      box.innerHTML = `<p>The newest samples, each beside the picture that comes nearest to it among those trained on.</p>
        <ul>${pairs.map(({ sample, nearest, words, copied }) => `<li title="${escaped(words).replaceAll('"', "&quot;")}" ${copied ? "data-copied" : ""}>
          <img src="${sample}" alt="sample"><img src="${nearest}" alt="nearest training picture"><span>${escaped(words)}</span></li>`).join("")}</ul>`;
    },
    enlarged({ job, src, name, words }) {
      if (job !== current) return;
      const figure = find(".train-enlarged");
      figure.hidden = false;
      figure.querySelector("img").src = src;
      figure.querySelector("span").textContent = words;
      Object.assign(figure.querySelector("a"), { href: src, download: name });
      figure.scrollIntoView({ block: "nearest" });
    },
    download({ name, src }) {
      save({ name, src: new URL(`gradio_api/${src}`, document.baseURI).href });
    },
  });

  // Asks only while somebody looks: neither on another tab of the page nor of the browser.
  let ticks = 0;
  const timer = setInterval(() => {
    if (!root.isConnected) return clearInterval(timer);
    ticks += 1;
    const rests = marks.listing && lines.every(({ state }) => AT_REST.includes(state));
    if (rests && ticks % REST) return;
    if (!document.hidden && root.checkVisibility()) look();
  }, LOOK_EVERY);
}

pleinAir.train = mountTrain;
