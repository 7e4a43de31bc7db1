// One training: its samples over time, which the browser keeps and scrubs, and its curves.

const QUARTERS = ["0 to T/4", "T/4 to T/2", "T/2 to 3T/4", "3T/4 to T"];

// Sample grids by step; `moved` is told when another one is shown.
function trainSamples(root, moved) {
  const slider = root.querySelector(".lab-slider");
  const track = slider.querySelector(".lab-track");
  const canvas = root.querySelector("canvas");
  const about = root.querySelector(".train-sample-step");
  const grids = new Map(); // step -> ImageBitmap
  let steps = [];
  let at = -1;
  let following = true;
  let firstSample = 0;
  let tile = 1;
  let enlarges = false;
  let chosen = 0; // which picture of the grid
  let cells = []; // where each lies on the canvas: [x, y, side]

  // Each picture by itself, so that none bleeds into its neighbours when it is enlarged.
  function drawGrid(grid) {
    const [columns, rows] = [grid.width / tile, grid.height / tile];
    const side = Math.max(2 * tile, Math.ceil(960 / columns));
    const gap = Math.round(side / 24);
    [canvas.width, canvas.height] = [columns * (side + gap) - gap, rows * (side + gap) - gap];
    canvas.style.aspectRatio = `${canvas.width} / ${canvas.height}`;
    const context = canvas.getContext("2d");
    context.imageSmoothingQuality = "high";
    cells = [];
    for (let i = 0; i < columns * rows; i += 1) {
      const [column, row] = [i % columns, Math.floor(i / columns)];
      const [x, y] = [column * (side + gap), row * (side + gap)];
      context.drawImage(grid, column * tile, row * tile, tile, tile, x, y, side, side);
      cells.push([x, y, side]);
    }
    if (enlarges) mark(context, cells[chosen], Math.min(gap, 10));
    canvas.setAttribute("aria-label", `sample grid${enlarges ? `, picture ${chosen + 1} of ${cells.length} is marked` : ""}`);
  }

  function mark(context, [x, y, side], width) {
    context.strokeStyle = getComputedStyle(root).getPropertyValue("--accent");
    context.lineWidth = width;
    context.strokeRect(x + width / 2, y + width / 2, side - width, side - width);
  }

  function choose(to) {
    if (!enlarges || to < 0 || to >= cells.length) return;
    chosen = to;
    draw();
  }

  canvas.addEventListener("click", (event) => {
    const box = canvas.getBoundingClientRect();
    const [x, y] = [(event.clientX - box.left) / box.width * canvas.width, (event.clientY - box.top) / box.height * canvas.height];
    choose(cells.findIndex(([left, top, side]) => x >= left && x < left + side && y >= top && y < top + side));
  });
  canvas.addEventListener("keydown", (event) => {
    const columns = cells.filter(([, y]) => y === 0).length;
    const by = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns }[event.key];
    if (!by) return;
    event.preventDefault();
    choose(chosen + by);
  });

  function draw() {
    const grid = grids.get(steps[at]);
    root.dataset.step = grid ? steps[at] : "";
    root.style.setProperty("--at", steps.length > 1 ? at / (steps.length - 1) : 1);
    slider.setAttribute("aria-valuemax", Math.max(0, steps.length - 1));
    slider.setAttribute("aria-valuenow", Math.max(0, at));
    slider.setAttribute("aria-valuetext", grid ? `after ${counted(steps[at], "step")}` : "no samples yet");
    slider.setAttribute("aria-disabled", String(steps.length < 2));
    canvas.hidden = !grid;
    if (grid) {
      about.textContent = `after ${counted(steps[at], "step")}, from the same noise`;
      drawGrid(grid);
    } else {
      about.textContent = firstSample ? `the first come after ${counted(firstSample, "step")}` : "";
    }
  }

  function go(to) {
    at = Math.max(0, Math.min(steps.length - 1, Math.round(to)));
    following = at === steps.length - 1;
    draw();
    moved(steps[at] ?? null);
  }

  const drag = (event) => {
    const box = track.getBoundingClientRect();
    go(((event.clientX - box.left) / box.width) * (steps.length - 1));
  };
  slider.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || steps.length < 2) return;
    slider.setPointerCapture(event.pointerId);
    slider.focus({ preventScroll: true });
    event.preventDefault();
    drag(event);
  });
  slider.addEventListener("pointermove", (event) => {
    if (slider.hasPointerCapture(event.pointerId)) drag(event);
  });
  const moves = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1 };
  slider.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey || !steps.length) return;
    if (event.key in moves) go(at + moves[event.key] * (event.shiftKey ? 10 : 1));
    else if (event.key === "Home") go(0);
    else if (event.key === "End") go(steps.length - 1);
    else return;
    event.preventDefault();
  });

  return {
    clear() {
      for (const grid of grids.values()) grid.close();
      grids.clear();
      [steps, at, following, firstSample, enlarges, chosen] = [[], -1, true, 0, false, 0];
      draw();
    },
    expect(step) {
      firstSample = step;
      draw();
    },
    // `fresh()` tells whether the job is still the one that is shown once the pictures are decoded.
    async add({ tile: side, enlarges: there = false, steps: kept, new: found }, fresh) {
      const bitmaps = await Promise.all(found.map(([, src]) => bitmapOf(src)));
      if (!fresh()) return bitmaps.forEach((bitmap) => bitmap.close());
      const shown = steps[at];
      [tile, enlarges] = [side, there];
      found.forEach(([step], i) => grids.set(step, bitmaps[i]));
      for (const [step, grid] of grids) {
        if (kept.includes(step)) continue;
        grid.close();
        grids.delete(step);
      }
      steps = kept.filter((step) => grids.has(step));
      root.dataset.samples = steps.length;
      const same = steps.indexOf(shown);
      at = following || same < 0 ? steps.length - 1 : same;
      draw();
      moved(steps[at] ?? null);
    },
    get steps() {
      return steps;
    },
    get step() {
      return steps[at];
    },
    get chosen() {
      return chosen;
    },
    get enlarges() {
      return enlarges;
    },
    // The step that is shown; null while the newest samples are, whichever they are.
    get scrubbed() {
      return following ? null : steps[at];
    },
  };
}

// Where lines lie after their first steps, which may be far higher and would flatten all others.
function rangeLater(lines) {
  const rest = lines.flatMap(([steps, values]) => values.slice(Math.floor(steps.length / 20)));
  const [low, high] = [Math.min(...rest), Math.max(...rest)];
  const room = (high - low) * 0.08 || high * 0.1 || 1;
  return rest.length ? [low < high / 2 ? 0 : low - room, high + room] : [0, 1];
}

// The width of a drawing over both columns whose letters are as large as in one; PLOT_W in one column.
function widthOverTwo(box) {
  const { gridTemplateColumns, columnGap } = getComputedStyle(box);
  const [one, two] = gridTemplateColumns.split(" ").map(parseFloat);
  return two ? Math.round((PLOT_W * (one + two + parseFloat(columnGap))) / one) : PLOT_W;
}

function trainPlots(box, curves, marker) {
  if (!curves) {
    box.innerHTML = "";
    return;
  }
  const last = Math.max(1, curves.loss[0].at(-1) ?? 1);
  const unit = last >= 10_000 ? 1000 : 1;
  const points = ([steps, values]) => steps.map((step, i) => [step / unit, values[i]]);
  const x = { label: unit > 1 ? "thousand steps" : "steps", range: [0, (1.03 * last) / unit] }; // room for the last number
  const at = marker === null ? null : marker / unit;
  const plot = (title, y, series, width = PLOT_W) =>
    `<div>${plotSvg({ title, x, y, series, marker: at, mark: "--accent", width })}${legendOf(series)}</div>`;
  const inside = (line, range) => points(line).filter(([, value]) => value <= range[1]);
  const range = rangeLater([curves.loss]);
  const loss = [
    { name: "as it comes", colour: "--loaded-colour", points: inside(curves.loss, range) },
    { name: "smoothed", colour: "--accent", points: inside(curves.smoothed, range) },
  ];
  const parts = [plot("loss", { label: "mean square of ε̂ − ε", range }, loss, widthOverTwo(box))];
  const quarters = curves.quarters
    .map((line, i) => ({ name: QUARTERS[i], colour: COLOURS[i], points: points(line) }))
    .filter((line) => line.points.length);
  if (quarters.length) {
    const names = (name) => (name === "raw" ? "the weights" : `average ${Number(name.replace("ema-", ""))}`);
    const mean = rangeLater(curves.held_out.map(([, line]) => line));
    const means = curves.held_out.map(([name, line], i) => ({ name: names(name), colour: COLOURS[i], points: inside(line, mean) }));
    parts.push(plot("held-out loss", { label: "by t, log", log: true }, quarters));
    parts.push(plot("held-out loss", { label: "mean over t", range: mean }, means));
  }
  box.innerHTML = parts.join("");
}
