// The pictures that will be trained on, as they will be seen, and what was left out.

function mountTrainSet(root, { trigger, props, watch }) {
  root.innerHTML = `<div class="train-set" hidden>
    <p class="train-set-head"><span role="status"></span><button type="button" class="lab-quiet" title="forget these pictures; trainings keep theirs">Remove</button></p>
    <div class="train-thumbs" role="img"></div>
    <details class="train-skipped" hidden><summary></summary><ul></ul></details></div>`;
  const find = (selector) => root.querySelector(selector);

  find(".train-set-head button").addEventListener("click", () => trigger("select"));

  receiveBy({ props, watch }, {
    set({ words, sheet, columns, names, skipped }) {
      find(".train-set").hidden = !sheet;
      root.dataset.pictures = names.length;
      if (!sheet) return;
      find(".train-set-head span").textContent = words;
      const rows = Math.ceil(names.length / columns);
      const thumbs = find(".train-thumbs");
      thumbs.setAttribute("aria-label", words);
      thumbs.style.setProperty("--sheet", `url(${sheet})`);
      thumbs.style.setProperty("--size", `${columns * 100}% ${rows * 100}%`);
      thumbs.innerHTML = names.map((name, i) => {
        const x = columns > 1 ? ((i % columns) / (columns - 1)) * 100 : 0;
        const y = rows > 1 ? (Math.floor(i / columns) / (rows - 1)) * 100 : 0;
        return `<i style="background-position: ${x}% ${y}%"></i>`;
      }).join("");
      [...thumbs.children].forEach((thumb, i) => (thumb.title = names[i]));
      const left = find(".train-skipped");
      left.hidden = !skipped.length;
      left.open = skipped.length > 0 && skipped.length <= 6;
      left.querySelector("summary").textContent = `${skipped.length} left out`;
      left.querySelector("ul").innerHTML = skipped
        .map(([name, reason]) => `<li><b>${escaped(name)}</b> ${escaped(reason)}</li>`)
        .join("");
    },
  });
}

pleinAir.trainSet = mountTrainSet;
