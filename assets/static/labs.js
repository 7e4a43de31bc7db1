// Noise and Mix without a server: pictures are noised here, and the way back is the worker's.
// What a visitor opens stays in this page.

const LOCAL = "What you open stays on this device: nothing is sent anywhere.";
const WAY_BACK_STEPS = 100;

// A picture file cropped to the middle and brought to the model's side, as an address.
async function squareOf(file, side) {
  const bitmap = await createImageBitmap(file).catch(() => null);
  if (!bitmap) throw new Error(`${file.name} is no picture that this browser can read. Choose a JPEG or a PNG.`);
  const length = Math.min(bitmap.width, bitmap.height);
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = side;
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, (bitmap.width - length) / 2, (bitmap.height - length) / 2, length, length, 0, 0, side, side);
  return canvas.toDataURL("image/png");
}

// Channels first, as the network takes them; of a grey model the first channel alone.
function planesOf(values, side, channels) {
  const out = new Float32Array(channels * side * side);
  for (let i = 0; i < side * side; i += 1) for (let c = 0; c < channels; c += 1) out[c * side * side + i] = values[3 * i + c];
  return out;
}

function interleavedOf(planes, side, channels) {
  const out = new Float32Array(3 * side * side);
  for (let i = 0; i < side * side; i += 1) for (let c = 0; c < 3; c += 1) out[3 * i + c] = planes[(channels === 1 ? 0 : c) * side * side + i];
  return out;
}

// What a laboratory's panel has: pictures to choose, the slider over t, a form, a player.
function buildLab(tab, card, { intro, instrument, fields, act }) {
  const panel = document.getElementById(tab);
  const root = (name) => `<div class="block plein-air-lab plein-air-${name}"><div class="lab-root"></div></div>`;
  panel.innerHTML = `<p class="lab-intro static-intro">${intro}</p>
    <div class="studio-easel">
      <div class="studio-controls">
        ${root("picker")}
        <label class="static-file">Open a picture<input type="file" accept="image/*"></label>
        <p class="static-status" role="status">${LOCAL}</p>
        <form class="static-form">${fields}</form>
      </div>
      <div class="studio-pictures">${root(instrument)}${root("time")}
        <div class="lab-row"><button type="button" class="primary lab-act">${act}</button></div>
        <div class="block plein-air-player"><div class="player-root"></div></div>
      </div>
    </div>`;
  const find = (selector) => panel.querySelector(selector);
  wireForm(find("form"));
  return { find, form: find("form"), say: (words) => (find(".static-status").textContent = words) };
}

// A laboratory: `sources` pictures chosen from the examples and files, and what is painted from them.
function wireLab(tab, card, painter, { recipes, diffusion }, { sources, intro, instrument, fields, act, shown, start }) {
  const lab = buildLab(tab, card, { intro, instrument, fields: fields + runFields(card, diffusion.SAMPLERS, Math.min(WAY_BACK_STEPS, card.most_steps)) + seedField(0, false), act });
  const T = card.network.alphas_cumprod.length;
  const pictures = card.examples.map(({ picture, recipe }) => ({ src: picture, name: `seed ${recipe.seed}` }));
  const chosen = Array.from({ length: sources }, (_, n) => Math.min(n, pictures.length - 1));
  let [slot, turn] = [0, 0];
  let materials = [];

  const picker = component((_, { picture, slot: to }) => {
    if (to !== undefined) slot = to;
    else {
      chosen[slot] = picture;
      slot = (slot + 1) % sources;
    }
    show();
  });
  const drawn = component(() => {});
  pleinAir.picker(lab.find(".plein-air-picker .lab-root"), { ...picker, tab, label: "pictures" });
  pleinAir[instrument](lab.find(`.plein-air-${instrument} .lab-root`), { ...drawn, tab });
  const time = component(() => {});
  time.props.value = `${Math.round(T / 2)}/${T}`;
  pleinAir.time(lab.find(".plein-air-time .lab-root"), { ...time, tab, label: "t, from noise to picture" });

  // x_0 and eps of each chosen picture; the studio draws the same eps of the same seed.
  async function materialsNow(seed) {
    return Promise.all(chosen.map(async (n, which) => {
      const bitmap = await pictureOf(pictures[n].src);
      const noise = new diffusion.SeededNoise([diffusion.derivedSeed(seed, which)]);
      const eps = noise.draw(card.channels * card.size ** 2);
      return { x0: pixelsOf(bitmap), eps: interleavedOf(eps, card.size, card.channels), side: card.size, alphaBar: [1, ...card.network.alphas_cumprod] };
    }));
  }

  async function show() {
    const mine = (turn += 1);
    const key = chosen.join();
    picker.say({ kind: "pictures", pictures, chosen: [...chosen], mode: sources > 1 ? "pair" : "one", slot, key });
    const found = await materialsNow(Number(lab.form.elements.seed.value) || 0);
    if (mine !== turn) return;
    materials = found;
    share(tab, shown(found, key));
  }

  lab.find("input[type=file]").addEventListener("change", async ({ target }) => {
    try {
      const [file] = target.files;
      pictures.push({ src: await squareOf(file, card.size), name: file.name });
      chosen[slot] = pictures.length - 1;
      slot = (slot + 1) % sources;
      lab.say(LOCAL);
      await show();
    } catch (error) {
      lab.say(error.message);
    } finally {
      target.value = "";
    }
  });
  lab.form.addEventListener("change", ({ target }) => target.name === "seed" && show());

  const player = component((event, { action, run, picture, view } = {}) => {
    if (event === "stop") painter.stop();
    else if (action === "strip") painter.ask("strip", { run, picture, view }, player.say);
    else if (action === "whole") paint();
  });
  pleinAir.player(lab.find(".plein-air-player"), player.trigger, player.props, player.watch, { keeps: false, noVideo: "" });

  function paint() {
    try {
      const { t } = bench(tab);
      if (t === 0) throw Object.assign(new Error("At t = 0 nothing is left to paint."), { hint: "Move the slider towards noise." });
      const { mix, rule, ...values } = readForm(lab.form);
      const recipe = recipes.completeRecipe(recipes.parseRecipe(JSON.stringify({ format: "plein-air/2", model: card.model, ...values, eta: values.sampler === "ddim" ? 1 : 0 })), card);
      const { x_t, title, file } = start(materials, t, { mix, rule });
      painter.ask("from", { recipe, x_t: planesOf(x_t, card.size, card.channels), t, title, file }, player.say);
      pleinAir.showPlayer(tab);
    } catch (error) {
      player.say({ kind: "error", message: error.message, hint: error.hint ?? "", token: token() });
    }
  }
  lab.find(".lab-act").addEventListener("click", paint);
  if (pictures.length) show();
  return lab;
}

function wireNoise(card, painter, modules) {
  wireLab("noise", card, painter, modules, {
    sources: 1,
    intro: `Drag ${maths("t")}: the picture dissolves into noise. From any moment the model paints what it takes the rest for.`,
    instrument: "noise",
    fields: "",
    act: "Denoise from here",
    shown: ([material]) => ({ material }),
    start: ([{ x0, eps, alphaBar }], t) => ({ x_t: noised(x0, eps, alphaBar[t]), title: `denoised from t = ${t}`, file: `denoising-${t}` }),
  });
}

const MIXED = [["variance_kept", "linear, variance kept"], ["linear", "linear, two noises"], ["shared", "linear, one noise"], ["slerp", "slerp"]];

function wireMix(card, painter, modules) {
  const lab = wireLab("mix", card, painter, modules, {
    sources: 2,
    intro: `Both pictures are noised to the same ${maths("t")} and mixed there; the model paints what the mixture could have been. A small ${maths("t")} blends pixels, a large one invents a new painting.`,
    instrument: "mixture",
    fields: field("mix", "mix", range("mix", 0, 1, 0.5, 0.05), "0 is A, 1 is B") + field("rule", "rule", choice("rule", MIXED)),
    act: "Mix",
    shown: ([first, second], key) => ({ pair: { key, first, second, side: first.side, alphaBar: first.alphaBar }, material: first }),
    start([first, second], t, { mix, rule }) {
      const a = first.alphaBar[t];
      const [s, n] = [Math.sqrt(a), Math.sqrt(1 - a)];
      const other = rule === "shared" ? first.eps : second.eps;
      const angle = rule === "slerp" ? angleBetween(noised(first.x0, first.eps, a), noised(second.x0, other, a)) : null;
      const [u, w] = mixWeights(rule, mix, angle);
      const x_t = first.x0.map((x, i) => s * (u[0] * x + u[1] * second.x0[i]) + n * (w[0] * first.eps[i] + w[1] * other[i]));
      return { x_t, title: `mixed at t = ${t}, λ = ${mix}, ${rule.replace("_", " ")}`, file: `mixing-${t}` };
    },
  });
  const tell = () => share("mix", { mix: Number(lab.form.elements.mix.value), rule: lab.form.elements.rule.value });
  lab.form.addEventListener("input", tell);
  tell();
}
