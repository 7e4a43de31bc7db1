// The same seed side by side: a sheet whose cells are filled as they are painted.

function mountSheet(root, { trigger, props, watch }) {
  root.innerHTML = `<div class="lab-status"></div><div class="lab-grid sheet-grid" role="table"></div>
    <div class="lab-actions" hidden><button type="button" class="lab-quiet" disabled
      title="the labelled sheet with its recipe inside">Save the sheet</button></div>`;
  const [place, actions] = [root.querySelector(".lab-grid"), root.querySelector(".lab-actions")];
  const button = actions.firstElementChild;
  const status = statusLine(root, trigger, "sheet");
  let sheet = null;

  button.addEventListener("click", () => {
    trigger("select", { ask: "png" });
    working(button);
  });

  function linkOf(recipe) {
    const url = new URL(location.href);
    [url.search, url.hash] = ["", ""];
    url.searchParams.set("recipe", recipe);
    return url.href;
  }

  receiveBy({ props, watch }, {
    sheet(message) {
      sheet = message;
      const { columns, rows } = message;
      gridTable(place, rows.map(escaped), columns.map(escaped), () => '<a role="cell"><canvas></canvas></a>');
      place.querySelectorAll("a").forEach((cell, n) => {
        cell.ariaLabel = `${rows[Math.floor(n / columns.length)]}, ${columns[n % columns.length]}`;
      });
      Object.assign(root.dataset, { cells: 0, run: message.run });
      status.state("live");
      status.say(message.words);
      [actions.hidden, button.disabled] = [false, true];
    },
    async cell(message) {
      if (message.run !== sheet?.run) return;
      const bitmap = await bitmapOf(message.src);
      const cell = place.querySelectorAll("a")[message.place];
      paintTiles(cell.firstElementChild, [[bitmap, 0, 0, bitmap.width, bitmap.height]], {});
      if (message.link) {
        Object.assign(cell, { href: linkOf(message.link), target: "_blank", title: `${cell.ariaLabel}: open it in a tab of its own` });
        Object.assign(root.dataset, { cells: message.place + 1, tile: bitmap.width });
        button.disabled = false;
      }
      bitmap.close();
      if (root.dataset.state === "live") status.say(message.words);
    },
    end(message) {
      if (message.run !== sheet?.run) return;
      status.state("finished");
      status.say(message.words);
    },
    download: save,
    error({ message, hint }) {
      status.state("failed");
      status.say(`${message} ${hint}`);
    },
  });
}

pleinAir.sheet = mountSheet;
