// The keyboard of the list, and what it can do.

import { html, useEffect, useRef } from "../vendor/htm-preact.js";
import { Modal } from "../confirm.js";

const KEYS = [
  ["/", "search"],
  ["n", "next job"],
  ["N", "previous job"],
  ["g", "first job"],
  ["G", "last job that is loaded"],
  ["Enter", "open the job"],
  ["c", "create a job"],
  ["Esc", "leave the search, close a dialog"],
  ["?", "this help"],
];

export function Help({ close }) {
  return html`<${Modal} label="Keyboard" close=${close}>
    <h2>Keyboard</h2>
    <dl class="keys">${KEYS.map(([key, what]) => html`<dt><kbd>${key}</kbd></dt><dd>${what}</dd>`)}</dl>
    <form method="dialog" class="buttons"><button>Close</button></form>
  <//>`;
}

/** Listens to the keys while no field and no dialog has them. */
export function useKeys(given) {
  const now = useRef(given);
  now.current = given;
  useEffect(() => {
    function pressed(event) {
      const { search, onSubmit, onHelp, hasDialog } = now.current;
      if (event.ctrlKey || event.metaKey || event.altKey || hasDialog) return;
      const field = event.target.closest("input, textarea, select");
      if (field) {
        if (event.key === "Escape") field.blur();
        return;
      }
      const act = {
        "/": () => search.current.focus(),
        n: () => step(1),
        N: () => step(-1),
        g: () => edge(0),
        G: () => edge(document.documentElement.scrollHeight),
        c: onSubmit,
        "?": onHelp,
      }[event.key];
      if (!act) return;
      event.preventDefault();
      act();
    }
    addEventListener("keydown", pressed);
    return () => removeEventListener("keydown", pressed);
  }, []);
}

function links() {
  return [...document.querySelectorAll("a[data-row]")];
}

function step(by) {
  const all = links();
  const at = all.indexOf(document.activeElement);
  const target = all[at === -1 ? firstSeen(all) : at + by];
  if (!target) return;
  target.focus({ preventScroll: true });
  target.closest("li").scrollIntoView({ block: "nearest" });
}

function firstSeen(all) {
  return Math.max(0, all.findIndex((link) => link.getBoundingClientRect().top > 0));
}

/** Scrolls to an end; the rows there are drawn in the next frame, the nearest one gets the focus. */
function edge(top) {
  scrollTo(0, top);
  requestAnimationFrame(() =>
    requestAnimationFrame(() => {
      const all = links();
      const target = top ? all.at(-1) : all[0];
      if (target) target.focus({ preventScroll: true });
    }),
  );
}
