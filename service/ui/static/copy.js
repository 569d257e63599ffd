// Text with a button that copies it.

import { html, useState } from "./vendor/htm-preact.js";

const SHOWN_MS = 1500;

/** Copies `text`; whether it worked. Without a secure context the clipboard is closed to scripts,
 * but not to a selection. */
export async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = document.createElement("textarea");
    area.value = text;
    area.className = "unseen";
    (document.querySelector("dialog[open]") || document.body).append(area);
    area.select();
    const worked = document.execCommand("copy");
    area.remove();
    return worked;
  }
}

export function Copyable({ text }) {
  const [done, setDone] = useState(false);
  const copy = async () => {
    if (!(await copied(text))) return;
    setDone(true);
    setTimeout(() => setDone(false), SHOWN_MS);
  };
  return html`<span class="copyable">
    <code>${text}</code>
    <button class="quiet" type="button" aria-label=${`Copy ${text}`} onClick=${copy}>${done ? "Copied" : "Copy"}</button>
  </span>`;
}
