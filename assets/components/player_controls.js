// What a person does with the player: keys, slider, buttons. `actions` carries it out.

const PLAYER_KEYS = {
  ArrowLeft: (actions, event) => actions.step(event.shiftKey ? -10 : -1),
  ArrowDown: (actions, event) => actions.step(event.shiftKey ? -10 : -1),
  ArrowRight: (actions, event) => actions.step(event.shiftKey ? 10 : 1),
  ArrowUp: (actions, event) => actions.step(event.shiftKey ? 10 : 1),
  Home: (actions) => actions.toStart(),
  End: (actions) => actions.toEnd(),
  " ": (actions) => actions.play(),
};

function wireKeys(root, slider, actions) {
  // Where nothing else would take the key: here, nowhere, or on a button such as "Paint".
  const isHere = (target) =>
    (root.contains(target) && !target.matches("input")) || target === document.body || target.matches("button:not([role])");
  const listen = (event) => {
    if (!root.isConnected) return document.removeEventListener("keydown", listen);
    if (!root.checkVisibility() || !isHere(event.target)) return;
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const key = PLAYER_KEYS[event.key];
    const vertical = event.key === "ArrowUp" || event.key === "ArrowDown";
    if (!key || (vertical && event.target !== slider)) return; // elsewhere they scroll the page
    if (event.key === " " && event.target.closest("button, a")) return; // presses that button
    event.preventDefault();
    key(actions, event);
  };
  document.addEventListener("keydown", listen);
}

// A press on `handle`, and dragging it on, is a share of the width of `area`.
function wireDrag(handle, area, toShare) {
  const drag = (event) => {
    const box = area.getBoundingClientRect();
    toShare(Math.max(0, Math.min(1, (event.clientX - box.left) / box.width)));
  };
  handle.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    handle.setPointerCapture(event.pointerId);
    handle.focus({ preventScroll: true });
    event.preventDefault();
    drag(event);
  });
  handle.addEventListener("pointermove", (event) => {
    if (handle.hasPointerCapture(event.pointerId)) drag(event);
  });
}

const DIVIDER_KEYS = {
  ArrowLeft: (share) => share - 0.05,
  ArrowRight: (share) => share + 0.05,
  Home: () => 0,
  End: () => 1,
};

// The dividers between the small picture, enlarged, and the large one; all stand at the same share.
function wireDividers(root, moved) {
  let at = 0.5;
  const dividers = [...root.querySelectorAll(".player-divider")];
  const move = (share) => {
    at = Math.max(0, Math.min(1, share));
    root.style.setProperty("--divider", at);
    for (const divider of dividers) {
      divider.setAttribute("aria-valuenow", Math.round(at * 100));
      divider.setAttribute("aria-valuetext", `the small picture on ${Math.round(at * 100)} percent`);
    }
    moved();
  };
  for (const divider of dividers) {
    wireDrag(divider, divider.parentElement, move);
    divider.addEventListener("keydown", (event) => {
      const key = DIVIDER_KEYS[event.key];
      if (!key || event.altKey || event.ctrlKey || event.metaKey) return;
      event.preventDefault();
      event.stopPropagation(); // not a moment of the run
      move(key(at));
    });
  }
  move(at);
  return { share: () => at, show: (on) => dividers.forEach((divider) => (divider.hidden = !on)) };
}

const NO_LINK = "A link can't hold the picture that this run started from. Save the PNG instead, which does.";

async function copyLink(root, actions) {
  if (!actions.link()) return actions.notify(NO_LINK);
  const url = new URL(location.href);
  [url.search, url.hash] = ["", ""];
  url.searchParams.set("recipe", actions.link());
  if (actions.moment() !== null) url.hash = `#paint/${actions.moment()}`;
  const button = root.querySelector(".player-link");
  try {
    await navigator.clipboard.writeText(url.href);
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = "Link"), 2000);
  } catch {
    actions.notify(`This browser does not let a page copy. The link: ${url.href}`);
  }
}

function wireControls(root, actions) {
  const slider = root.querySelector(".player-slider");
  const on = (selector, act) => {
    root.addEventListener("click", (event) => {
      const target = event.target.closest(selector);
      if (target && root.contains(target) && !target.disabled) act(target, event);
    });
  };
  wireKeys(root, slider, actions);
  wireDrag(slider, slider.querySelector(".player-track"), actions.toShare);
  on("[data-do=previous]", () => actions.step(-1));
  on("[data-do=next]", () => actions.step(1));
  on("[data-do=play]", () => actions.play());
  on(".player-follow", () => actions.toEnd());
  on(".player-origin", () => actions.toOrigin());
  on(".player-stop", () => actions.stop());
  on(".player-moments button", (button) => actions.toFrame(Number(button.dataset.i)));
  on(".player-pictures button", (button) => actions.choose(Number(button.dataset.picture)));
  on(".player-views button", (button) => actions.look({ show: button.dataset.show }));
  on(".player-grid button", (button) => actions.look({ grid: button.dataset.grid }));
  on(".player-compare", (button) => actions.compare(button.ariaPressed !== "true"));
  on(".player-channels", (button) => actions.look({ channels: button.ariaPressed !== "true" }));
  on(".player-pixels", (button) => actions.look({ pixels: button.ariaPressed !== "true" }));
  on(".player-stage.grid canvas", (canvas, event) => {
    const picture = pictureUnder(canvas, event, actions.pictures());
    if (picture >= 0) actions.choose(picture);
  });
  on(".player-notice button", (button) => (button.parentElement.hidden = true));
  on(".player-save", (link) => link.ariaDisabled === "true" || link.hasAttribute("href") || actions.saveMoment());
  on(".player-part", () => pleinAir.partAgain());
  on(".player-link", () => copyLink(root, actions));
  on("[data-ask]", (button) => {
    const asked = actions.ask(button.dataset.ask, button.dataset.format);
    if (asked && !["branch", "vary", "enlarge", "whole"].includes(button.dataset.ask)) button.setAttribute("aria-busy", "true");
  });
}
