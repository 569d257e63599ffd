// A question before something that can't be undone, in a native dialog.

import { html, useEffect, useRef, useState } from "./vendor/htm-preact.js";

/** `onConfirm` gets the form's elements and may fail; `close` is called when all is over. */
export function Confirm({ title, verb, onConfirm, close, children }) {
  const [error, setError] = useState(null);
  const [busy, setBusy] = useState(false);

  async function confirmed(event) {
    event.preventDefault();
    setBusy(true);
    try {
      await onConfirm(event.target.elements);
      close();
    } catch (problem) {
      setError(problem.message);
      setBusy(false);
    }
  }

  return html`<${Modal} label=${title} close=${close}>
    <form onSubmit=${confirmed}>
      <h2>${title}</h2>
      ${children}
      ${error && html`<p class="problem" role="alert">${error}</p>`}
      <div class="buttons">
        <button type="button" onClick=${close}>Cancel</button>
        <button class="danger" type="submit" disabled=${busy}>${verb}</button>
      </div>
    </form>
  <//>`;
}

/** A native modal dialog: it keeps the focus, gives it back, and closes by Escape. */
export function Modal({ label, close, wide = false, children }) {
  const dialog = useRef(null);
  useEffect(() => {
    const element = dialog.current;
    element.showModal();
    return () => element.open && element.close();
  }, []);
  const outside = (event) => event.target === dialog.current && close();
  return html`<dialog
    ref=${dialog} class=${wide ? "wide" : ""} aria-label=${label} onClose=${close} onMouseDown=${wide ? null : outside}
  >${children}</dialog>`;
}
