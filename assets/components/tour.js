// A guided tour of the run that a player shows: six moments, each with what is to be seen there.

// `at` is a share of the first stage's steps, `end` the run's last moment.
const TOUR = [
  {
    at: 0,
    show: "all",
    title: "It begins with nothing but noise",
    words: "Every pixel is drawn by chance, from the seed. No picture is hidden in it: each seed is another noise, and will be another painting.",
  },
  {
    at: 0.05,
    show: "x_0_hat",
    title: "A first guess, at once",
    words: "Shown nothing but noise, the network says already which painting it expects: a blur, about the average of all that could still become of it.",
  },
  {
    at: 0.5,
    show: "all",
    title: "It paints by taking noise away",
    words: "What the network really gives is the noise that it sees. The picture so far, with all of that taken away, is the painting that it expects. A step goes only a little of that way, and then asks again.",
  },
  {
    at: 0.72,
    show: "x_0_hat",
    title: "Large things first, details last",
    words: "Sky and ground were settled while the noise was strong. Now trees and houses find their places, and what was decided hardly changes any more.",
  },
  {
    at: 0.92,
    show: "all",
    title: "The last of the noise",
    words: "The picture so far and the painting that it expects now look alike. What still comes are the edges and the strokes.",
  },
  {
    end: true,
    show: "x_0_hat",
    title: "A painting, which nobody painted",
    words: "No noise is left. Move the slider to go through time yourself; paint again for another seed, or branch from a moment to see how much was settled by then.",
  },
];
const ENLARGED = " Here a second network has painted it four times as large: the slider's mark is where it began.";

function wireTour(root, actions) {
  let stop = 0;
  const card = document.createElement("section");
  card.className = "player-tour";
  card.popover = "manual"; // above all else, a presentation too
  card.setAttribute("aria-label", "guided tour");
  card.innerHTML = `<div aria-live="polite"><p class="player-tour-place"></p><h3></h3><p class="player-tour-words"></p></div>
    <div class="player-tour-buttons"><button type="button" class="player-quiet" data-tour="-1">Back</button>
    <button type="button" class="player-quiet" data-tour="1">Next</button>
    <button type="button" class="player-quiet" data-tour="0">End the tour</button></div>`;
  root.append(card);
  const button = document.createElement("button");
  Object.assign(button, { type: "button", className: "player-quiet player-guide", textContent: "tour" });
  button.title = "six moments of this run, in plain words";
  root.querySelector(".player-bar").append(button);
  const [back, next] = card.querySelectorAll("[data-tour]");

  function visit(n) {
    stop = n;
    const { at, end, show, title, words } = TOUR[n];
    card.querySelector(".player-tour-place").textContent = `${n + 1} of ${TOUR.length}`;
    card.querySelector("h3").textContent = title;
    card.querySelector(".player-tour-words").textContent = end && actions.isEnlarged() ? words + ENLARGED : words;
    back.disabled = n === 0;
    next.disabled = n === TOUR.length - 1;
    actions.look({ show, grid: "one" });
    if (end) actions.toEnd();
    else actions.toFirstStage(at);
  }

  function show(on) {
    card.togglePopover(on);
    button.setAttribute("aria-pressed", String(on));
    if (!on) return actions.look({ show: "all" }), button.focus();
    visit(0);
    next.focus();
  }

  button.setAttribute("aria-pressed", "false");
  button.addEventListener("click", () => actions.hasRun() && show(!card.matches(":popover-open")));
  card.addEventListener("click", ({ target }) => {
    const by = target.closest("[data-tour]")?.dataset.tour;
    if (!by) return;
    if (by === "0") show(false);
    else visit(stop + Number(by));
    if (document.activeElement?.disabled) (back.disabled ? next : back).focus();
  });
  card.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    event.stopPropagation();
    show(false);
  });
}
