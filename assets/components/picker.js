// Choosing pictures: one, two (A and B), or several, among the model's paintings and the uploads.

const ANSWER_MS = 2000; // for so long a click waits for the answer to the one before
const PICKER = ".lab-sources input[type=file]";
const MAX_OFFERED = 4;
const uploads = []; // what was uploaded in this page: {file, source, tabs}, the newest first
const pickers = new Set();

const isPicture = ({ type }) => type.startsWith("image/");

function give(input, files) {
  const carried = new DataTransfer();
  for (const file of files) carried.items.add(file);
  input.files = carried.files;
  input.dispatchEvent(new Event("change", { bubbles: true }));
}

// A file that one laboratory was given is offered in the others, for as long as the page is open.
document.addEventListener("change", ({ target }) => {
  const file = target.matches?.(PICKER) && target.files[0];
  const tab = file && target.closest("[role=tabpanel]")?.id;
  if (!tab || !isPicture(file)) return;
  const known = uploads.find((it) => it.file === file);
  if (known) known.tabs.add(tab);
  else uploads.unshift({ file, source: URL.createObjectURL(file), tabs: new Set([tab]) });
  for (const { source } of uploads.splice(MAX_OFFERED)) URL.revokeObjectURL(source);
  for (const offer of pickers) offer();
}, { capture: true });

function mountPicker(root, { trigger, props, watch, tab, label }) {
  root.innerHTML = `<div class="lab-picker" role="group" aria-label="${label}">
    <div class="lab-slots" hidden></div><div class="lab-thumbs"></div>
    <div class="lab-offered"></div></div>`;
  const slots = root.querySelector(".lab-slots");
  const thumbs = root.querySelector(".lab-thumbs");
  const offered = root.querySelector(".lab-offered");
  const asked = [];
  let waiting = 0;
  let shown = null;

  function show() {
    const { pictures, chosen, mode, slot } = shown;
    root.dataset.mode = mode;
    root.dataset.chosen = chosen.join(" ");
    slots.hidden = mode !== "pair";
    if (mode === "pair") {
      slots.innerHTML = ["A", "B"].map((name, n) => {
        const { src, name: about } = pictures[chosen[n]];
        return `<button type="button" data-slot="${n}" aria-pressed="${n === slot}"
          aria-label="picture ${name}: ${escaped(about)}; the next one chosen goes here">
          <img src="${src}" alt=""><canvas hidden></canvas><span>${name}</span></button>`;
      }).join("");
      asSeen(bench(tab));
    }
    thumbs.innerHTML = pictures.map(({ src, name }, n) => {
      const place = chosen.indexOf(n);
      const colour = mode === "many" && place >= 0 ? `style="--ring: var(${COLOURS[place % 5]})"` : "";
      return `<button type="button" data-picture="${n}" aria-pressed="${place >= 0}" ${colour}
        title="${escaped(name)}" aria-label="${escaped(name)}"><img src="${src}" alt=""></button>`;
    }).join("");
  }

  const elsewhere = () => uploads.filter(({ tabs }) => !tabs.has(tab));

  function offer() {
    offered.innerHTML = elsewhere().map(({ file, source }, n) => {
      const about = escaped(`${file.name}, which another tab was given`);
      return `<button type="button" data-upload="${n}" title="${about}" aria-label="${about}">
        <img src="${source}" alt=""></button>`;
    }).join("");
  }

  // As the model sees them, once that is known; until then as they were chosen.
  function asSeen({ pair }) {
    if (!pair || pair.key !== shown?.key) return;
    [pair.first, pair.second].forEach(({ x0, side }, n) => {
      const button = slots.children[n];
      const canvas = button.querySelector("canvas");
      [button.querySelector("img").hidden, canvas.hidden] = [true, false];
      drawValues(canvas, x0, side);
    });
  }

  root.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    const { slot, picture, upload } = button.dataset;
    if (upload !== undefined) {
      give(root.closest("[role=tabpanel]").querySelector(PICKER), [elsewhere()[upload].file]);
      return;
    }
    asked.push(slot === undefined ? { picture: Number(picture) } : { slot: Number(slot) });
    if (!waiting) ask();
  });

  // A click at a time, or two that follow each other quickly could arrive in another order.
  function ask() {
    clearTimeout(waiting);
    waiting = asked.length ? setTimeout(ask, ANSWER_MS) : 0;
    if (asked.length) trigger("select", asked.shift());
  }

  pickers.add(offer);
  offer();
  follow(root, tab, ["pair"], asSeen);
  receiveBy({ props, watch }, {
    pictures(message) {
      shown = message;
      show();
      ask();
    },
  });
}

pleinAir.picker = mountPicker;
