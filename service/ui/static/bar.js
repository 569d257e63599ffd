// The bar above each view: where one is, whether it is live, the theme, who is logged in.

import { html, useState } from "./vendor/htm-preact.js";
import { currentTheme, toggleTheme } from "./theme.js";

/** `live`: whether the stream of changes stands; null: there is none. `children` stand in its
 * middle. */
export function Bar({ api, session, live = null, children }) {
  const [theme, setTheme] = useState(currentTheme());
  const other = theme === "dark" ? "light" : "dark";
  const toggle = () => {
    toggleTheme();
    setTheme(currentTheme());
  };
  return html`<header class="bar">
    <a class="brand" href=${api.href("/")}>jobrunner</a>
    <span class="host">${location.hostname}</span>
    <div class="middle">${children}</div>
    ${live !== null &&
    html`<span class=${`live ${live ? "on" : "off"}`} role="status"
      >${live ? "live" : "reconnecting"}</span
    >`}
    <button class="quiet icon" type="button" title=${`Use the ${other} theme`} onClick=${toggle}>
      <span aria-hidden="true">${theme === "dark" ? "☀" : "☾"}</span>
      <span class="unseen">Use the ${other} theme</span>
    </button>
    ${session.user && html`<span class="who" title="Who is logged in">${session.user}</span>`}
    ${session.byLogin && html`<button class="quiet" type="button" onClick=${() => logOut(api)}>Log out</button>`}
  </header>`;
}

async function logOut(api) {
  await api.post("/logout").catch(() => {});
  location.assign(api.href("/"));
}
