// The runs that were painted on the page, as this browser keeps them; the server has no part in it.
//
//   await runs.put(about, frames, finished)  keep a run, or what came of it since; about has an id
//   await runs.get(id)                       {...about, frames, finished}, or null
//   await runs.list()                        every about, the newest first
//   await runs.delete(id)
//   await runs.lasting                       whether they outlast the page

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
    async write(about, parts) {
      const [runs, kept, done] = begin("readwrite");
      runs.put(about);
      for (const [name, part] of parts) kept.put(part, [about.id, name]);
      await done;
    },
    async read(id) {
      const [runs, kept] = begin("readonly");
      return Promise.all([answered(runs.get(id)), answered(kept.getAll(partsOf(id)))]);
    },
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
    async write(about, parts) {
      const before = kept.get(about.id)?.[1] ?? [];
      kept.set(about.id, [about, new Map([...before, ...parts])]);
    },
    read: async (id) => [kept.get(id)?.[0], [...(kept.get(id)?.[1].values() ?? [])]],
    all: async () => [...kept.values()].map(([about]) => about),
    drop: async (id) => kept.delete(id),
  };
}

function createRuns() {
  const disk = openDatabase().then(onDisk, () => null);
  const store = disk.then((found) => found ?? inMemory());
  const textBytes = (pictures) => pictures.reduce((sum, { src, small }) => sum + src.length + small.length, 0);

  async function put(about, frames = [], finished = null) {
    const [kept, before] = [await store, (await list()).find(({ id }) => id === about.id)];
    const parts = frames.map((frame) => [frame.i, frame]);
    if (finished) parts.push(["finished", finished]);
    const added = frames.reduce((sum, { blob }) => sum + blob.size, finished ? textBytes(finished) : 0);
    await kept.write({ ...about, bytes: (before?.bytes ?? 0) + added }, parts);
    let [count, bytes] = [0, 0];
    for (const run of await list()) {
      [count, bytes] = [count + 1, bytes + run.bytes];
      if (run.id !== about.id && (count > MOST_RUNS || bytes > MOST_BYTES)) await kept.drop(run.id);
    }
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

  const remove = async (id) => (await store).drop(id);

  return { put, get, list, delete: remove, lasting: disk.then(Boolean) };
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
    return save(finished);
  }

  addEventListener("pagehide", () => save());

  return {
    isLive: (id) => about?.id === id && about.state === "live",
    begin(message) {
      if (about?.state === "live") change("stopped");
      about = { ...message, id: keyOf(message.run), began: Date.now(), state: "live" };
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

pleinAir.keepSettings = (names, values) => {
  const settings = Object.fromEntries(names.map((name, n) => [name, values[n]]));
  try {
    localStorage.setItem(SETTINGS, JSON.stringify(settings));
  } catch {
    // storage is forbidden, as the player says
  }
};

function keptSettings() {
  try {
    return JSON.parse(localStorage.getItem(SETTINGS));
  } catch {
    return null; // as above
  }
}

// ---- what the page opens with: a run that is kept, or what a link asks for; and the form's values

async function readOpening() {
  const link = new URL(location.href).searchParams.get("recipe") ?? "";
  const here = history.state?.run ? await pleinAir.runs.get(history.state.run) : null;
  const [newest] = here || link ? [] : await pleinAir.runs.list();
  const kept = here ?? (newest ? await pleinAir.runs.get(newest.id) : null);
  return { kept, link: here ? "" : link, settings: keptSettings() };
}

const opening = readOpening();

pleinAir.opening = () => opening;
pleinAir.openingWords = async () => {
  const { link, settings } = await opening;
  if (settings?.keep === false) pleinAir.drewSeed(settings.seed);
  return JSON.stringify({ link, settings });
};
