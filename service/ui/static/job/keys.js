// The keyboard of the job page; the log has keys of its own.

import { html, useEffect } from "../vendor/htm-preact.js";
import { Modal } from "../confirm.js";

const KEYS = [
  ["1 2 3", "the tabs"],
  ["u", "up, to all jobs"],
  ["/", "find in the output"],
  ["n N", "next and previous hit"],
  ["g G", "beginning and end of the output"],
  ["f", "follow the output"],
  ["Ctrl Shift ↑", "leave the terminal"],
  ["Esc", "close a menu or a dialog"],
  ["?", "this help"],
];

export function Help({ close }) {
  return html`<${Modal} label="Keyboard" close=${close}>
    <h2>Keyboard</h2>
    <dl class="keys">${KEYS.map(([key, what]) => html`<dt>${key.split(" ").map((one) => html`<kbd>${one}</kbd> `)}</dt><dd>${what}</dd>`)}</dl>
    <form method="dialog" class="buttons"><button>Close</button></form>
  <//>`;
}

/** `acts`: what to do, by key. Nothing is heard while a field, a terminal or a dialog has the keys. */
export function useKeys(acts) {
  useEffect(() => {
    function pressed(event) {
      if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
      if (event.target.closest("input, textarea, select, dialog, .job-terminal")) return;
      const act = acts[event.key];
      if (!act) return;
      event.preventDefault();
      act();
    }
    addEventListener("keydown", pressed);
    return () => removeEventListener("keydown", pressed);
  });
}
