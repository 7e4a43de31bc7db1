// The page around the players: the switch between day and night, and PNGs dropped anywhere.
(() => {
  "use strict";
  const KEY = "plein-air:night";

  function remembered() {
    try {
      return localStorage.getItem(KEY);
    } catch {
      return null; // storage can be forbidden; the switch then lasts until the page is closed
    }
  }

  let night = remembered(); // "1", "0", or null while the system decides

  function isNight() {
    return document.body.classList.contains("dark");
  }

  function label() {
    for (const button of document.querySelectorAll(".studio-night")) {
      button.setAttribute("aria-pressed", String(isNight()));
    }
  }

  // Gradio sets the class by the system's preference when it starts and when that changes.
  function apply() {
    if (night !== null && isNight() !== (night === "1")) {
      document.body.classList.toggle("dark", night === "1");
    }
    label();
  }

  function toggle() {
    night = isNight() ? "0" : "1";
    try {
      localStorage.setItem(KEY, night);
    } catch {
      // as above
    }
    apply();
  }

  function watchNight() {
    apply();
    new MutationObserver(apply).observe(document.body, { attributeFilter: ["class"] });
    document.addEventListener("click", (event) => {
      if (event.target.closest?.(".studio-night")) toggle();
    });
    new MutationObserver((_, observer) => {
      if (!document.querySelector(".studio-night")) return;
      observer.disconnect();
      label();
    }).observe(document.body, { childList: true, subtree: true });
  }

  function carriesFiles(event) {
    return [...(event.dataTransfer?.types ?? [])].includes("Files");
  }

  function recipeInput() {
    return document.querySelector("#recipe-drop input[type=file]");
  }

  // A drop zone of its own (an upload, the training pictures) keeps what is dropped on it.
  function hasOwnZone(target) {
    const zone = target.closest?.("[data-testid='file-upload'], .studio-drop-zone, button");
    return Boolean(zone?.querySelector("input[type=file]"));
  }

  function watchDrops() {
    const veil = document.createElement("div");
    veil.className = "studio-veil";
    veil.hidden = true;
    veil.innerHTML = "<p>Drop a saved picture to restore its recipe, or a photo to work with</p>";
    document.body.append(veil);
    let depth = 0;

    const wanted = (event) => carriesFiles(event) && recipeInput() && !hasOwnZone(event.target);
    const show = (on) => {
      veil.hidden = !on;
      if (!on) depth = 0;
    };

    window.addEventListener("dragenter", (event) => {
      if (!wanted(event)) return;
      depth += 1;
      show(true);
    });
    window.addEventListener("dragleave", (event) => {
      if (!carriesFiles(event)) return;
      depth -= 1;
      if (depth <= 0) show(false);
    });
    window.addEventListener("dragover", (event) => {
      if (!wanted(event)) return;
      event.preventDefault();
      event.dataTransfer.dropEffect = "copy";
    });
    window.addEventListener("drop", (event) => {
      const input = recipeInput();
      const taken = wanted(event);
      show(false);
      if (!taken) return;
      event.preventDefault();
      const files = [...event.dataTransfer.files]; // which are gone once the event is over
      if (files.length) pleinAir.dropped(input, files);
    });
  }

  function start() {
    watchNight();
    watchDrops();
  }

  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
})();
