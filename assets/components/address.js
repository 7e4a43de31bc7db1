// The page's address: the tab and the panel that are open (#noise, #mix/grid), or the moment of the
// run in Paint (#paint/37), whose name each entry of the browser's history keeps.

const HOME = "paint";
const TOLD_AFTER = 300; // ms at rest; browsers refuse a page that changes its address all the time

function createAddress() {
  let run = null; // the one that Paint shows
  let linked = false; // until the run that the address's link asks for has begun
  let opening = 0;
  let timer = 0;

  const parse = () => {
    const [tab, part = ""] = (location.hash.slice(1) || HOME).split("/");
    return { tab, part };
  };
  const momentIn = ({ tab, part }) => (tab === HOME && /^\d{1,6}$/.test(part) ? Number(part) : null);

  // ---- tabs

  const tabs = () => [...document.querySelectorAll("[role=tab][id$='-button']")];
  const panelOf = (button) => button.closest("[role=tabpanel]")?.id ?? "";
  const tabsIn = (panel) => tabs().filter((button) => panelOf(button) === panel);
  const chosen = (buttons) => buttons.find((button) => button.ariaSelected === "true");
  const nameOf = (button) => button.id.replace(/-button$/, "");

  function openTabs() {
    const open = chosen(tabsIn(""));
    if (!open) return null;
    const tab = nameOf(open);
    const [first, ...others] = tabsIn(tab);
    const panel = chosen(others);
    return panel && first ? { tab, part: nameOf(panel).slice(tab.length + 1) } : { tab, part: "" };
  }

  // Wait until Gradio has built what `find` looks for; a panel is built when it is first opened.
  async function built(find, frames) {
    for (let frame = 0; frame < frames; frame += 1) {
      const found = find();
      if (found) return found;
      await new Promise(requestAnimationFrame);
    }
    return null;
  }

  const press = (button) => button && button.ariaSelected !== "true" && button.click();

  async function open({ tab, part }) {
    opening += 1;
    try {
      await built(() => tabsIn("").length, 3600);
      const button = tabsIn("").find((button) => nameOf(button) === tab);
      if (!button) return;
      press(button);
      if (tab === HOME) return;
      const panels = await built(() => tabsIn(tab).length && tabsIn(tab), 120);
      if (panels) press(panels.find((panel) => nameOf(panel) === `${tab}-${part}`) ?? panels[0]);
    } finally {
      await new Promise(requestAnimationFrame);
      opening -= 1;
    }
  }

  // ---- writing

  const words = ({ tab, part }) => (tab === HOME && part === "" ? "" : `#${tab}${part === "" ? "" : `/${part}`}`);

  function write(how, place, { plain = false } = {}) {
    const url = new URL(location.href);
    if (plain) url.search = "";
    url.hash = words(place);
    history[how]({ run }, "", url);
  }

  function follow() {
    const now = openTabs();
    const before = parse();
    if (opening || !now || (now.tab === before.tab && (now.tab === HOME || now.part === before.part))) return;
    write("pushState", now);
  }

  new MutationObserver(follow).observe(document.documentElement, {
    attributeFilter: ["aria-selected"],
    subtree: true,
  });

  function tell() {
    const at = parse();
    const detail = { run, moment: momentIn(at) };
    document.dispatchEvent(new CustomEvent("plein-air:address", { detail }));
  }

  addEventListener("popstate", ({ state }) => {
    clearTimeout(timer);
    if (state) run = state.run;
    else write("replaceState", parse()); // written by hand: the run stays
    open(parse());
    tell();
  });

  pleinAir.opening().then(({ link }) => (linked = Boolean(link)));
  if (location.hash) open(parse());

  return {
    moment: () => momentIn(parse()),
    // Paint shows another run: a further entry, unless the address led to it, which it then says.
    shows(id, { isNew }) {
      if (id === run) return false;
      const first = run === null;
      run = id;
      clearTimeout(timer);
      if (isNew && !linked && !first) write("pushState", { tab: HOME, part: "" }, { plain: true });
      else if (history.state?.run !== id) write("replaceState", parse());
      const led = isNew && linked;
      linked &&= !isNew;
      return led;
    },
    // A person has gone to a moment of it; null is its end.
    at(i) {
      clearTimeout(timer);
      timer = setTimeout(() => {
        if (parse().tab !== HOME || (momentIn(parse()) === i)) return;
        write("replaceState", { tab: HOME, part: i ?? "" });
      }, TOLD_AFTER);
    },
  };
}

pleinAir.address = createAddress();
