// The keyboard, where Gradio leaves it alone: lists, tabs, switches, and a focus that is never lost.

const LOST_MS = 10000; // for so long after a key what was pressed may go, once the server answers
const FOCUSABLE = "button, a[href], input, select, textarea, summary, [tabindex]";
const TAB_KEYS = {
  ArrowLeft: (at, count) => (at + count - 1) % count,
  ArrowRight: (at, count) => (at + 1) % count,
  Home: () => 0,
  End: (_, count) => count - 1,
};

function canFocus(element) {
  return element.isConnected && element.tabIndex >= 0 && !element.disabled
    && element.checkVisibility({ visibilityProperty: true });
}

const tabsOf = (list) => [...list.querySelectorAll("[role=tab]:not([aria-disabled=true])")];

// One stop for Tab in a list of tabs, and in a switch, whose radios browsers then join by arrows.
function joinStops() {
  for (const tab of document.querySelectorAll("[role=tablist] [role=tab]")) {
    tab.tabIndex = tab.getAttribute("aria-selected") === "true" ? 0 : -1;
  }
  [...document.querySelectorAll("fieldset")].forEach((field, n) => {
    for (const radio of field.querySelectorAll("input[type=radio]")) radio.name = `switch-${n}`;
  });
}

function moveTab(event) {
  const tabs = tabsOf(event.target.closest("[role=tablist]"));
  const tab = tabs[TAB_KEYS[event.key](tabs.indexOf(event.target), tabs.length)];
  event.preventDefault();
  tab.click();
  tab.focus();
  joinStops();
}

// What stands for an element that has gone: its like, drawn anew, or else its nearest neighbour.
function instead(element, around) {
  if (canFocus(element)) return element;
  joinStops(); // another tab may be open
  const name = (it) => it.ariaLabel ?? it.textContent;
  for (const place of around) {
    const near = [...place.querySelectorAll(FOCUSABLE)].filter(canFocus);
    const like = near.find((it) => it.tagName === element.tagName && name(it) === name(element));
    if (near.length) return like ?? near[0];
  }
  return null;
}

let watching = null;

// Give the focus back if what is pressed takes it away.
function keepFocus(element) {
  watching?.disconnect();
  const around = [];
  for (let place = element.parentElement; place; place = place.parentElement) around.push(place);
  const look = () => {
    if (document.activeElement === element) return;
    if (document.activeElement !== document.body) return watching?.disconnect();
    instead(element, around)?.focus({ preventScroll: true });
  };
  // A browser takes the focus from what is hidden when it next draws.
  const mine = new MutationObserver(() => requestAnimationFrame(() => watching === mine && look()));
  watching = mine;
  mine.observe(document.body, { attributes: true, childList: true, subtree: true });
  setTimeout(() => mine.disconnect(), LOST_MS);
}

let byKeys = false; // how the focus last moved

window.addEventListener("pointerdown", () => {
  byKeys = false;
  watching?.disconnect();
}, { capture: true });

window.addEventListener("keydown", (event) => {
  const { key, target } = event;
  if (!event.isTrusted) return;
  byKeys = true;
  if (key === "Tab") {
    joinStops();
    watching?.disconnect();
    // Gradio takes Tab for a letter, and opens the list that is being left.
    if (target.role === "combobox") event.stopPropagation();
  } else if (target.role === "tab" && key in TAB_KEYS) {
    moveTab(event);
  } else if (key === "Enter" || key === " ") {
    keepFocus(target);
  } else if (key.startsWith("Arrow")) {
    joinStops();
  }
}, { capture: true });

// A list opens by a click, an arrow or a letter, and not because Tab comes by.
window.addEventListener("focusin", ({ target }) => {
  if (!byKeys || target.role !== "combobox") return;
  target.dispatchEvent(new KeyboardEvent("keydown", { key: "Escape", bubbles: true }));
});

document.addEventListener("click", ({ target }) => {
  if (!target.closest?.(".studio-skip")) return;
  const main = [...document.querySelectorAll(".tabitem button.primary")].find(canFocus);
  (main ?? document.querySelector("[role=tab][aria-selected=true]")).focus();
});
