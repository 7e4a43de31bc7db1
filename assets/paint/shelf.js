// The shelf: the runs that this browser keeps, to be opened again, starred and deleted.

const SHELF_PICTURES = 4; // of a run, on its place; of fewer the first alone
const SHELF_FEW = 6; // places that are seen while it is folded
const SHELF_STATES = { finished: "", stopped: "stopped", failed: "stopped", here: "being painted", elsewhere: "being painted in another tab" };
const STAR = "M12 3.5l2.6 5.6 6.1.7-4.5 4.2 1.2 6-5.4-3-5.4 3 1.2-6L3.3 9.8l6.1-.7z";

const seenOf = (count) => (count < SHELF_PICTURES ? 1 : SHELF_PICTURES);

// The pictures of a run that stand for it, as tiles, and what lets go of them.
async function tilesOf(about) {
  const part = await pleinAir.runs.last(about.id);
  const film = createFilm(about);
  if (Array.isArray(part)) {
    const few = part.slice(0, seenOf(part.length));
    const bitmaps = await Promise.all(few.map(({ src, small }) => pictureOf(small || src)));
    return [bitmaps.map((it) => [it, 0, 0, it.width, it.height]), () => bitmaps.forEach((it) => it.close())];
  }
  if (!part) return [[], film.close];
  const frame = film.add(part);
  await film.decode(frame);
  return [Array.from({ length: seenOf(about.pictures) }, (_, n) => film.tileAt(0, "x_0_hat", n)), film.close];
}

function whenOf(began) {
  const [then, now] = [new Date(began), new Date()];
  const time = then.toLocaleTimeString([], { hour: "numeric", minute: "2-digit" });
  if (then.toDateString() === now.toDateString()) return `today, ${time}`;
  return `${then.toLocaleDateString([], { day: "numeric", month: "short" })}, ${time}`;
}

function mountShelf(root) {
  const { runs } = pleinAir;
  root.innerHTML = `<details class="shelf" data-runs="0">
    <summary><b>Shelf</b><span class="shelf-few" aria-hidden="true"></span><span class="shelf-words"></span></summary>
    <div class="shelf-bar">
      <p class="shelf-about"></p>
      <p class="shelf-told" role="status"></p>
      <button type="button" class="lab-quiet shelf-undo" hidden>Undo</button>
      <button type="button" class="lab-quiet shelf-only" disabled>Keep only starred</button>
    </div>
    <ul></ul></details>`;
  const find = (selector) => root.querySelector(selector);
  const [shelf, list, few] = [find("details"), find("ul"), find(".shelf-few")];
  const places = new Map(); // id -> its <li>
  let gone = []; // what was deleted last
  let shown = ""; // the run in the player
  let due = false;

  function placeOf({ id }) {
    const place = document.createElement("li");
    place.dataset.run = id;
    place.innerHTML = `<button type="button" class="shelf-open"><canvas></canvas></button>
      <p class="shelf-recipe"></p><p class="shelf-when"></p>
      <div><button type="button" class="shelf-star" title="starred ones stay when others make room"><svg viewBox="0 0 24 24" aria-hidden="true"><path d="${STAR}"/></svg></button
      ><button type="button" class="shelf-delete" title="delete it from this browser">✕</button></div>`;
    return place;
  }

  async function paintPlace(canvas, about) {
    const look = `${about.id} ${about.state} ${about.bytes > 0} ${canvas.clientWidth}`;
    if (canvas.dataset.look === look || !canvas.clientWidth) return;
    canvas.dataset.look = look;
    const [tiles, close] = await tilesOf(about);
    if (tiles.length) paintTiles(canvas, tiles, { gap: 2 });
    close();
  }

  function describe(place, about) {
    const { title } = about;
    const state = SHELF_STATES[about.now];
    const pictures = about.pictures > 1 ? counted(about.pictures, "picture") : "";
    const write = (selector, words) => (place.querySelector(selector).textContent = words);
    write(".shelf-recipe", title);
    write(".shelf-when", [whenOf(about.began), pictures, state].filter(Boolean).join(" · "));
    place.title = title;
    const [open, star, remove] = place.querySelectorAll("button");
    open.ariaLabel = ["open", title, pictures, state].filter(Boolean).join(", ");
    star.ariaLabel = `star, ${title}`;
    star.ariaPressed = String(Boolean(about.starred));
    remove.ariaLabel = `delete, ${title}`;
    remove.disabled = goesOn(about);
  }

  // What is kept of every run, and `now`: its state, or where it goes on.
  async function listed() {
    return Promise.all((await runs.list()).map(async (about) => {
      const now = about.state === "live" ? (await runs.paintedIn(about.id)) || "stopped" : about.state;
      return { ...about, now };
    }));
  }

  const goesOn = ({ now }) => now in LIVE;
  const canGo = (about) => !about.starred && !goesOn(about);

  async function show() {
    due = false;
    const [all, lasting] = [await listed(), await runs.lasting];
    for (const [id, place] of places) {
      if (all.some((about) => about.id === id)) continue;
      place.remove();
      places.delete(id);
    }
    all.forEach((about, n) => {
      if (!places.has(about.id)) places.set(about.id, placeOf(about));
      const place = places.get(about.id);
      if (list.children[n] !== place) list.insertBefore(place, list.children[n] ?? null);
      describe(place, about);
    });
    const starred = all.filter((about) => about.starred);
    const bytes = all.reduce((sum, about) => sum + about.bytes, 0);
    const kept = lasting ? "kept in this browser" : "kept until this page is closed";
    const words = [`${counted(all.length, "run")} ${kept}`, starred.length && `${starred.length} starred`];
    find(".shelf-words").textContent = all.length ? words.filter(Boolean).join(" · ") : `what you paint is ${kept}`;
    find(".shelf-about").textContent = lasting
      ? `Kept by this browser alone, and not by the studio: the newest ${MOST_RUNS} runs, ${megabytes(bytes)} of ${megabytes(MOST_BYTES)} now. Starred ones stay.`
      : "This browser lets the page keep nothing, as in a private window or a frame: these runs are here until the page is closed.";
    find(".shelf-only").disabled = !all.some(canGo);
    shelf.dataset.runs = all.length;
    mark();
    const seen = all.slice(0, SHELF_FEW);
    while (few.children.length > seen.length) few.lastChild.remove();
    while (few.children.length < seen.length) few.append(document.createElement("canvas"));
    for (const [n, about] of seen.entries()) await paintPlace(few.children[n], about);
    for (const about of all) await paintPlace(places.get(about.id).querySelector("canvas"), about);
  }

  const megabytes = (bytes) => `${Math.ceil(bytes / 1e6)} MB`;

  function mark() {
    for (const [id, place] of places) place.firstElementChild.toggleAttribute("aria-current", id === shown);
  }

  // At most once a frame, and one after the other.
  let showing = Promise.resolve();
  function changed() {
    if (!root.isConnected) return stop();
    if (due) return;
    due = true;
    requestAnimationFrame(() => (showing = showing.then(show).catch((error) => console.error(error))));
  }

  async function remove(ids) {
    gone = await Promise.all(ids.map((id) => runs.get(id)));
    for (const id of ids) await runs.delete(id);
    tell(`${counted(ids.length, "run")} deleted.`, true);
  }

  async function undo() {
    for (const { frames, finished, ...about } of gone) await runs.put(about, frames, finished.length ? finished : null);
    tell(`${counted(gone.length, "run")} back.`, false);
    gone = [];
  }

  async function keepOnlyStarred() {
    await remove((await listed()).filter(canGo).map(({ id }) => id));
  }

  function tell(words, canUndo) {
    find(".shelf-told").textContent = words;
    find(".shelf-undo").hidden = !canUndo;
  }

  async function press(button) {
    const id = button.closest("li")?.dataset.run;
    if (button.matches(".shelf-open")) {
      pleinAir.showPlayer("paint");
      if (id !== shown) pleinAir.openRun(id);
    } else if (button.matches(".shelf-star")) await runs.star(id, button.ariaPressed !== "true");
    else if (button.matches(".shelf-delete")) await remove([id]);
    else if (button.matches(".shelf-only")) await keepOnlyStarred();
    else await undo();
  }

  root.addEventListener("click", ({ target }) => {
    const button = target.closest("button");
    if (button) press(button).catch((error) => tell(`That could not be done: ${error.message}`, false));
  });
  shelf.addEventListener("toggle", changed);
  function look({ detail }) {
    shown = pleinAir.keyOf(detail.run);
    mark();
  }
  function stop() {
    document.removeEventListener("plein-air:runs", changed);
    document.removeEventListener("visibilitychange", changed); // another tab may have painted
    document.removeEventListener("plein-air:moment", look);
  }
  document.addEventListener("plein-air:runs", changed);
  document.addEventListener("visibilitychange", changed);
  document.addEventListener("plein-air:moment", look);
  new ResizeObserver(changed).observe(root);
}

pleinAir.shelf = mountShelf;
