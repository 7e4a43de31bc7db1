// A photo that is dropped on the page: what can be done with it.

const HEAD_BYTES = 1 << 16; // a saved picture says within these what it carries
const OFFERS = [
  { tab: "paint", name: "Paint", about: "start a painting from it", input: "#start-photo input[type=file]" },
  { tab: "noise", name: "Noise", about: "watch it dissolve, and what the model makes of the rest", input: PICKER },
  { tab: "mix", name: "Mix", about: "blend it with one of the model's paintings", input: PICKER },
  { tab: "noise", name: "× 4", about: "have the second stage paint it four times as large", input: PICKER, then: ".lab-enlarge button", enlarges: true },
  { tab: "train", name: "Train", about: "teach a model pictures like it: four at least", input: ".studio-drop-zone input[type=file]", many: true },
];

const isZip = ({ type, name }) => type.includes("zip") || name.toLowerCase().endsWith(".zip");

// Whether a file says that it was painted here.
async function isSaved(file) {
  const head = await file.slice(0, HEAD_BYTES).arrayBuffer();
  return new TextDecoder("latin1").decode(head).includes("plein-air-");
}

// What `find` finds, once the page has it: a tab is built as it opens.
function appeared(find) {
  return new Promise((resolve) => {
    const observer = new MutationObserver(look);
    function look() {
      const found = find();
      if (!found) return;
      observer.disconnect();
      resolve(found);
    }
    observer.observe(document.body, { attributes: true, childList: true, subtree: true });
    look();
  });
}

async function take({ tab, input, then, many }, files) {
  document.getElementById(`${tab}-button`).click();
  const panel = document.getElementById(tab) ?? (await appeared(() => document.getElementById(tab)));
  const field = await appeared(() => panel.querySelector(input));
  const chosen = () => panel.querySelector(".plein-air-picker .lab-root")?.dataset.chosen;
  const before = then && (await appeared(chosen));
  give(field, many ? files : files.slice(0, 1));
  if (!then) return;
  await appeared(() => chosen() !== before);
  panel.querySelector(then).click();
}

// Ask what to do with the files, which aren't saved pictures.
function offer(files) {
  const dialog = document.createElement("dialog");
  const canEnlarge = document.querySelector("#paint .studio-segments");
  const offers = OFFERS.filter(({ tab, many, enlarges }) =>
    document.getElementById(`${tab}-button`) && (many || files.every(isPicture)) && (!enlarges || canEnlarge));
  const called = files.length > 1 ? `these ${files.length} files` : escaped(files[0].name);
  dialog.className = "studio-offer";
  dialog.innerHTML = `<h2>What is to be done with ${called}?</h2>
    ${offers.map(({ name, about }, n) => `<button type="button" value="${n}"><b>${name}</b> ${about}</button>`).join("")}
    <button type="button" class="studio-offer-close">Nothing</button>`;
  dialog.addEventListener("close", () => dialog.remove());
  dialog.addEventListener("click", ({ target }) => {
    const button = target.closest("button");
    if (!button) return;
    dialog.close();
    if (button.value) take(offers[button.value], files);
  });
  document.body.append(dialog);
  dialog.showModal();
}

// Give a dropped file to the input that reads recipes, unless it is a photo or a zip of photos.
pleinAir.dropped = async (input, files) => {
  const photos = files.every((file) => isPicture(file) || isZip(file));
  if (photos && !(await isSaved(files[0]))) offer(files);
  else give(input, files.slice(0, 1));
};
