// The player: takes messages from the server, keeps a run, and lets a person move through it.

const MOMENTS = 10;
const PLAY_SECONDS = 6;
const FILES = { animate: "making the animation", strip: "making the strip" };
const SPOKEN_EVERY = 5000; // ms between two announcements of progress
const SILENCE = 3000; // ms without a message, after which the server is asked for a sign of life
const LOST = {
  message: "The connection to the studio was lost.",
  hint: "What came of the run can be looked at here until the page is loaded anew.",
};

function mountPlayer(element, trigger, props, watch) {
  element.querySelector(".player-root").innerHTML = MARKUP;
  const root = element.querySelector(".player");
  const find = (selector) => root.querySelector(selector);
  const findAll = (selector) => [...root.querySelectorAll(selector)];
  const slider = find(".player-slider");
  const stage = find(".player-stage");
  const canvases = new Map(findAll(".player-view").map((f) => [f.dataset.view, f.querySelector("canvas")]));

  let run = null; // what Start or Film said
  let film = null;
  let at = -1; // position among the kept frames
  let wanted = -1; // the same, before it is decoded
  let picture = 0;
  let follow = true;
  let timer = 0; // of playing
  let finished = [];
  let lastSeq = 0;
  let spoken = -SPOKEN_EVERY;
  let waiting = ""; // the token of what is done before what was asked for
  let heard = 0; // when the last message came
  let queue = Promise.resolve(); // messages are dealt with one after the other
  const look = { show: "all", grid: "one", pixels: false, compare: false };

  const stoppedWords = () => `stopped at step ${film.frames.at(-1)?.i ?? 0} of ${run.steps}`;
  const isLive = () => root.dataset.state === "live";
  const second = () => run?.second ?? Infinity; // where the second stage begins
  const atEnd = () => film && at === film.frames.length - 1;

  // ---- a run begins, grows, ends

  function begin(message) {
    film?.close();
    stopPlaying();
    run = message;
    film = createFilm(message);
    [at, wanted, picture, follow, finished, lastSeq] = [-1, -1, 0, true, [], 0];
    look.grid = "one";
    root.style.setProperty("--tile", message.tile.join(" / "));
    root.dataset.run = message.run;
    root.dataset.gaps = "0";
    root.dataset.frames = "0";
    find(".player-title").textContent = message.title;
    find(".player-title").title = message.title;
    find(".player-progress").textContent = "";
    spoken = -SPOKEN_EVERY;
    find(".player-notice").hidden = true;
    slider.setAttribute("aria-valuemax", message.steps);
    const enlarged = second() < Infinity;
    root.style.setProperty("--second", enlarged ? (second() - 0.5) / message.steps : "");
    find(".player-second").hidden = find(".player-compare").hidden = !enlarged;
    setState(message.finished ? "finished" : "live");
    buildMoments(message.steps);
    buildPictures(message.pictures ?? 1);
    showLook();
  }

  function setState(state) {
    root.dataset.state = state;
    const words = { live: "painting", finished: "finished", stopped: "stopped", failed: "stopped" };
    find(".player-state").textContent = words[state] ?? "";
    showActions();
  }

  async function addFrames(message) {
    if (message.run !== run?.run) return;
    if (message.seq > lastSeq + 1) root.dataset.gaps = Number(root.dataset.gaps) + message.seq - lastSeq - 1;
    lastSeq = Math.max(lastSeq, message.seq);
    const added = message.frames.map((frame) => film.add(frame));
    const mine = film;
    if (isLive()) say(progressWords(message.progress));
    for (const frame of added) {
      await film.decode(frame);
      if (mine !== film) return;
      root.dataset.frames = film.frames.length;
      const k = film.frames.indexOf(frame);
      paintMoments();
      if (follow || at < 0) show(k);
    }
    showLoaded();
  }

  async function openFilm(message) {
    if (message.kept && run) return;
    begin({ ...message, pictures: 1, finished: true });
    const mine = film;
    await film.addWhole(message.frames, message.sheets, message.previews ?? []);
    await end({ pictures: message.finished, run: message.run });
    if (mine !== film) return;
    root.dataset.frames = film.frames.length;
    paintMoments();
    find(".player-progress").textContent = "";
    showLoaded();
    show(film.frames.length - 1);
  }

  async function end(message) {
    if (message.run !== run?.run) return;
    if (message.seq > lastSeq + 1) root.dataset.gaps = Number(root.dataset.gaps) + message.seq - lastSeq - 1;
    const mine = film;
    finished = message.pictures;
    await film.addMasters(finished.map(({ src }) => src));
    if (mine !== film) return;
    setState("finished");
    say("", true);
    find(".player-live").textContent = "finished";
    if (film.frames.length) show(follow ? film.frames.length - 1 : wanted);
  }

  function wait({ words, progress, token }) {
    if (refused.has(token)) return;
    waiting = token;
    root.dataset.waiting = "";
    say([words, progress && progressWords(progress)].filter(Boolean).join(" · "));
    showActions();
  }

  function stopWaiting() {
    if (!waiting) return;
    waiting = "";
    delete root.dataset.waiting;
    find(".player-progress").textContent = "";
    showActions();
  }

  function fail({ message, hint }) {
    if (isLive()) {
      setState("failed");
      say(stoppedWords(), true);
    }
    showActions();
    notify(hint ? `${message} ${hint}` : message);
  }

  function notify(words) {
    find(".player-notice p").textContent = words;
    find(".player-notice").hidden = false;
  }

  function say(words, now = false) {
    find(".player-progress").textContent = words;
    if (!now && performance.now() - spoken < SPOKEN_EVERY) return;
    spoken = performance.now();
    find(".player-live").textContent = words;
  }

  function download({ name, src }) {
    const anchor = document.createElement("a");
    anchor.href = src;
    anchor.download = name;
    anchor.click();
    showActions();
  }

  // ---- one moment

  async function show(k) {
    if (!film?.frames.length) return;
    const position = Math.max(0, Math.min(film.frames.length - 1, k));
    const mine = film;
    wanted = position;
    moveThumb(film.frames[position]);
    const needed = [position, position - 1, small()].filter((k) => k >= 0);
    await Promise.all(needed.map((k) => film.decode(film.frames[k])));
    if (mine !== film || wanted !== position) return;
    at = position;
    paintStage();
    paintPictures();
    showActions();
    const { i, t, snr_db, signal } = film.frames[at];
    root.dataset.i = i;
    const detail = { run: run.run, i, t, snr_db, signal };
    element.dispatchEvent(new CustomEvent("plein-air:moment", { bubbles: true, detail }));
  }

  function moveThumb({ i, t, snr_db, signal }) {
    root.style.setProperty("--at", run.steps ? i / run.steps : 1);
    slider.setAttribute("aria-valuenow", i);
    const enlarging = i >= second() ? "second stage, " : "";
    slider.setAttribute("aria-valuetext", `${enlarging}t ${t}, signal ${percent(signal)} percent`);
    find("[data-read=t]").textContent = t;
    find("[data-read=snr]").textContent = decibels(snr_db);
    find("[data-read=signal]").textContent = percent(signal);
    const marked = findAll(".player-moments button");
    const nearest = Math.round((i / (run.steps || 1)) * (marked.length - 1));
    marked.forEach((button, n) => button.toggleAttribute("aria-current", n === nearest));
  }

  function showLoaded() {
    root.style.setProperty("--loaded", (film.frames.at(-1)?.i ?? 0) / (run.steps || 1));
  }

  function go(k) {
    follow = k >= film.frames.length - 1;
    show(k);
    showActions();
  }

  // ---- painting

  function paintStage() {
    if (at < 0) return;
    const pictures = look.grid === "all" ? everyPicture() : [picture];
    const compares = look.compare && look.grid === "one" && film.frames[at].i >= second();
    dividers.show(compares);
    for (const [view, canvas] of canvases) {
      if (!canvas.clientWidth) continue;
      paintTiles(canvas, pictures.map((p) => film.tileAt(at, view, p)), look);
      if (compares && view !== "eps_hat") {
        paintBefore(canvas, film.tileAt(small(), "x_0_hat", picture), dividers.share(), look);
      }
    }
    const empty = film.frames[at].t === 0;
    find(".player-empty").hidden = !empty;
    find("[data-view=eps_hat]").classList.toggle("dim", empty);
  }

  // The position of the small picture that is enlarged, or -1.
  const small = () => (second() < Infinity ? film.nearest(second() - 1) : -1);
  const everyPicture = () => Array.from({ length: run.pictures ?? 1 }, (_, n) => n);
  const smallView = () => (look.show === "x_0_hat" ? "x_0_hat" : "x_t");

  function paintPictures() {
    findAll(".player-pictures canvas").forEach((canvas, n) => {
      paintTiles(canvas, [film.tileAt(at, smallView(), n)], look);
    });
  }

  // A moment's box is filled once the run has come so far, with the nearest frame there is.
  function paintMoments(again = false) {
    const head = film.frames.at(-1)?.i ?? -1;
    for (const button of findAll(".player-moments button")) {
      const target = Number(button.dataset.i);
      if (head < target || (!again && !button.disabled)) continue;
      const k = film.nearest(target);
      const { t } = film.frames[k];
      button.disabled = false;
      button.setAttribute("aria-label", `go to t ${t}`);
      button.querySelector("span").textContent = t;
      const mine = film;
      film.decode(film.frames[k]).then(() => {
        if (mine === film) paintTiles(button.firstElementChild, [film.tileAt(k, smallView(), picture)], look);
      });
    }
  }

  function repaint() {
    if (!film?.frames.length) return;
    paintStage();
    paintPictures();
    paintMoments(true);
  }

  // ---- building what depends on the run

  function buildMoments(steps) {
    const count = Math.min(MOMENTS, steps + 1);
    find(".player-moments").innerHTML = Array.from({ length: count }, (_, n) => {
      const i = Math.round((n * steps) / (count - 1 || 1));
      return `<li><button type="button" data-i="${i}" disabled aria-label="not painted yet"><canvas></canvas><span>&nbsp;</span></button></li>`;
    }).join("");
  }

  function buildPictures(count) {
    find(".player-pictures").dataset.count = count > 8 ? "many" : "few";
    find(".player-pictures").innerHTML = Array.from(
      { length: count },
      (_, n) => `<button type="button" data-picture="${n}" aria-label="picture ${n + 1}"><canvas></canvas></button>`,
    ).join("");
    root.classList.toggle("several", count > 1);
  }

  function showLook() {
    stage.dataset.show = look.show;
    const press = (selector, on) => find(selector)?.setAttribute("aria-pressed", String(on));
    for (const button of findAll("[data-show]")) {
      if (button !== stage) button.setAttribute("aria-pressed", String(button.dataset.show === look.show));
    }
    press("[data-grid=one]", look.grid === "one");
    press("[data-grid=all]", look.grid === "all");
    press(".player-pixels", look.pixels);
    press(".player-compare", look.compare);
    for (const button of findAll("[data-picture]")) {
      button.setAttribute("aria-pressed", String(Number(button.dataset.picture) === picture));
    }
    stage.classList.toggle("grid", look.grid === "all");
    showActions();
    repaint();
  }

  function showActions() {
    const about = finished[picture];
    const over = run !== null && !isLive();
    const save = find(".player-save");
    save.setAttribute("aria-disabled", String(!about));
    if (about) [save.href, save.download] = [about.src, about.name];
    else save.removeAttribute("href");
    const small = find(".player-save-small");
    small.hidden = !about?.small;
    if (about?.small) [small.href, small.download] = [about.small, about.small_name];
    for (const button of findAll("[data-ask]")) {
      button.disabled = !about || Boolean(waiting);
      if (!waiting) button.removeAttribute("aria-busy");
    }
    find("[data-ask=branch]").disabled = !over || Boolean(waiting) || at < 0 || film.frames[at].i >= run.steps;
    const enlarge = find("[data-ask=enlarge]");
    enlarge.hidden = !run?.enlarges;
    enlarge.disabled ||= at < 0 || film.frames[at].i >= second() - 1;
    find(".player-link").disabled = !about?.link;
    find(".player-actions").title = about?.recipe ?? "";
    showNearest(about?.nearest ?? "");
    root.classList.toggle("away", isLive() && !follow);
  }

  // Once there has been such a line its place stays, so that nothing moves with the next run.
  function showNearest(words) {
    const line = find(".player-nearest");
    line.textContent = words && `nearest training painting: ${words}`;
    line.title = line.textContent;
    if (words) line.hidden = false;
  }

  // ---- playing

  function play() {
    if (!film?.frames.length) return;
    if (timer) return stopPlaying();
    const from = wanted >= film.frames.length - 1 && !isLive() ? -1 : wanted;
    const pause = Math.max(16, Math.min(160, (PLAY_SECONDS * 1000) / film.frames.length));
    const tick = (k) => {
      go(k);
      if (k >= film.frames.length - 1) return stopPlaying();
      timer = setTimeout(tick, pause, k + 1);
    };
    timer = setTimeout(tick, 0, from + 1);
    showPlaying();
  }

  function stopPlaying() {
    clearTimeout(timer);
    timer = 0;
    showPlaying();
  }

  function showPlaying() {
    find(".player-play").innerHTML = icon(timer ? "pause" : "play");
    find(".player-play").setAttribute("aria-label", timer ? "pause" : "play");
  }

  // ---- what a person does

  const actions = {
    step: (by) => film && (stopPlaying(), go(wanted + by)),
    toFrame: (i) => film?.frames.length && (stopPlaying(), go(film.nearest(i))),
    toStart: () => film && (stopPlaying(), go(0)),
    toEnd: () => film && (stopPlaying(), go(film.frames.length - 1)),
    toShare: (share) => run && actions.toFrame(share * run.steps),
    play,
    choose(n) {
      picture = n;
      look.grid = "one";
      showLook();
    },
    look(change) {
      Object.assign(look, change);
      showLook();
    },
    compare(on) {
      if (on && film?.frames[at]?.i < second()) actions.toEnd();
      actions.look({ compare: on, ...(on && { grid: "one" }) });
    },
    ask(action, format) {
      const frame = film.frames[Math.max(at, 0)].i;
      trigger("select", { action, run: run.run, picture, frame, ...(format && { format }) });
      if (FILES[action]) wait({ words: FILES[action], token: `file ${performance.now()}` });
    },
    stop() {
      if (!isLive() && !waiting) return;
      trigger("stop", { run: run?.run });
      if (waiting) refused.add(waiting);
      stopWaiting();
      if (!isLive()) return;
      setState("stopped");
      say(stoppedWords(), true);
    },
    link: () => finished[picture]?.link ?? "",
    pictures: () => run?.pictures ?? 1,
    notify,
  };
  wireControls(root, actions);
  const dividers = wireDividers(root, () => paintStage());
  new ResizeObserver(() => requestAnimationFrame(repaint)).observe(stage);

  // ---- messages

  // Gradio may say a message again when an event ends: a run begins once.
  const begun = new Set();
  const beginOnce = (message) => begun.has(message.run) || (begun.add(message.run), begin(message));

  const refused = new Set(); // waits that were stopped

  const deal = { start: beginOnce, waiting: wait, frames: addFrames, film: openFilm, end, error: fail, download };

  // Gradio tells the page of a lost connection, but no component.
  async function listen() {
    if (!root.isConnected) return clearInterval(listening);
    if (!(isLive() || waiting) || performance.now() - heard < SILENCE) return;
    heard = performance.now();
    const { root: studio, api_prefix } = window.gradio_config;
    const answer = await fetch(`${studio}${api_prefix}/app_id`, { cache: "no-store" }).catch(() => null);
    if (answer?.ok || !(isLive() || waiting)) return;
    stopWaiting();
    fail(LOST);
  }

  const listening = setInterval(listen, 1000);

  function receive() {
    if (!props.value) return;
    heard = performance.now();
    const message = JSON.parse(props.value);
    queue = queue
      .then(() => {
        if (message.kind !== "waiting") stopWaiting();
        return deal[message.kind]?.(message);
      })
      .catch((error) => {
        console.error(error);
        notify("A frame could not be shown. Paint again, or reload the page.");
      });
  }

  // What it opened with comes in full once somebody turns to it.
  async function refine() {
    const mine = film;
    const changed = await mine?.refine().catch((error) => console.error(error));
    if (!changed || mine !== film) return;
    paintMoments();
    show(wanted);
  }
  for (const turning of ["pointerenter", "focusin"]) root.addEventListener(turning, refine);

  buildMoments(MOMENTS - 1);
  buildPictures(1);
  showLook();
  watch("value", receive);
  receive();
}

pleinAir.player = mountPlayer;
