// A row of finished runs to open: a button for each, with a small picture.

function mountExamples(root, { trigger, props, watch }) {
  receiveBy({ props, watch }, {
    examples({ title, examples }) {
      const buttons = examples.map(({ src, name }) => {
        const words = escaped(name);
        return `<li><button type="button" aria-label="${words}" title="${words}"><img src="${src}" alt=""></button></li>`;
      });
      root.innerHTML = `<p>${escaped(title)}</p><ul>${buttons.join("")}</ul>`;
    },
  });
  root.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    const index = [...root.querySelectorAll("button")].indexOf(button);
    if (button) trigger("select", { index, value: button.title });
  });
}

pleinAir.examples = mountExamples;
