// A row of tabs: arrow keys move, as the ARIA practices have it.

import { html } from "../vendor/htm-preact.js";

export const tabId = (name) => `tab-${name}`;
export const panelId = (name) => `panel-${name}`;

export function Tabs({ tabs, current, choose }) {
  function pressed(event) {
    const at = tabs.findIndex((tab) => tab.name === current);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: tabs.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    const { name } = tabs[(to + tabs.length) % tabs.length];
    choose(name);
    document.getElementById(tabId(name)).focus();
  }
  return html`<div class="tabs" role="tablist" aria-label="Views of the job" onKeyDown=${pressed}>
    ${tabs.map(({ name, label }) => html`<button
      type="button" role="tab" id=${tabId(name)} aria-controls=${panelId(name)} aria-selected=${name === current ? "true" : "false"}
      tabindex=${name === current ? 0 : -1} onClick=${() => choose(name)}
    >${label}</button>`)}
  </div>`;
}
