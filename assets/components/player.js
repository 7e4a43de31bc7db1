// The player: takes messages from the server, keeps a run, and lets a person move through it.

const MOMENTS = 10;
const PLAY_SECONDS = 6;
const FILES = { animate: "making the animation", strip: "making the strip", zip: "putting the pictures in a zip" };
const CHANNELS = "its latent's channels";
const SPOKEN_EVERY = 5000; // ms between two announcements of progress
const SILENCE = 3000; // ms without a message, after which the server is asked for a sign of life
const LOST = "The connection to the studio was lost.";
const KEPT = "What came of the run is kept in this browser, and is here again when the page is loaded anew.";
const LIVE = { here: "live", elsewhere: "elsewhere" }; // the state of a run that goes on, by where
const UNKEPT = "What came of the run can be looked at here until the page is loaded anew.";

// `keeps`: whether what is painted here is kept by the browser, and has an address. `noVideo`: why
// there is no MP4; empty where there is.
function mountPlayer(element, trigger, props, watch, { keeps, noVideo }) {
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
  let goal = null; // the moment that the address asks for, until it is painted
  const look = { show: "all", grid: "one", pixels: false, compare: false, channels: false };

  const stoppedWords = () => `stopped at step ${film.frames.at(-1)?.i ?? 0} of ${run.steps}`;
  const isLive = () => root.dataset.state === "live";
  const second = () => run?.second ?? Infinity; // where the second stage begins
  const atEnd = () => film && at === film.frames.length - 1;
  const { runs, recorder: createRecorder, address, keyOf } = keeps ? window.pleinAir : {};
  const recorder = createRecorder?.(runs, notKept);
  const films = new Map(); // the stored runs that were shown, by their keys

  // ---- a run begins, grows, ends

  function begin(message) {
    film?.close();
    stopPlaying();
    run = message;
    film = createFilm(message);
    [at, wanted, picture, follow, finished, lastSeq] = [-1, -1, message.picture ?? 0, true, [], 0];
    look.grid = "one";
    root.style.setProperty("--tile", message.tile.join(" / "));
    root.dataset.run = message.run;
    root.held = message.recipe ?? ""; // what the run's name can't hold
    root.dataset.gaps = "0";
    root.dataset.frames = "0";
    find(".player-progress").textContent = "";
    spoken = -SPOKEN_EVERY;
    find(".player-notice").hidden = true;
    slider.setAttribute("aria-valuemax", message.steps);
    const enlarged = second() < Infinity;
    root.style.setProperty("--second", enlarged ? (second() - 0.5) / message.steps : "");
    find(".player-second").hidden = find(".player-compare").hidden = !enlarged;
    setState(message.state ?? "live");
    showOrigin();
    buildMoments(message.steps);
    buildPictures(message.pictures ?? 1);
    showLook();
  }

  function setState(state) {
    root.dataset.state = state;
    const words = { live: "painting", finished: "finished", stopped: "stopped", failed: "stopped", elsewhere: "elsewhere" };
    find(".player-state").textContent = words[state] ?? "";
    showActions();
  }

  async function addFrames(message) {
    const frames = message.frames.map(({ src, ...about }) => ({ ...about, blob: blobOf(src) }));
    recorder?.add(message, frames);
    if (message.run !== run?.run) return;
    if (message.seq > lastSeq + 1) root.dataset.gaps = Number(root.dataset.gaps) + message.seq - lastSeq - 1;
    lastSeq = Math.max(lastSeq, message.seq);
    const added = frames.map((frame) => film.add(frame));
    const mine = film;
    if (isLive()) say(progressWords(message.progress));
    for (const frame of added) {
      await film.decode(frame);
      if (mine !== film) return;
      root.dataset.frames = film.frames.length;
      const k = film.frames.indexOf(frame);
      paintMoments();
      if (goal !== null && frame.i >= goal) {
        [follow, goal] = [false, null];
        show(k);
      } else if (follow || at < 0) show(k);
    }
    showLoaded();
  }

  async function openFilm(message) {
    if (message.kept && run) return;
    if (keeps) films.set(keyOf(message.run), message);
    begin({ ...message, pictures: 1, state: "finished" });
    const mine = film;
    await film.addWhole(message.frames, message.sheets, message.previews ?? []);
    await end({ pictures: message.finished, run: message.run });
    if (mine !== film) return;
    root.dataset.frames = film.frames.length;
    paintMoments();
    find(".player-progress").textContent = "";
    showLoaded();
    show(follow ? film.frames.length - 1 : wanted);
  }

  // A run that the browser kept, as far as it came.
  async function openKept({ frames, finished: pictures, state, ...about }) {
    const now = state === "live" ? (LIVE[await runs.paintedIn(about.id)] ?? "stopped") : state;
    begin({ ...about, state: now });
    lastSeq = about.seq;
    for (const frame of frames) film.add(frame);
    root.dataset.frames = film.frames.length;
    if (now === "elsewhere") awaitElsewhere(about.id);
    else if (!isLive() && state !== "finished") say(stoppedWords(), true);
    if (pictures.length) await end({ pictures, run: about.run });
    paintMoments();
    showLoaded();
    if (film.frames.length) show(follow ? film.frames.length - 1 : wanted);
  }

  // What another tab paints is shown as far as it was kept, and again once it is over.
  function awaitElsewhere(id) {
    say("being painted in another tab of this browser", true);
    runs.over(id).then(() => {
      queue = queue.then(async () => {
        const kept = root.dataset.state === "elsewhere" && keyOf(run.run) === id && (await runs.get(id));
        if (kept) await openKept(kept);
      });
    }).catch((error) => console.error(error));
  }

  // Show a run that was here before, and the form with it; false where it isn't kept any more.
  async function reopen(id, isNew) {
    await recorder.saved();
    const kept = films.has(id) ? null : await runs.get(id);
    if (!kept && !films.has(id)) return notify("This browser has that run no more."), false;
    address.shows(id, { isNew });
    await (kept ? openKept(kept) : openFilm(films.get(id)));
    trigger("input", { run: run.run, recipe: root.held });
    return true;
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
    recorder?.end("failed");
    if (isLive()) {
      setState("failed");
      say(stoppedWords(), true);
    }
    showActions();
    notify(hint ? `${message} ${hint}` : message);
  }

  function notKept(error) {
    console.error(error);
    find(".player-unkept").textContent =
      "The browser has no room to keep this run: it lasts until the page is closed. Save what is to stay.";
    find(".player-unkept").hidden = false;
  }

  // The way back to the run that this one came from.
  async function showOrigin() {
    const [mine, from] = [run, run.source ?? ""];
    find(".player-origin").hidden = true;
    if (!from || !recorder) return;
    await recorder.saved();
    const known = films.has(from) || (await runs.list()).some(({ id }) => id === from);
    if (mine === run) find(".player-origin").hidden = !known;
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

  // Of a run that was stopped, the moment that is shown.
  function saveMoment() {
    const frame = film?.frames[at];
    const tile = frame && film.tileAt(at, smallView(), picture);
    if (!tile) return;
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = tile.slice(3);
    paint(canvas.getContext("2d"), tile, 0, 0, canvas.width, canvas.height, true);
    const stem = `${run.title} picture ${picture + 1} t ${frame.t}`.replace(/[^a-z0-9.]+/gi, "-");
    download({ name: `${stem}.png`, src: canvas.toDataURL("image/png") });
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
    goal = null;
    show(k);
    address?.at(follow ? null : film.frames[Math.max(0, k)].i);
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
      paintTiles(canvas, pictures.map((p) => film.tileAt(at, channelsOr(view), p)), look);
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
  const hasChannels = () => run?.views?.includes("channels") ?? false;
  const channelsOr = (view) => (view === "x_t" && look.channels && hasChannels() ? "channels" : view);
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
    press(".player-channels", look.channels);
    find(".player-channels").hidden = !hasChannels();
    find("[data-view=x_t] figcaption > span:last-child").textContent = channelsOr("x_t") === "channels" ? CHANNELS : WORDS.x_t;
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
    const over = run !== null && !isLive() && root.dataset.state !== "elsewhere";
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
    const stopped = over && root.dataset.state !== "finished";
    if (stopped && at >= 0) save.setAttribute("aria-disabled", "false");
    save.title = stopped
      ? "this moment's picture as a PNG, without a recipe: one would paint the whole run"
      : "the picture as a PNG, with its recipe inside";
    const whole = find("[data-ask=whole]");
    [whole.hidden, whole.disabled] = [!stopped, Boolean(waiting)];
    find("[data-ask=branch]").disabled = !over || Boolean(waiting) || at < 0 || film.frames[at].i >= run.steps;
    const enlarge = find("[data-ask=enlarge]");
    enlarge.hidden = !run?.enlarges;
    enlarge.disabled ||= at < 0 || film.frames[at].i >= second() - 1;
    const link = find(".player-link");
    link.disabled = !actions.link() && !(root.held && over);
    const part = find(".player-part");
    [part.hidden, part.disabled] = [!keeps, !about || Boolean(waiting)];
    link.title = stopped
      ? "copy a link that paints this run from its beginning to its end"
      : "copy a link that restores these settings, and this moment";
    const words = about?.recipe ?? run?.title ?? "";
    [find(".player-title").textContent, find(".player-title").title] = [words, words];
    find(".player-actions").title = about?.recipe ?? "";
    find(".player-nearest").textContent = about?.nearest ? `nearest training painting: ${about.nearest}` : "";
    root.classList.toggle("away", isLive() && !follow);
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
      if (format === "mp4" && noVideo) return notify(noVideo), false;
      trigger("select", { action, run: run.run, recipe: root.held, picture, frame, view: smallView(), ...(format && { format }),
        ...(action === "vary" && { strength: Number(find(".player-strength").value) }) });
      if (FILES[action]) wait({ words: FILES[action], token: `file ${performance.now()}` });
      return true;
    },
    stop() {
      trigger("stop", { run: run?.run });
      if (isLive()) recorder?.end("stopped", { run: run.run });
      if (waiting) refused.add(waiting);
      stopWaiting();
      if (!isLive()) return;
      setState("stopped");
      say(stoppedWords(), true);
    },
    // A run's name begins with its recipe, where it has one.
    link: () => finished[picture]?.link ?? (isLive() || !run?.run.includes(".") ? "" : run.run.split(".")[0]),
    moment: () => (keeps && film && !follow ? film.frames[Math.max(at, 0)].i : null),
    toOrigin: () => visit(run.source),
    saveMoment,
    pictures: () => run?.pictures ?? 1,
    hasRun: () => Boolean(film?.frames.length),
    isEnlarged: () => second() < Infinity,
    toFirstStage: (share) => actions.toFrame(Math.round(share * Math.min(second() - 1, run.steps))),
    notify,
  };
  wireControls(root, actions);
  if (keeps) wireTour(root, actions);
  const dividers = wireDividers(root, () => paintStage());
  new ResizeObserver(() => requestAnimationFrame(repaint)).observe(stage);

  // ---- messages

  // Gradio may say a message again when an event ends: a run begins once.
  const begun = new Set();
  function beginOnce(message) {
    if (begun.has(message.run)) return;
    begun.add(message.run);
    recorder?.begin(message);
    begin(message);
    if (address?.shows(keyOf(message.run), { isNew: true })) goal = address.moment();
  }

  async function openNew(message, isNew = true) {
    await openFilm(message);
    if (run?.run === message.run) address?.shows(keyOf(message.run), { isNew });
  }

  async function endOf(message) {
    recorder?.end("finished", message);
    await end(message);
  }

  const refused = new Set(); // waits that were stopped

  const deal = { start: beginOnce, waiting: wait, frames: addFrames, film: openNew, end: endOf, error: fail, download };

  function visit(id) {
    queue = queue.then(() => reopen(id, true));
  }

  function followAddress({ detail: { run: id, moment } }) {
    if (!root.isConnected) return document.removeEventListener("plein-air:address", followAddress);
    queue = queue.then(async () => {
      if (id && id !== keyOf(run?.run ?? "") && !(await reopen(id, false))) return;
      if (film?.frames.length) go(moment === null ? film.frames.length - 1 : film.nearest(moment));
    });
  }

  // What is there before the first message: the run that this browser kept.
  async function openFirst() {
    find(".player-unkept").hidden = await runs.lasting;
    const { kept } = await window.pleinAir.opening();
    if (!kept) return;
    await openKept(kept);
    address.shows(kept.id, { isNew: false });
    const moment = address.moment();
    if (moment !== null && film.frames.length) go(film.nearest(moment));
  }

  // Gradio tells the page of a lost connection, but no component. A page without Gradio has none.
  async function listen() {
    if (!root.isConnected || !window.gradio_config) return clearInterval(listening);
    if (!(isLive() || waiting) || performance.now() - heard < SILENCE) return;
    heard = performance.now();
    const { root: studio, api_prefix } = window.gradio_config;
    const answer = await fetch(`${studio}${api_prefix}/app_id`, { cache: "no-store" }).catch(() => null);
    if (answer?.ok || !(isLive() || waiting)) return;
    stopWaiting();
    fail({ message: LOST, hint: keeps && (await runs.lasting) ? KEPT : UNKEPT });
  }

  const listening = setInterval(listen, 1000);
  followLine(root, find(".player-progress"), say);

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
  if (keeps) {
    document.addEventListener("plein-air:address", followAddress);
    window.pleinAir.openRun = visit;
    const first = props.value && JSON.parse(props.value);
    queue = openFirst().catch((error) => console.error(error));
    if (first?.kind === "film") {
      films.set(keyOf(first.run), first);
      queue = queue.then(() => run || openNew(first, false));
      return;
    }
  }
  receive();
}

pleinAir.player = mountPlayer;
