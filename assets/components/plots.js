// Small plots in SVG, drawn from numbers: axes with symbol and unit, a line at the current t.

const [PLOT_W, PLOT_H] = [320, 200];
const PAD = { left: 44, right: 10, top: 8, bottom: 32 };

function ticksOf([low, high], count = 4) {
  const rough = (high - low) / count || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((m) => m * power).find((s) => s >= rough * 0.999);
  const found = [];
  for (let v = Math.ceil(low / step - 1e-9) * step; v <= high + step * 1e-6; v += step) {
    found.push(Math.abs(v) < step * 1e-6 ? 0 : v);
  }
  return found;
}

function powersOf([low, high]) {
  const found = [];
  const [first, last] = [Math.ceil(Math.log10(low) - 1e-9), Math.floor(Math.log10(high) + 1e-9)];
  const every = Math.max(1, Math.ceil((last - first + 1) / 5));
  for (let power = first; power <= last; power += every) found.push(10 ** power);
  return found;
}

function tickText(value, log) {
  if (log) return `10<tspan dy="-5" font-size="9">${String(Math.round(Math.log10(value))).replace("-", "−")}</tspan>`;
  const size = Math.abs(value);
  const text = size >= 1e4 || (size && size < 1e-3) ? value.toExponential(0) : String(Number(value.toPrecision(4)));
  return text.replace("-", "−");
}

function extent(series, key, log) {
  let [low, high] = [Infinity, -Infinity];
  for (const { points } of series) {
    for (const point of points) {
      const value = point[key];
      if (value === null || !Number.isFinite(value) || (log && value <= 0)) continue;
      low = Math.min(low, value);
      high = Math.max(high, value);
    }
  }
  return low > high ? null : [low, high];
}

function rangeOf(given, series, key, log) {
  if (given) return given;
  const found = extent(series, key, log);
  if (!found) return log ? [0.1, 10] : [0, 1];
  let [low, high] = found;
  if (log) {
    const half = (value, round) => 10 ** (round(Math.log10(value) * 2) / 2);
    return [half(low, Math.floor), half(high * 1.001, Math.ceil)];
  }
  if (low > 0 && low < high / 2) low = 0;
  const room = (high - low) * 0.06 || Math.abs(high) * 0.1 || 1;
  return [low === 0 ? 0 : low - room, high + room];
}

// An SVG of `series`: [{name, colour, dash, points: [[x, y, error], ...]}]. Axes: {label, log, range,
// reverse}. `marker` is an x with a thin line; `width` is that of the drawing, whose height is PLOT_H.
function plotSvg({ title, x, y, series, marker = null, mark = "--poppy", width = PLOT_W }) {
  const xs = rangeOf(x.range, series, 0, x.log);
  const ys = rangeOf(y.range, series, 1, y.log);
  const scale = ([low, high], log, from, to) => {
    const f = log ? Math.log : (v) => v;
    const span = f(high) - f(low) || 1;
    return (v) => from + ((f(v) - f(low)) / span) * (to - from);
  };
  const [left, right] = [PAD.left, width - PAD.right];
  const [top, bottom] = [PAD.top, PLOT_H - PAD.bottom];
  const px = x.reverse ? scale(xs, x.log, right, left) : scale(xs, x.log, left, right);
  const py = scale(ys, y.log, bottom, top);
  const parts = [];
  for (const tick of y.log ? powersOf(ys) : ticksOf(ys)) {
    const at = py(tick).toFixed(1);
    parts.push(`<line class="rule" x1="${left}" x2="${right}" y1="${at}" y2="${at}"/>
      <text x="${left - 6}" y="${at}" dy="0.32em" text-anchor="end">${tickText(tick, y.log)}</text>`);
  }
  for (const tick of x.log ? powersOf(xs) : ticksOf(xs)) {
    parts.push(`<text x="${px(tick).toFixed(1)}" y="${bottom + 14}" text-anchor="middle">${tickText(tick, x.log)}</text>`);
  }
  parts.push(`<line class="axis" x1="${left}" x2="${right}" y1="${bottom}" y2="${bottom}"/>`);
  parts.push(`<text class="name" x="${right}" y="${PLOT_H - 4}" text-anchor="end">${x.label}</text>`);
  for (const { colour, dash, points } of series) {
    const good = points.filter(([a, b]) => b !== null && Number.isFinite(b) && (!y.log || b > 0) && (!x.log || a > 0));
    const line = good.map(([a, b]) => `${px(a).toFixed(1)},${Math.max(top - 2, Math.min(bottom + 2, py(b))).toFixed(1)}`);
    const band = good.filter(([, , error]) => error > 0);
    if (band.length > 1) {
      const floor = (v) => (y.log ? Math.max(v, ys[0]) : v);
      const edge = (sign) => band.map(([a, b, e]) => `${px(a).toFixed(1)},${py(floor(b + sign * e)).toFixed(1)}`);
      parts.push(`<polygon fill="var(${colour})" opacity="0.18" points="${[...edge(1), ...edge(-1).reverse()].join(" ")}"/>`);
    }
    if (line.length === 1) parts.push(`<circle r="2.5" fill="var(${colour})" cx="${line[0].split(",")[0]}" cy="${line[0].split(",")[1]}"/>`);
    parts.push(`<polyline fill="none" stroke="var(${colour})" stroke-width="1.8" ${dash ? `stroke-dasharray="${dash}"` : ""} stroke-linejoin="round" points="${line.join(" ")}"/>`);
  }
  const inside = marker !== null && marker >= xs[0] && marker <= xs[1];
  const at = inside ? px(marker).toFixed(1) : 0;
  parts.push(`<line class="marker" stroke="var(${mark})" x1="${at}" x2="${at}" y1="${top}" y2="${bottom}" ${inside ? "" : 'visibility="hidden"'}/>`);
  const shown = series.map((line) => ({ ...line, points: line.points.filter(([, b]) => b !== null && Number.isFinite(b)) }));
  const id = rememberPlot({ x, series: shown, px, top, bottom });
  return `<figure class="lab-plot"><figcaption><b>${title}</b> <span>${y.label}</span></figcaption>
    <svg viewBox="0 0 ${width} ${PLOT_H}" data-plot="${id}" role="img" aria-label="${title.replace(/<[^>]*>/g, "")}">${parts.join("")}</svg></figure>`;
}

function legendOf(series) {
  return `<ul class="lab-legend">${series
    .map(({ name, colour, dash }) => `<li><svg viewBox="0 0 22 8" aria-hidden="true"><line x1="0" x2="22" y1="4" y2="4" stroke="var(${colour})" stroke-width="2.4" ${dash ? `stroke-dasharray="${dash}"` : ""}/></svg>${escaped(name)}</li>`)
    .join("")}</ul>`;
}
