// The board that a painting starts from: a picture, a sketch on paper, or a mask over a picture.
//
// The server sends {kind: "board", mode, src, side, drawn, palette}; the component's value becomes what is drawn,
// {kind: "drawn", png}: the sketch, or the mask, white on black, as a PNG in base64.

const MAX_UNDO = 40;
const BRUSHES = [4, 8, 16, 28]; // per cent of the side: fine to broad
const MASK = "#c2533b";

function mountBoard(root, { props, watch, label }) {
  root.innerHTML = `<div class="board" data-mode="picture">
    <div class="board-sheet"><canvas class="board-picture"></canvas>
      <canvas class="board-strokes" role="img" aria-label="${label}"></canvas>
      <p class="board-empty">no picture yet: upload one, or take the one that is shown</p></div>
    <div class="board-tools">
      <div class="board-colours" role="group" aria-label="colours, taken from paintings"></div>
      <div class="board-brushes" role="group" aria-label="brush">${BRUSHES.map((width, n) =>
        `<button type="button" data-brush="${n}" aria-label="brush of ${width} percent of the side"><i style="--width: ${6 + 5 * n}px"></i></button>`).join("")}
        <button type="button" class="board-eraser" aria-pressed="false">erase</button></div>
      <div class="board-doings"><button type="button" class="board-undo">undo</button>
        <button type="button" class="board-clear">clear</button></div>
    </div></div>`;
  const board = root.querySelector(".board");
  const find = (selector) => root.querySelector(selector);
  const [picture, strokes] = [find(".board-picture"), find(".board-strokes")];
  const [under, over] = [picture, strokes].map((canvas) => canvas.getContext("2d", { willReadFrequently: true }));
  const look = { mode: "picture", colour: "", paper: "#fff", brush: 2, erases: false, side: 256, given: false };
  let undo = [];
  let last = null; // of the stroke under way

  const draws = () => look.mode !== "picture";

  function showTools() {
    board.dataset.mode = look.mode;
    for (const button of root.querySelectorAll("[data-colour]")) {
      button.setAttribute("aria-pressed", String(!look.erases && button.dataset.colour === look.colour));
    }
    for (const button of root.querySelectorAll("[data-brush]")) {
      button.setAttribute("aria-pressed", String(Number(button.dataset.brush) === look.brush));
    }
    find(".board-eraser").setAttribute("aria-pressed", String(look.erases));
    find(".board-undo").disabled = !undo.length;
    board.dataset.strokes = undo.length;
    board.dataset.given = look.given;
  }

  // What is drawn, as the server takes it.
  function tell() {
    if (!draws()) return;
    const sheet = document.createElement("canvas");
    [sheet.width, sheet.height] = [look.side, look.side];
    const context = sheet.getContext("2d");
    context.fillStyle = look.mode === "sketch" ? look.paper : "#000";
    context.fillRect(0, 0, look.side, look.side);
    if (look.mode === "sketch") context.drawImage(strokes, 0, 0);
    else {
      const drawn = over.getImageData(0, 0, look.side, look.side);
      for (let i = 0; i < drawn.data.length; i += 4) {
        drawn.data.fill(drawn.data[i + 3] > 127 ? 255 : 0, i, i + 3);
        drawn.data[i + 3] = 255;
      }
      context.putImageData(drawn, 0, 0);
    }
    const png = sheet.toDataURL("image/png").split(",")[1];
    props.value = JSON.stringify({ kind: "drawn", mode: look.mode, png });
    pleinAir.keepStart({ drawn: undo.length || look.given ? png : "" });
  }

  const place = (event) => {
    const box = strokes.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top].map((at) => (at / box.width) * look.side);
  };

  function stroke(to) {
    over.globalCompositeOperation = look.erases ? "destination-out" : "source-over";
    over.strokeStyle = look.mode === "sketch" ? look.colour : MASK;
    [over.lineCap, over.lineJoin] = ["round", "round"];
    over.lineWidth = Math.max(1.5, (BRUSHES[look.brush] / 100) * look.side);
    over.beginPath();
    over.moveTo(...last);
    over.lineTo(...to);
    over.stroke();
    last = to;
  }

  strokes.addEventListener("pointerdown", (event) => {
    if (!draws() || event.button !== 0 || board.dataset.empty) return;
    event.preventDefault();
    strokes.setPointerCapture(event.pointerId);
    undo = [...undo, over.getImageData(0, 0, look.side, look.side)].slice(-MAX_UNDO);
    last = place(event);
    stroke(last.map((at) => at + 0.01)); // a touch is a dot
  });
  strokes.addEventListener("pointermove", (event) => {
    if (!last || !strokes.hasPointerCapture(event.pointerId)) return;
    for (const each of event.getCoalescedEvents?.() ?? [event]) stroke(place(each));
    if (last) stroke(place(event));
  });
  const lift = () => {
    if (!last) return;
    last = null;
    showTools();
    tell();
  };
  for (const end of ["pointerup", "pointercancel"]) strokes.addEventListener(end, lift);

  root.addEventListener("click", ({ target }) => {
    const button = target.closest("button");
    if (!button) return;
    const { colour, brush } = button.dataset;
    if (colour) Object.assign(look, { colour, erases: false });
    else if (brush) look.brush = Number(brush);
    else if (button.matches(".board-eraser")) look.erases = !look.erases;
    else if (button.matches(".board-undo") && undo.length) {
      over.putImageData(undo.at(-1), 0, 0);
      undo = undo.slice(0, -1);
      tell();
    } else if (button.matches(".board-clear")) {
      undo = [...undo, over.getImageData(0, 0, look.side, look.side)].slice(-MAX_UNDO);
      over.clearRect(0, 0, look.side, look.side);
      tell();
    }
    showTools();
  });

  function showColours(palette) {
    const colours = find(".board-colours");
    if (colours.childElementCount) return;
    [look.colour, look.paper] = [palette[0], palette.at(-1)]; // from dark to light
    colours.innerHTML = palette.map((colour) => `<button type="button" data-colour="${colour}"
      aria-label="colour ${colour}" style="--colour: ${colour}"></button>`).join("");
  }

  async function open({ mode, src, side, drawn, palette }) {
    Object.assign(look, { mode, side, erases: false, given: Boolean(drawn) });
    pleinAir.keepStart({ picture: src.split(",")[1] ?? "", drawn: drawn.split(",")[1] ?? "" });
    showColours(palette);
    undo = [];
    for (const canvas of [picture, strokes]) [canvas.width, canvas.height] = [look.side, look.side];
    board.toggleAttribute("data-empty", mode !== "sketch" && !src);
    under.fillStyle = look.paper;
    under.fillRect(0, 0, look.side, look.side);
    const load = async (address) => {
      const image = new Image();
      image.src = address;
      await image.decode();
      return image;
    };
    if (src) under.drawImage(await load(src), 0, 0, side, side);
    if (drawn) over.drawImage(await load(drawn), 0, 0, look.side, look.side);
    if (drawn && mode === "part") {
      const mask = over.getImageData(0, 0, look.side, look.side);
      for (let i = 0; i < mask.data.length; i += 4) {
        mask.data.set([194, 83, 59, mask.data[i]], i);
      }
      over.putImageData(mask, 0, 0);
    }
    showTools();
    tell();
  }

  receiveBy({ props, watch }, { board: open });
  showTools();
}

pleinAir.board = mountBoard;

// From the player: the picture that it shows, to be painted anew in part.
pleinAir.partAgain = async () => {
  document.getElementById("part-again").click();
  const sheet = await appeared(() => document.querySelector("#paint .board[data-mode=part]:not([data-empty])"));
  sheet.scrollIntoView({ block: "nearest" });
};
