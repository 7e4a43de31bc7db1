// A player alone over the whole screen, with large labels, for a room that looks on.

function showPresenting(player, on) {
  player.classList.toggle("presenting", on);
  player.querySelector(".player-present").setAttribute("aria-pressed", String(on));
}

async function present(player) {
  if (player.classList.contains("presenting")) return endPresenting(player);
  showPresenting(player, true);
  // A page in another's frame may not ask for the screen, and takes its window.
  await player.requestFullscreen?.().catch(() => {});
}

function endPresenting(player) {
  showPresenting(player, false);
  if (document.fullscreenElement) document.exitFullscreen();
}

document.addEventListener("click", ({ target }) => {
  const button = target.closest?.(".player-present");
  if (button) present(button.closest(".player"));
});

document.addEventListener("fullscreenchange", () => {
  const player = document.querySelector(".player.presenting");
  if (player && !document.fullscreenElement) showPresenting(player, false);
});

document.addEventListener("keydown", ({ key, isTrusted }) => {
  const player = document.querySelector(".player.presenting");
  if (player && key === "Escape" && isTrusted) endPresenting(player);
});
