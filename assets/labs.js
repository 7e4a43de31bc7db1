// What the instruments' components call when they are put on the page; see app/ui/instrument.py.

window.pleinAir = {
  time: mountTime,
  picker: mountPicker,
  noise: mountNoise,
  strip: mountStrip,
  schedules: mountSchedules,
  plate: mountPlate,
  mixture: mountMixture,
  grid: mountGrid,
  morph: mountMorph,
  bound: mountBound,
  train: mountTrain,
  trainSet: mountTrainSet,
  share,
  // Which picture of which run the Paint tab shows, as JSON; "null" where there is none.
  painted() {
    const player = document.querySelector(".player[data-run]");
    const pressed = player?.querySelector("[data-picture][aria-pressed=true]");
    if (!pressed) return "null";
    return JSON.stringify({ run: player.dataset.run, picture: Number(pressed.dataset.picture) });
  },
};
