// The page without a server: a worker paints, and its messages go to the studio's own player.

const TABS = ["paint", "noise", "mix"];
const PAINT_LINE = "static:loading"; // the token of a wait for the network

const token = () => crypto.getRandomValues(new Uint32Array(2)).join("-"); // randomUUID needs https

// What Gradio is to the studio's components: a value that they watch, and events.
function component(trigger) {
  const watchers = [];
  const props = { value: "" };
  return {
    trigger,
    props,
    watch: (_, act) => watchers.push(act),
    say(message) {
      props.value = typeof message === "string" ? message : JSON.stringify(message);
      watchers.forEach((act) => act());
    },
  };
}

// What paints: one worker, whose messages go to whoever asked last.
function createPainter(card, status) {
  const worker = new Worker("worker.js", { type: "module" });
  let listener = () => {};
  let refused = null;
  let ready = ""; // what is said once the network is there

  worker.addEventListener("message", ({ data }) => {
    const message = JSON.parse(data);
    if (message.kind === "loading") {
      status(message.words);
      if (!ready) listener(waitingWords(message.words));
    } else if (message.kind === "ready") {
      ready = readyWords(message);
      status(ready);
      document.documentElement.dataset.backend = message.backend;
    } else if (message.kind === "refused") {
      refused = message;
      status(`${message.message} ${message.hint}`);
      listener(failure(refused));
    } else {
      if (ready) status(ready); // a second stage's loading is over
      listener(data);
    }
  });
  worker.addEventListener("error", (event) => {
    refused = { message: `What paints has stopped. ${event.message ?? ""}`, hint: "Reload the page." };
    status(`${refused.message} ${refused.hint}`);
    listener(failure(refused));
  });
  const failure = ({ message, hint }) => ({ kind: "error", message, hint, token: token() });
  const waitingWords = (words) => ({ kind: "waiting", words, progress: null, token: PAINT_LINE });

  (async () => {
    const gpu = await navigator.gpu?.requestAdapter().catch(() => null);
    worker.postMessage({ ask: "load", card, webgpu: Boolean(gpu) });
  })();

  return {
    // Ask for something; `listen` hears of what comes.
    ask(ask, about, listen) {
      if (listen) listener = listen;
      if (refused) return listener(failure(refused));
      if (!ready && listen) listen(waitingWords("loading the network"));
      worker.postMessage({ ask, ...about });
    },
    stop: () => worker.postMessage({ ask: "stop" }),
  };
}

function readyWords({ backend, threads }) {
  if (backend === "webgpu") return "ready: this device's GPU paints";
  if (threads > 1) return `ready: this device paints with ${threads} threads`;
  const why = crossOriginIsolated ? "" : "; several need headers that this server doesn't send";
  return `ready: this device paints with one thread${why}`;
}

function wireTabs() {
  const buttons = TABS.map((tab) => document.getElementById(`${tab}-button`));
  for (const button of buttons) {
    button.addEventListener("click", () => {
      for (const each of buttons) {
        const on = each === button;
        each.ariaSelected = String(on);
        each.tabIndex = on ? 0 : -1;
        each.classList.toggle("selected", on);
        document.getElementById(each.getAttribute("aria-controls")).hidden = !on;
      }
    });
  }
}

// A stored run, as a player takes it.
function filmOf({ picture, film, recipe, frames }, { titleOf, fileNameOf, card, link }) {
  const finished = { src: picture, name: `${fileNameOf(recipe)}.png`, recipe: titleOf(recipe, card), seed: recipe.seed, link, nearest: "", small: "", small_name: "" };
  return {
    kind: "film", run: `${link}.example${recipe.seed}`, title: titleOf(recipe, card), tile: [card.size, card.size], steps: recipe.steps,
    frames, sheets: [film], finished: [finished], T: card.network.alphas_cumprod.length, second: null, small: null,
    views: ["x_t", "x_0_hat", "eps_hat"], kept: false, enlarges: false, previews: [],
  };
}

async function wirePaint(card, painter, { recipes, diffusion }) {
  const panel = document.getElementById("paint");
  const form = panel.querySelector("form");
  form.innerHTML = runFields(card, diffusion.SAMPLERS, card.steps) + seedField(pleinAir.newSeed())
    + field("pictures", "pictures", range("pictures", 1, 4, 1), "painted at once") + stageFields(card);
  wireForm(form);
  panel.querySelector(".static-fold").open = matchMedia("(min-width: 961px)").matches;

  const ask = (what, about) => painter.ask(what, about, player.say);
  const player = component((event, { action, run, picture, frame, view } = {}) => {
    if (event === "stop") painter.stop();
    else if (event === "input") recipes.fromLink(run.split(".")[0]).then(follow, trouble);
    else if (action === "strip") painter.ask("strip", { run, picture, view }, player.say);
    else if (action === "whole") ask("whole", { run });
  });
  const follow = (recipe) => setForm(form, recipe);

  function paint(recipe) {
    follow(recipe);
    ask("paint", { recipe });
    pleinAir.showPlayer("paint");
  }

  const trouble = (error) => player.say({ kind: "error", message: error.message, hint: error.hint ?? "", token: token() });

  async function restore(read) {
    try {
      paint(recipes.completeRecipe(await read(), card));
    } catch (error) {
      trouble(error);
    }
  }

  panel.querySelector(".studio-paint").addEventListener("click", () => {
    try {
      const seed = form.elements.seed;
      seed.value = pleinAir.nextSeed(Number(seed.value), form.elements.keep.checked);
      paint(recipes.completeRecipe(recipes.parseRecipe(JSON.stringify({ format: "plein-air/2", model: card.model, ...readForm(form) })), card));
    } catch (error) {
      trouble(error);
    }
  });

  const openFile = (file) => restore(async () => recipes.recipeIn(new Uint8Array(await file.arrayBuffer())));
  const input = panel.querySelector("#recipe-drop input");
  input.addEventListener("change", () => input.files.length && openFile(input.files[0]).finally(() => (input.value = "")));
  pleinAir.dropped = (_, [file]) => {
    document.getElementById("paint-button").click();
    return openFile(file);
  };

  const films = await Promise.all(card.examples.map(async (example) =>
    filmOf(example, { ...recipes, card, link: await recipes.toLink(example.recipe) })));
  const { link } = await pleinAir.opening();
  if (films.length && !link) player.props.value = JSON.stringify(films[0]);
  pleinAir.player(panel.querySelector(".plein-air-player"), player.trigger, player.props, player.watch, { keeps: true, noVideo: "" });
  if (link) restore(() => recipes.fromLink(link));

  const examples = component((_, { index }) => {
    player.say(films[index]);
    follow(card.examples[index].recipe);
    pleinAir.showPlayer("paint");
  });
  pleinAir.examples(panel.querySelector(".plein-air-examples .lab-root"), examples);
  const thumbs = card.examples.map(({ picture, recipe }) => ({ src: picture, name: `seed ${recipe.seed}` }));
  examples.say({ kind: "examples", title: `painted by ${card.model}`, examples: thumbs });
}

async function openStudio() {
  document.body.classList.toggle("dark", matchMedia("(prefers-color-scheme: dark)").matches);
  const status = (words) => (document.querySelector(".static-status").textContent = words);
  wireTabs();
  const at = (name) => import(new URL(name, document.baseURI));
  try {
    const [recipes, diffusion, answer] = await Promise.all([at("recipe.js"), at("diffusion.js"), fetch("card.json")]);
    const card = await answer.json();
    document.querySelector(".static-model").textContent = card.summary;
    const code = document.querySelector(".static-code");
    const studio = card.studio ?? card.code; // the studio that serves this page, or its code
    [code.hidden, code.href] = [!studio, studio];
    const painter = createPainter(card, status);
    await wirePaint(card, painter, { recipes, diffusion });
    wireNoise(card, painter, { recipes, diffusion });
    wireMix(card, painter, { recipes, diffusion });
  } catch (error) {
    status(`The page could not be opened whole (${error.message}). Look at the connection, and reload it.`);
    throw error;
  }
}

openStudio();
