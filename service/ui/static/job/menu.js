// A button that opens a few choices below it.

import { html, useEffect, useRef, useState } from "../vendor/htm-preact.js";

/** `children` are buttons and links; one that is chosen closes the menu, unless it has
 * `data-stay`. */
export function Menu({ label, children }) {
  const [isOpen, setOpen] = useState(false);
  const root = useRef(null);
  const button = useRef(null);

  useEffect(() => {
    if (!isOpen) return undefined;
    items(root.current)[0]?.focus();
    const outside = (event) => !root.current.contains(event.target) && setOpen(false);
    addEventListener("pointerdown", outside);
    addEventListener("focusin", outside);
    return () => {
      removeEventListener("pointerdown", outside);
      removeEventListener("focusin", outside);
    };
  }, [isOpen]);

  function pressed(event) {
    if (!isOpen) return;
    if (event.key === "Escape") {
      setOpen(false);
      button.current.focus();
    } else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      if (event.target.closest("input")) return;
      const all = items(root.current);
      const at = all.indexOf(document.activeElement) + (event.key === "ArrowDown" ? 1 : -1);
      all[(at + all.length) % all.length].focus();
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }

  function chosen(event) {
    if (event.target.closest("a, button") && !event.target.closest("[data-stay]")) setOpen(false);
  }

  return html`<div class="menu" ref=${root} onKeyDown=${pressed}>
    <button ref=${button} type="button" aria-expanded=${isOpen ? "true" : "false"} onClick=${() => setOpen(!isOpen)}>
      ${label} <span aria-hidden="true">▾</span>
    </button>
    ${isOpen && html`<div class="choices" role="group" aria-label=${label} onClick=${chosen}>${children}</div>`}
  </div>`;
}

function items(root) {
  return [...root.querySelectorAll(".choices a, .choices button, .choices input")];
}
