// Parts of the page that are loaded when they are wanted, so that a log is there sooner.

import { html, useEffect, useState } from "../vendor/htm-preact.js";

const PARTS = {
  terminal: async () => (await import("./terminal/terminal.js")).Terminal,
  files: async () => (await import("./files/files.js")).Files,
  details: async () => (await import("./details/details.js")).Details,
  dialog: async () => (await import("./dialogs/dialogs.js")).Dialog,
};

/** The part of that name, with the properties `given`, once it is there. One that couldn’t be loaded is tried
 * again when asked for; of a service that has another release by now it is gone, so the page has to be loaded. */
export function Later({ part, given }) {
  const [loaded, setLoaded] = useState(null);
  const [tries, setTries] = useState(1);
  useEffect(() => {
    let isGone = false;
    setLoaded(null);
    PARTS[part]().then(
      (made) => isGone || setLoaded({ made }),
      () => isGone || setLoaded({}),
    );
    return () => {
      isGone = true;
    };
  }, [part, tries]);
  if (!loaded) return null;
  if (loaded.made) return html`<${loaded.made} ...${given} />`;
  return html`<p class="problem" role="alert">
    This part of the page couldn’t be loaded. <button type="button" onClick=${() => setTries(tries + 1)}>Try again</button>${" "}
    or reload the page.
  </p>`;
}
