// The frames of one run, as the browser keeps them: compressed as they came, decoded when shown.

const DECODED_BYTES = 96e6; // of pixels kept decoded; a run that needs more decodes again
const JPEG_BLOCK = 8;

function blobOf(uri) {
  const comma = uri.indexOf(",");
  const type = uri.slice(5, uri.indexOf(";"));
  const text = atob(uri.slice(comma + 1));
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i += 1) bytes[i] = text.charCodeAt(i);
  return new Blob([bytes], { type });
}

// A picture that came in the message, or lies at an address.
async function pictureOf(src) {
  if (src.startsWith("data:")) return createImageBitmap(blobOf(src));
  const answer = await fetch(src);
  if (!answer.ok) throw new Error(`${src}: ${answer.status}`);
  return createImageBitmap(await answer.blob());
}

function createFilm({ tile, views, steps, second = null, small = null }) {
  // A second stage's pictures are larger than those before.
  const stageOf = ({ i }) => Number(second !== null && i >= second);
  const tileOf = (frame) => (second !== null && stageOf(frame) === 0 ? small : tile);
  const pitchOf = (frame) => tileOf(frame).map((side) => Math.ceil(side / JPEG_BLOCK) * JPEG_BLOCK);
  const frames = []; // by i: {i, t, snr_db, signal, blob, column}
  const decoded = new Map(); // frame -> ImageBitmap, the one used last at the end
  const decoding = new Map(); // frame -> Promise
  const masters = []; // the finished pictures, lossless
  let whole = null; // the sheets of a stored run, one for each stage
  let better = null; // where they are, while only previews of them are shown
  let bytes = 0;
  let closed = false;

  function keep(frame, bitmap) {
    decoded.set(frame, bitmap);
    bytes += bitmap.width * bitmap.height * 4;
    for (const [old, oldBitmap] of decoded) {
      if (bytes <= DECODED_BYTES || old === frame) break;
      decoded.delete(old);
      bytes -= oldBitmap.width * oldBitmap.height * 4;
      oldBitmap.close();
    }
  }

  function decode(frame) {
    if (whole || decoded.has(frame)) return Promise.resolve();
    if (!decoding.has(frame)) {
      const done = createImageBitmap(frame.blob).then((bitmap) => {
        decoding.delete(frame);
        if (closed) bitmap.close();
        else keep(frame, bitmap);
      });
      decoding.set(frame, done);
    }
    return decoding.get(frame);
  }

  function add(about) {
    const frame = { ...about, column: 0 };
    let at = frames.length;
    while (at > 0 && frames[at - 1].i > frame.i) at -= 1;
    if (at > 0 && frames[at - 1].i === frame.i) return frames[at - 1];
    frames.splice(at, 0, frame);
    return frame;
  }

  // Put a stored run's own sheets in the place of its previews; tell whether that changed anything.
  async function refine() {
    if (!better) return false;
    const sources = better;
    better = null;
    const sheets = await Promise.all(sources.map(pictureOf)).catch((error) => {
      better = sources; // the next who turns to the player tries again
      throw error;
    });
    const old = closed ? sheets : whole;
    if (!closed) whole = sheets;
    old.forEach((sheet) => sheet.close());
    return !closed;
  }

  async function addWhole(infos, sources, previews) {
    whole = await Promise.all((previews.length ? previews : sources).map(pictureOf));
    better = previews.length ? sources : null;
    const before = infos.filter((info) => stageOf(info) === 0).length;
    infos.forEach((info, n) => frames.push({ ...info, column: n - stageOf(info) * before }));
  }

  async function addMasters(sources) {
    const bitmaps = await Promise.all(sources.map(pictureOf));
    if (closed) bitmaps.forEach((bitmap) => bitmap.close());
    else masters.push(...bitmaps);
  }

  // The nearest kept frame to i, as a position in `frames`.
  function nearest(i) {
    let best = 0;
    for (let k = 1; k < frames.length; k += 1) {
      if (Math.abs(frames[k].i - i) < Math.abs(frames[best].i - i)) best = k;
    }
    return best;
  }

  function sheetOf(frame) {
    if (whole) return whole[stageOf(frame)];
    const bitmap = decoded.get(frame);
    if (!bitmap) return null;
    decoded.delete(frame); // to the end of the queue: used last
    decoded.set(frame, bitmap);
    return bitmap;
  }

  // What to draw for a view of a picture at position k: [image, x, y, width, height], or null
  // while it isn't decoded. At t = 0 there is no noise to predict: the frame before lends its own.
  function tileAt(k, view, picture) {
    const frame = frames[k];
    if (!frame) return null;
    const row = views.indexOf(view);
    if (frame.i === steps && masters[picture] && (view === "x_t" || view === "x_0_hat")) {
      return [masters[picture], 0, 0, ...tile];
    }
    const sheet = sheetOf(frame);
    if (!sheet) return null;
    const pitch = pitchOf(frame);
    const y = row * pitch[1];
    if (y >= sheet.height) return k > 0 ? tileAt(k - 1, view, picture) : null;
    return [sheet, (frame.column + picture) * pitch[0], y, ...tileOf(frame)];
  }

  function close() {
    closed = true;
    decoded.forEach((bitmap) => bitmap.close());
    decoded.clear();
    masters.forEach((bitmap) => bitmap.close());
    whole?.forEach((bitmap) => bitmap.close());
  }

  return { frames, add, addWhole, addMasters, refine, decode, nearest, tileAt, close };
}
