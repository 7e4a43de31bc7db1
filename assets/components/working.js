// A button that is at work says so, until what it asked for comes or a message says why not.

const ANSWERS = ["download", "comparison", "enlarged", "error"];

function working(button) {
  const toasts = new MutationObserver(() => document.querySelector(".toast-body.error") && over());
  const heard = ({ detail }) => ANSWERS.includes(detail) && over();
  function over() {
    button.removeAttribute("aria-busy");
    document.removeEventListener("plein-air:message", heard);
    toasts.disconnect();
  }
  button.setAttribute("aria-busy", "true");
  document.addEventListener("plein-air:message", heard);
  toasts.observe(document.body, { childList: true, subtree: true });
}
