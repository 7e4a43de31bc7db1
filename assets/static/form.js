// The settings of a run, as plain controls; their values are fields of a recipe.

// A control of each kind, in a label with its name and a sentence under it.
function field(name, label, control, info = "") {
  return `<label class="static-field"><span>${label}</span>${control}${info ? `<small>${info}</small>` : ""}</label>`;
}

const choice = (name, options) =>
  `<select name="${name}">${options.map(([value, words]) => `<option value="${value}">${escaped(words)}</option>`).join("")}</select>`;

const range = (name, low, high, value, step = 1) =>
  `<span class="static-range"><input type="range" name="${name}" min="${low}" max="${high}" step="${step}" value="${value}"><output>${value}</output></span>`;

const whole = (name, low, high, value) => `<input type="number" name="${name}" min="${low}" max="${high}" step="1" value="${value}" required>`;

const seedField = (value, keep = true) => `<div class="static-seed">
  ${field("seed", "seed", whole("seed", 0, 2 ** 32 - 1, value))}
  <button type="button" class="static-dice" title="another seed" aria-label="another seed">⟳</button>
  ${keep ? '<label class="static-keep"><input type="checkbox" name="keep"> keep</label>' : ""}</div>`;

const ABOUT = {
  "dpm-solver-sde": "A second-order solver that adds noise back at every step: good in 25 to 100 steps.",
  ddpm: "The paper's ancestral sampling: noise is added back at every step.",
  ddim: "Follows the same marginals without noise: one seed, one path.",
};

// The settings that all runs have; `steps` are those from T to 0.
function runFields(card, labels, steps) {
  const classes = card.labels.map((name, n) => [n, name]);
  if (card.null_label !== null) classes.unshift(["", "any"]);
  return [
    field("sampler", "sampler", choice("sampler", card.samplers.map((name) => [name, labels[name].label])), `<span data-about></span>`),
    field("steps", "steps", range("steps", 1, card.most_steps, steps)),
    classes.length ? field("label", "class", choice("label", classes)) : "",
  ].join("");
}

const stageFields = (card) =>
  card.stage
    ? field("size", "size", choice("size", [[card.size, `${card.size} px`], [4 * card.size, `${4 * card.size} px, by a second stage`]]),
        "the second stage's network is loaded when it is first asked for")
    : "";

// Read a form: whole numbers as such, nothing where nothing was chosen. Refused is what isn't one.
function readForm(form) {
  const values = {};
  for (const control of form.elements) {
    if (!control.name || control.type === "checkbox" || control.value === "") continue;
    values[control.name] = /^-?\d+(\.\d+)?$/.test(control.value) ? Number(control.value) : control.value;
  }
  const bad = [...form.elements].find((control) => control.name && !control.checkValidity());
  if (bad) {
    const { name, value, min, max } = bad;
    throw Object.assign(new Error(`The ${name} is ${value || "empty"}.`), { hint: `Write a whole number from ${min} to ${max}.` });
  }
  return values;
}

function setForm(form, values) {
  for (const [name, value] of Object.entries(values)) {
    const control = form.elements[name];
    // What was painted elsewhere may have a sampler that isn't here.
    const there = control?.tagName !== "SELECT" || [...control.options].some((option) => option.value === String(value));
    if (control && value !== undefined && there) control.value = value;
  }
  showForm(form);
}

function showForm(form) {
  for (const slider of form.querySelectorAll("input[type=range]")) slider.nextElementSibling.textContent = slider.value;
  const about = form.querySelector("[data-about]");
  if (about) about.textContent = ABOUT[form.elements.sampler.value] ?? "";
}

function wireForm(form) {
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", () => showForm(form));
  form.addEventListener("click", ({ target }) => {
    if (!target.closest(".static-dice")) return;
    form.elements.seed.value = pleinAir.newSeed();
    form.dispatchEvent(new Event("input", { bubbles: true }));
  });
  showForm(form);
}
