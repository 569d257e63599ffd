// Parts of the page that are loaded when they are wanted, so that a log is there sooner.

import { html, useEffect, useState } from "../vendor/htm-preact.js";

const PARTS = {
  terminal: async () => (await import("./terminal/terminal.js")).Terminal,
  files: async () => (await import("./files/files.js")).Files,
  details: async () => (await import("./details/details.js")).Details,
  dialog: async () => (await import("./dialogs/dialogs.js")).Dialog,
};

/** The part of that name, with the properties `given`, once it is there. */
export function Later({ part, given }) {
  const [loaded, setLoaded] = useState(null);
  useEffect(() => {
    let isGone = false;
    PARTS[part]().then(
      (made) => isGone || setLoaded({ made }),
      () => isGone || setLoaded({}),
    );
    return () => {
      isGone = true;
    };
  }, [part]);
  if (!loaded) return null;
  if (!loaded.made) return html`<p class="problem" role="alert">This part of the page couldn’t be loaded. Reload the page.</p>`;
  return html`<${loaded.made} ...${given} />`;
}
