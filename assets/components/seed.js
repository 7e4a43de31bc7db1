// The seed of the next painting: a new one each time, unless it is kept.

const SEEDS = 1e6; // short enough to be read out

let drawn = null; // the one that the last painting drew

Object.assign(pleinAir, {
  newSeed: () => Math.floor(Math.random() * SEEDS),
  // -1 asks for a new one, as elsewhere.
  nextSeed: (seed, kept) => (kept && seed !== -1 ? seed : (drawn = pleinAir.newSeed())),
  // After a reload the form has the seed that was drawn before it.
  drewSeed: (seed) => (drawn = seed),
  // One that a person or a recipe put there is kept.
  keepsSeed: (seed, kept) => seed !== -1 && (kept || seed !== drawn),
});
