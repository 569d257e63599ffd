// One job: what is known of it, and the last of its output.

import { html, render, useEffect, useState } from "../vendor/htm-preact.js";
import { Bar } from "../bar.js";
import { commandLine, kindOfState, shape, stateWord, why } from "../states.js";
import { ago, bytes, duration, visible } from "../words.js";

const LAST_BYTES = 65_536;

/** Shows the job `id` in `root`. */
export function mountJob(root, page) {
  render(html`<${Job} ...${page} />`, root);
}

function Job({ api, id, session, seq }) {
  const [view, setView] = useState(null);
  const [output, setOutput] = useState("");
  const [live, setLive] = useState(false);
  const [error, setError] = useState(null);

  useEffect(() => {
    const load = async () => {
      try {
        setView(await api.job(id));
        const answer = await api.send("GET", `/${id}/output`, {
          parameters: { offset: -LAST_BYTES, format: "text" },
          headers: { Accept: "text/plain" },
        });
        setOutput(await answer.text());
      } catch (problem) {
        setError(problem.message);
      }
    };
    load();
    return api.changes({ after: seq, onLive: setLive, onChange: (change) => change.ID === id && load() });
  }, [id]);

  return html`<${Bar} api=${api} session=${session} live=${live} />
    <main>
      ${error && html`<p class="problem" role="alert">${error}</p>`}
      ${view && html`<${Facts} view=${view} />`}
      <pre class="output" tabindex="0">${output}</pre>
    </main>`;
}

function Facts({ view }) {
  const facts = [
    ["ID", view.ID],
    ["Labels", Object.entries(view.Labels).map(([key, value]) => `${key}=${value}`).join(", ")],
    ["Submitted", ago(view.CreatedAt)],
    ["Duration", duration(view.Duration)],
    ["Output", bytes(view.Output.Bytes)],
    ["Directory", view.WorkingDir],
    ...view.Commands.map((command, n) => [`Command ${n + 1}`, commandLine(command)]),
  ];
  return html`<h1>${visible(view.Name || view.ID)}</h1>
    <p class=${`state ${kindOfState(view)}`}>
      <span aria-hidden="true">${shape(view)}</span> ${stateWord(view)} ${why(view)}
    </p>
    <dl class="facts">
      ${facts.filter(([, value]) => value).map(([name, value]) => html`<dt>${name}</dt><dd>${visible(value)}</dd>`)}
    </dl>`;
}
