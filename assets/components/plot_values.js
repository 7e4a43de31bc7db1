// The values under the pointer in a plot, beside a thin line.

const drawnPlots = new Map(); // id -> what `plotSvg` drew, the newest last
const MOST_PLOTS = 64;
let plotCount = 0;

// Remember a plot; its id is written into its SVG.
function rememberPlot(plot) {
  plotCount += 1;
  drawnPlots.set(String(plotCount), plot);
  if (drawnPlots.size > MOST_PLOTS) drawnPlots.delete(drawnPlots.keys().next().value);
  return plotCount;
}

const valueText = (value) => {
  const size = Math.abs(value);
  const text = size && (size >= 1e5 || size < 1e-3) ? value.toExponential(2) : String(Number(value.toPrecision(4)));
  return text.replace("-", "−");
};

function showPlotValues(event) {
  const svg = event.target.closest?.(".lab-plot svg[data-plot]");
  const plot = svg && drawnPlots.get(svg.dataset.plot);
  const box = document.querySelector(".plot-values");
  if (!plot) {
    if (box) box.hidden = true;
    document.querySelectorAll(".lab-plot .under").forEach((line) => line.remove());
    return;
  }
  const { left, width } = svg.getBoundingClientRect();
  const at = ((event.clientX - left) / width) * svg.viewBox.baseVal.width;
  const near = (points) => points.reduce((best, point) => (Math.abs(plot.px(point[0]) - at) < Math.abs(plot.px(best[0]) - at) ? point : best));
  const found = plot.series.filter(({ points }) => points.length).map(({ name, colour, points }) => ({ name, colour, point: near(points) }));
  if (!found.length) return;
  const closest = near(found.map(({ point }) => point));
  const rows = found
    .filter(({ point }) => Math.abs(plot.px(point[0]) - plot.px(closest[0])) < 2)
    .map(({ name, colour, point: [, value, error] }) =>
      `<li><i style="background: var(${colour})"></i>${escaped(name ?? "")} <b>${valueText(value)}${error > 0 ? ` ± ${valueText(error)}` : ""}</b></li>`);
  const tip = box ?? document.body.appendChild(Object.assign(document.createElement("div"), { className: "plot-values lab-root" }));
  tip.innerHTML = `<p>${plot.x.label} <b>${valueText(closest[0])}</b></p><ul>${rows.join("")}</ul>`;
  tip.hidden = false;
  const beside = event.clientX + 14 + tip.offsetWidth > window.innerWidth ? event.clientX - 14 - tip.offsetWidth : event.clientX + 14;
  tip.style.left = `${Math.max(4, beside)}px`;
  tip.style.top = `${Math.max(4, event.clientY - tip.offsetHeight - 10)}px`;
  const x = plot.px(closest[0]).toFixed(1);
  let line = svg.querySelector(".under");
  if (!line) {
    line = svg.appendChild(document.createElementNS("http://www.w3.org/2000/svg", "line"));
    line.setAttribute("class", "under");
  }
  for (const [name, value] of Object.entries({ x1: x, x2: x, y1: plot.top, y2: plot.bottom })) line.setAttribute(name, value);
}

for (const kind of ["pointermove", "pointerdown"]) document.addEventListener(kind, showPlotValues);
