// What went wrong in the place of a view, as a sentence.

import { html, render } from "../vendor/htm-preact.js";
import { Bar } from "../bar.js";

export function mountError(root, { api, session, title, detail }) {
  const page = html`<${Bar} api=${api} session=${session} />
    <main class="narrow">
      <h1>${title}</h1>
      <p>${detail}</p>
      <p><a href=${api.href("/")}>All jobs</a></p>
    </main>`;
  render(page, root);
}
