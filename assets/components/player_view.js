// The player's elements, and drawing into them. No state of a run lives here.

const MATHS = {
  x_t: "<span class='player-maths' aria-hidden='true'><i>x</i><sub>t</sub></span>",
  x_0_hat: "<span class='player-maths' aria-hidden='true'><i class='hat'>x</i><sub>0</sub></span>",
  eps_hat: "<span class='player-maths' aria-hidden='true'><i class='hat'>ε</i></span>",
};
const WORDS = {
  x_t: "the picture so far",
  x_0_hat: "the painting it expects",
  eps_hat: "the noise it sees",
};
const ICONS = {
  previous: "M15 5 8 12l7 7",
  next: "m9 5 7 7-7 7",
  play: "M8 5v14l11-7z",
  pause: "M8 5v14M16 5v14",
  present: "M4 9V4h5M20 9V4h-5M4 15v5h5M20 15v5h-5",
};

function icon(name) {
  const solid = name === "play" ? "solid" : "line";
  return `<svg viewBox="0 0 24 24" class="${solid}" aria-hidden="true"><path d="${ICONS[name]}"/></svg>`;
}

const NO_NOISE = "<p class='player-empty' hidden>no noise is left to predict</p>";
const DIVIDER = `<div class="player-divider" role="slider" tabindex="0" hidden aria-valuemin="0" aria-valuemax="100"
  aria-label="divider between the small picture and the large one"></div>`;

function viewMarkup(view) {
  return `<figure class="player-view" data-view="${view}">
    <figcaption>${MATHS[view]}<span>${WORDS[view]}</span></figcaption>
    <div class="player-box"><canvas role="img" aria-label="${WORDS[view]}"></canvas>
    ${view === "eps_hat" ? NO_NOISE : DIVIDER}</div>
  </figure>`;
}

const MARKUP = `
<section class="player" aria-label="player" data-state="idle" data-frames="0" data-gaps="0">
  <div class="player-bar">
    <h2 class="player-title"></h2>
    <p class="player-progress" aria-hidden="true"></p>
    <p class="player-live" role="status" aria-live="polite"></p>
    <button type="button" class="player-quiet player-follow">Follow</button>
    <button type="button" class="player-quiet player-stop">Stop</button>
    <div class="player-segments player-grid" role="group" aria-label="how many pictures">
      <button type="button" data-grid="one">one</button><button type="button" data-grid="all">all</button>
    </div>
    <div class="player-segments player-views" role="group" aria-label="views">
      <button type="button" data-show="all">three views</button
      ><button type="button" data-show="x_0_hat" aria-label="x0, only the painting it expects">${MATHS.x_0_hat}</button
      ><button type="button" data-show="x_t" aria-label="xt, only the picture so far">${MATHS.x_t}</button>
    </div>
    <button type="button" class="player-quiet player-compare" aria-pressed="false" hidden
      title="the small picture, enlarged, beside the large one, with a divider to drag">compare</button>
    <button type="button" class="player-quiet player-pixels" aria-pressed="false"
      title="smooth enlargement or bare pixels">pixels</button>
    <button type="button" class="player-quiet player-channels" aria-pressed="false" hidden
      title="the channels of the latent, which is what is diffused, or the picture that they stand for">channels</button>
  </div>
  <div class="player-stage" data-show="all">
    ${["x_t", "x_0_hat", "eps_hat"].map(viewMarkup).join("")}
    <div class="player-notice" role="alert" hidden><p></p>
      <button type="button" class="player-quiet" aria-label="close this message">✕</button></div>
  </div>
  <div class="player-transport">
    <div class="player-buttons">
      <button type="button" class="player-round" data-do="previous" aria-label="previous frame">${icon("previous")}</button>
      <button type="button" class="player-round player-play" data-do="play" aria-label="play">${icon("play")}</button>
      <button type="button" class="player-round" data-do="next" aria-label="next frame">${icon("next")}</button>
      <button type="button" class="player-round player-present" aria-pressed="false" aria-label="present"
        title="this alone over the whole screen, with large labels">${icon("present")}</button>
    </div>
    <div class="player-slider" role="slider" tabindex="0" aria-label="moment, from noise to painting"
      aria-valuemin="0" aria-valuemax="1" aria-valuenow="0" aria-valuetext="no run yet">
      <span class="player-end">noise</span>
      <div class="player-track"><i class="player-loaded"></i><i class="player-done"></i><i class="player-second" title="here the second stage begins" hidden></i><b class="player-thumb"></b></div>
      <span class="player-end">painting</span>
    </div>
    <dl class="player-readout">
      <div><dt><i>t</i> =</dt><dd data-read="t">–</dd></div>
      <div><dd data-read="snr">–</dd><dt>dB</dt></div>
      <div title="a picture's share of the variance of x_t, were its own variance 1"><dd data-read="signal">–</dd><dt>% signal</dt></div>
    </dl>
  </div>
  <ol class="player-moments" aria-label="moments of the run"></ol>
  <div class="player-foot">
    <span class="player-state"></span>
    <div class="player-pictures" role="group" aria-label="this run's pictures"></div>
    <div class="player-actions">
      <button type="button" class="player-quiet player-origin" title="the run that this one came from" hidden>← its origin</button>
      <a class="player-quiet player-save" role="button" title="the picture as a PNG, with its recipe inside">Save</a>
      <a class="player-quiet player-save-small" role="button" title="what the first stage painted, with its recipe inside" hidden>Save small</a>
      <button type="button" class="player-quiet" data-ask="animate" data-format="gif" title="the run as a moving picture">GIF</button>
      <button type="button" class="player-quiet" data-ask="animate" data-format="webp" title="the run as a moving picture, smaller">WebP</button>
      <button type="button" class="player-quiet player-video" data-ask="animate" data-format="mp4" title="the run as a video">MP4</button>
      <button type="button" class="player-quiet" data-ask="strip" title="ten moments in a row, as a PNG">Strip</button>
      <button type="button" class="player-quiet player-zip" data-ask="zip" title="all pictures of this run in a zip, each with its recipe inside">All</button>
      <button type="button" class="player-quiet" data-ask="whole" title="paint this run again from its beginning, to its end" hidden>Paint whole</button>
      <button type="button" class="player-quiet" data-ask="enlarge" title="hand the pictures of this moment to the second stage, which paints them four times as large" hidden>× 4 here</button>
      <button type="button" class="player-quiet player-part" title="draw over a part of this picture, and have that painted anew" hidden>This part again</button>
      <button type="button" class="player-quiet" data-ask="branch" title="paint on from this moment with new noise">Branch here</button>
      <span class="player-vary"><button type="button" class="player-quiet" data-ask="vary" title="paint variations of this picture: its noise, turned a little towards other seeds'">A little different</button
        ><input type="range" class="player-strength" min="0.05" max="1" step="0.05" value="0.2" aria-label="how different" title="how different: left hardly, right another picture"></span>
      <button type="button" class="player-quiet player-link" title="copy a link that restores these settings">Link</button>
    </div>
  </div>
  <p class="player-nearest"></p>
  <p class="player-unkept" hidden>This browser lets the page keep nothing, as in a private window or a frame: what is painted lasts until the page is closed.</p>
</section>`;

// A canvas as large as its box on this screen; true when that changed (and so emptied it).
function fitCanvas(canvas) {
  const ratio = window.devicePixelRatio || 1;
  const width = Math.round(canvas.clientWidth * ratio);
  const height = Math.round(canvas.clientHeight * ratio);
  if (!width || (canvas.width === width && canvas.height === height)) return;
  canvas.width = width;
  canvas.height = height;
}

const scratch = new Map(); // a canvas for each size a picture passes on its way

function scratchCopy([image, ...from], width, height) {
  const size = `${width}x${height}`;
  if (!scratch.has(size)) {
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [width, height];
    scratch.set(size, canvas.getContext("2d"));
  }
  const context = scratch.get(size);
  context.imageSmoothingQuality = "high";
  context.drawImage(image, ...from, 0, 0, width, height);
  return [context.canvas, 0, 0, width, height];
}

// Cut out first, lest smoothing takes in the neighbours on the sheet. Enlarged by doubling: one
// jump from 64 to 400 pixels would leave a lattice.
function enlarged(tile, width) {
  let [, , , w, h] = tile;
  let source = scratchCopy(tile, w, h);
  while (w * 2 < width) source = scratchCopy(source, (w *= 2), (h *= 2));
  return source;
}

function paint(context, tile, x, y, width, height, pixels) {
  context.imageSmoothingEnabled = !pixels;
  context.imageSmoothingQuality = "high";
  context.drawImage(...(pixels ? tile : enlarged(tile, width)), x, y, width, height);
}

// What was before, over the left `share` of a canvas.
function paintBefore(canvas, tile, share, { pixels }) {
  if (!tile) return;
  const context = canvas.getContext("2d");
  context.save();
  context.beginPath();
  context.rect(0, 0, Math.round(canvas.width * share), canvas.height);
  context.clip();
  paint(context, tile, 0, 0, canvas.width, canvas.height, pixels);
  context.restore();
}

// One picture over the whole canvas, or several in a square grid. False if one isn't there yet.
function paintTiles(canvas, tiles, { pixels, gap = 4 }) {
  if (tiles.some((tile) => !tile)) return false;
  fitCanvas(canvas);
  const context = canvas.getContext("2d");
  const columns = Math.ceil(Math.sqrt(tiles.length));
  const rows = Math.ceil(tiles.length / columns);
  const space = tiles.length > 1 ? gap * (window.devicePixelRatio || 1) : 0;
  const width = (canvas.width - space * (columns - 1)) / columns;
  const height = (canvas.height - space * (columns - 1)) / columns;
  const top = (canvas.height - rows * height - space * (rows - 1)) / 2;
  if (tiles.length > 1) context.clearRect(0, 0, canvas.width, canvas.height);
  tiles.forEach((tile, n) => {
    const x = (n % columns) * (width + space);
    const y = top + Math.floor(n / columns) * (height + space);
    paint(context, tile, x, y, width, height, pixels);
  });
  return true;
}

// Which picture of a square grid lies under a pointer, or -1.
function pictureUnder(canvas, event, count) {
  const box = canvas.getBoundingClientRect();
  const columns = Math.ceil(Math.sqrt(count));
  const rows = Math.ceil(count / columns);
  const side = box.height / columns;
  const row = Math.floor((event.clientY - box.top - (box.height - rows * side) / 2) / side);
  const column = Math.floor(((event.clientX - box.left) / box.width) * columns);
  const picture = row * columns + column;
  return row >= 0 && picture < count ? picture : -1;
}

function duration(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  return `${Math.floor(whole / 60)} min ${String(whole % 60).padStart(2, "0")} s`;
}

function progressWords({ step, steps, t, seconds_left: left }) {
  const parts = [`step ${step} of ${steps}`];
  parts.push(t === null ? "on the way back to the branch" : `t = ${t}`);
  if (left !== null) parts.push(`${duration(left)} left`);
  return parts.join(" · ");
}

function decibels(value) {
  if (value === null) return "∞";
  const text = Math.abs(value).toFixed(1);
  return value < 0 && text !== "0.0" ? `−${text}` : text;
}

function percent(signal) {
  return signal > 0 && signal < 0.01 ? "< 1" : String(Math.round(signal * 100));
}
