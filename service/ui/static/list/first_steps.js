// What a service without jobs shows: three commands to try.

import { html } from "../vendor/htm-preact.js";
import { Copyable } from "../copy.js";

export function FirstSteps({ mayRun, onSubmit }) {
  const url = location.origin + location.pathname.replace(/\/$/, "");
  const commands = [
    ["Run a command, and see its output as it comes", `jobrunner run -- sh -c 'for i in 1 2 3; do date; sleep 1; done'`],
    ["Start one, and leave it", `jobrunner run -d -n build -- make`],
    ["The same with curl", `curl -d '{"CommandLine": "echo hello"}' -H 'Content-Type: application/json' ${url}/`],
  ];
  return html`<section class="first">
    <h2>No jobs yet</h2>
    <p class="muted">Jobs that are submitted appear here at once, and so does their end. Three commands to try:</p>
    <dl>
      ${commands.map(([what, line]) => html`<dt>${what}</dt><dd><${Copyable} text=${line} /></dd>`)}
    </dl>
    <p class="muted">The command line needs to know where the service is: <code>export JOBRUNNER_URL=${url}</code></p>
    ${mayRun && html`<p><button class="primary" type="button" onClick=${onSubmit}>Or submit one here</button></p>`}
  </section>`;
}
