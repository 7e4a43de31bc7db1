// The runs that were painted on the page, as this browser keeps them; the server has no part in it.
//
//   await runs.put(about, frames, finished)  keep a run, or what came of it since; about has an id
//   await runs.get(id)                       {...about, frames, finished}, or null
//   await runs.last(id)                      its finished pictures, else its last frame, else null
//   await runs.list()                        every about, the newest first
//   await runs.star(id, on)                  starred ones don't make room for others
//   await runs.delete(id)
//   await runs.lasting                       whether they outlast the page
//   runs.hold(id), runs.release(id)          this tab paints it, and no more
//   await runs.paintedIn(id)                 "here", "elsewhere" (in another tab), or "" (nowhere)
//   await runs.over(id)                      until no other tab paints it
//
// The document hears "plein-air:runs" whenever one of them has changed.

const MOST_RUNS = 20;
const MOST_BYTES = 100e6;

const answered = (request) =>
  new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });

// "runs" has what is said of each; "parts" its frames, by [id, i], and its pictures: [id, "finished"].
async function openDatabase() {
  const request = indexedDB.open("plein-air", 1);
  request.onupgradeneeded = () => {
    request.result.createObjectStore("runs", { keyPath: "id" });
    request.result.createObjectStore("parts");
  };
  return answered(request);
}

function onDisk(database) {
  const begin = (mode) => {
    const both = database.transaction(["runs", "parts"], mode);
    const done = new Promise((resolve, reject) => {
      both.oncomplete = resolve;
      both.onabort = () => reject(both.error);
    });
    return [both.objectStore("runs"), both.objectStore("parts"), done];
  };
  const partsOf = (id) => IDBKeyRange.bound([id], [id, []]);
  return {
    // `make` turns what was said of the run before, if anything, into what is said now.
    async write(id, make, parts) {
      const [runs, kept, done] = begin("readwrite");
      runs.put(make(await answered(runs.get(id))));
      for (const [name, part] of parts) kept.put(part, [id, name]);
      await done;
    },
    async read(id) {
      const [runs, kept] = begin("readonly");
      return Promise.all([answered(runs.get(id)), answered(kept.getAll(partsOf(id)))]);
    },
    // Numbers come before words: the finished pictures are the last part.
    last: async (id) => (await answered(begin("readonly")[1].openCursor(partsOf(id), "prev")))?.value,
    all: () => answered(begin("readonly")[0].getAll()),
    async drop(id) {
      const [runs, kept, done] = begin("readwrite");
      runs.delete(id);
      kept.delete(partsOf(id));
      await done;
    },
  };
}

// Where a page may keep nothing: until it is closed.
function inMemory() {
  const kept = new Map(); // id -> [about, parts by name]
  return {
    async write(id, make, parts) {
      const [about, before] = kept.get(id) ?? [undefined, []];
      kept.set(id, [make(about), new Map([...before, ...parts])]);
    },
    last: async (id) => [...(kept.get(id)?.[1].values() ?? [])].at(-1),
    read: async (id) => [kept.get(id)?.[0], [...(kept.get(id)?.[1].values() ?? [])]],
    all: async () => [...kept.values()].map(([about]) => about),
    drop: async (id) => kept.delete(id),
  };
}

function createRuns() {
  const disk = openDatabase().then(onDisk, () => null);
  const store = disk.then((found) => found ?? inMemory());
  const textBytes = (pictures) => pictures.reduce((sum, { src, small }) => sum + src.length + small.length, 0);

  const changed = () => document.dispatchEvent(new CustomEvent("plein-air:runs"));

  async function put(about, frames = [], finished = null) {
    const parts = frames.map((frame) => [frame.i, frame]);
    if (finished) parts.push(["finished", finished]);
    const added = frames.reduce((sum, { blob }) => sum + blob.size, finished ? textBytes(finished) : 0);
    const make = (before) => ({
      ...about,
      starred: Boolean((before ?? about).starred),
      bytes: (before?.bytes ?? 0) + added,
    });
    await (await store).write(about.id, make, parts);
    await makeRoom(about.id);
    changed();
  }

  // The oldest give way; starred ones don't, nor does the one that was put there last.
  async function makeRoom(newest) {
    const stays = ({ id, starred }) => id === newest || starred;
    const [kept, all] = [await store, await list()];
    let [count, bytes] = [0, 0];
    for (const run of [...all.filter(stays), ...all.filter((run) => !stays(run))]) {
      [count, bytes] = [count + 1, bytes + run.bytes];
      if (!stays(run) && (count > MOST_RUNS || bytes > MOST_BYTES)) await kept.drop(run.id);
    }
  }

  async function star(id, starred) {
    await (await store).write(id, (before) => ({ ...before, starred }), []);
    changed();
  }

  async function get(id) {
    const [about, parts] = await (await store).read(id);
    if (!about) return null;
    const finished = parts.find(Array.isArray) ?? [];
    return { ...about, frames: parts.filter((part) => !Array.isArray(part)), finished };
  }

  async function list() {
    return (await (await store).all()).sort((a, b) => b.began - a.began);
  }

  const last = async (id) => (await (await store).last(id)) ?? null;

  async function remove(id) {
    await (await store).drop(id);
    changed();
  }

  // Which runs this tab paints. It holds a lock for each, which other tabs see and which ends with
  // it, where browsers have locks: not on a page that came unencrypted from another machine.
  const here = new Map(); // id -> what lets go of its lock
  const lockOf = (id) => `plein-air:${id}`;
  const locks = disk.then((found) => found && navigator.locks);

  async function hold(id) {
    const over = new Promise((resolve) => here.set(id, resolve));
    await (await locks)?.request(lockOf(id), () => over);
  }

  function release(id) {
    here.get(id)?.();
    here.delete(id);
  }

  async function paintedIn(id) {
    if (here.has(id)) return "here";
    const { held = [] } = (await (await locks)?.query()) ?? {};
    return held.some(({ name }) => name === lockOf(id)) ? "elsewhere" : "";
  }

  const over = async (id) => (await locks)?.request(lockOf(id), { mode: "shared" }, () => {});

  const lasting = disk.then(Boolean);
  return { put, get, last, list, star, delete: remove, lasting, hold, release, paintedIn, over };
}

const SAVED_EVERY = 500; // ms, while a run goes on

// The name under which a run is kept: the part of its name that isn't its recipe.
const keyOf = (run) => run.split(".").at(-1);

// Keeps the run that a player is being sent, whether it is shown or not; `tell` hears of trouble.
function createRecorder(runs, tell) {
  let about = null;
  let waiting = [];
  let timer = 0;
  let saved = Promise.resolve();

  function save(finished) {
    clearTimeout(timer);
    timer = 0;
    if (!about) return saved;
    const [now, frames] = [{ ...about }, waiting];
    waiting = [];
    saved = saved.then(() => runs.put(now, frames, finished)).catch(tell);
    return saved;
  }

  function change(state, finished) {
    if (!about) return saved;
    about.state = state;
    const { id } = about;
    return save(finished).then(() => runs.release(id)); // who waits for that finds the run as it ended
  }

  addEventListener("pagehide", () => save());

  return {
    begin(message) {
      if (about?.state === "live") change("stopped");
      about = { ...message, id: keyOf(message.run), began: Date.now(), state: "live" };
      runs.hold(about.id).catch(tell);
      save();
    },
    add({ run, seq }, frames) {
      if (run !== about?.run || seq <= about.seq) return;
      about.seq = seq;
      waiting.push(...frames);
      timer ||= setTimeout(save, SAVED_EVERY);
    },
    end(state, { run = about?.run, seq = about?.seq, pictures } = {}) {
      if (!about || run !== about.run) return saved;
      about.seq = seq;
      return change(state, pictures);
    },
    saved: () => save(),
  };
}

pleinAir.runs = createRuns();
pleinAir.recorder = createRecorder;
pleinAir.keyOf = keyOf;

// ---- the form

const SETTINGS = "plein-air:settings";
const START = "plein-air:start";

pleinAir.keepSettings = (names, values) => {
  const settings = Object.fromEntries(names.map((name, n) => [name, values[n]]));
  try {
    localStorage.setItem(SETTINGS, JSON.stringify(settings));
  } catch {
    // storage is forbidden, as the player says
  }
};

// What a painting starts from: some of {mode, picture, drawn, t, careful}, pictures as recipes have them.
pleinAir.keepStart = (part) => {
  try {
    localStorage.setItem(START, JSON.stringify({ ...kept(START), ...part }));
  } catch {
    // as above; or there is no room for a picture
  }
};

function kept(name) {
  try {
    return JSON.parse(localStorage.getItem(name));
  } catch {
    return null; // as above
  }
}

// ---- what the page opens with: a run that is kept, or what a link asks for; and the form's values

async function readOpening() {
  const link = new URL(location.href).searchParams.get("recipe") ?? "";
  const here = history.state?.run ? await pleinAir.runs.get(history.state.run) : null;
  const [newest] = here || link ? [] : await pleinAir.runs.list();
  const run = here ?? (newest ? await pleinAir.runs.get(newest.id) : null);
  return { kept: run, link: here ? "" : link, settings: kept(SETTINGS), start: kept(START) };
}

const opening = readOpening();

pleinAir.opening = () => opening;
pleinAir.openingWords = async () => {
  const { link, settings, start } = await opening;
  if (settings?.keep === false) pleinAir.drewSeed(settings.seed);
  return JSON.stringify({ link, settings, start: (start?.mode ?? "noise") === "noise" ? null : start });
};
