// A slider over t: noise on the left, the picture on the right, as the player's.

function mountTime(root, { props, watch, tab, label }) {
  root.innerHTML = `
  <div class="lab-time">
    <output class="lab-t">${maths("t")} = <b>500</b></output>
    <div class="lab-slider" role="slider" tabindex="0" aria-label="${label}" aria-valuemin="0">
      <span>noise</span>
      <div class="lab-track"><i></i><b></b></div>
      <span>picture</span>
    </div>
  </div>`;
  const slider = root.querySelector(".lab-slider");
  const track = root.querySelector(".lab-track");
  let [t, T] = [500, 1000];

  function show() {
    const { material } = bench(tab);
    const signal = material?.alphaBar.length === T + 1 ? material.alphaBar[t] : null;
    root.style.setProperty("--at", 1 - t / T);
    root.querySelector(".lab-t b").textContent = t;
    slider.setAttribute("aria-valuemax", T);
    slider.setAttribute("aria-valuenow", t);
    slider.setAttribute(
      "aria-valuetext",
      signal === null ? `t ${t}` : `t ${t}, signal ${percent(signal)} percent`,
    );
  }

  function go(to) {
    t = Math.max(0, Math.min(T, Math.round(to)));
    props.value = `${t}/${T}`;
    show();
    share(tab, { t, T });
  }

  const drag = (event) => {
    const box = track.getBoundingClientRect();
    go(T * (1 - Math.max(0, Math.min(1, (event.clientX - box.left) / box.width))));
  };
  slider.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    slider.setPointerCapture(event.pointerId);
    slider.focus({ preventScroll: true });
    event.preventDefault();
    drag(event);
  });
  slider.addEventListener("pointermove", (event) => {
    if (slider.hasPointerCapture(event.pointerId)) drag(event);
  });
  const steps = { ArrowLeft: 1, ArrowDown: 1, ArrowRight: -1, ArrowUp: -1 };
  slider.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    if (event.key in steps) go(t + steps[event.key] * (event.shiftKey ? 10 : 1));
    else if (event.key === "Home") go(T);
    else if (event.key === "End") go(0);
    else return;
    event.preventDefault();
  });

  // What the server sets; what `go` sets comes back as it is.
  function receive() {
    const said = String(props.value ?? "").split("/").map(Number);
    if (said.length !== 2 || said.some(Number.isNaN)) return;
    if (said[0] === t && said[1] === T && bench(tab).T === T && bench(tab).t === t) return show();
    [t, T] = said;
    show();
    share(tab, { t, T });
  }
  watch("value", receive);
  receive();
  // Another model's T; where the slider is remains the person's.
  follow(root, tab, ["material"], ({ material }) => {
    const total = material ? material.alphaBar.length - 1 : T;
    if (total === T) return show();
    T = total;
    go(t);
  });
  follow(root, tab, ["goto"], (shared) => {
    const to = shared.goto ?? null;
    shared.goto = null;
    if (to !== null) go(to);
  });
}

pleinAir.time = mountTime;
