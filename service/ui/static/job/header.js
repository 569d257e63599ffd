// What became of a job, and what can be done with it.

import { html, useState } from "../vendor/htm-preact.js";
import { copied } from "../copy.js";
import { decisiveCommand, kindOfState, oneLine, shape, stateWord, why } from "../states.js";
import { ago, duration, visible } from "../words.js";
import { receipt, secondsOfJob } from "./facts.js";
import { fileName, linesOf } from "./lines.js";
import { Menu } from "./menu.js";

const SIGNALS = [
  ["TERM", "ask it to end"],
  ["INT", "as Ctrl-C does"],
  ["KILL", "at once"],
];

/** `act(what, more)`: one of `kill`, `clean`, `rerun`, `release`, `filter` is wanted. */
export function Header({ api, view, now, session, principal, act }) {
  const kind = kindOfState(view);
  const isLive = view.State === "running" || view.State === "pending";
  const name = visible(view.Name || view.ID.slice(0, 8));
  const left = (view.Left || []).length > 0;
  const labels = Object.entries(view.Labels);
  return html`<header class="job-header">
    <div class="headline">
      <a class="back" href=${api.href("/")} title="All jobs"><span aria-hidden="true">‹</span><span class="unseen">All jobs</span></a>
      <h1><bdi>${name}</bdi></h1>
      <p class=${`state ${kind}`} role="status"><span class="shape" aria-hidden="true">${shape(view)}</span>${visible(stateWord(view))}</p>
      <p class="summary"><${Summary} view=${view} now=${now} /></p>
      <div class="job-acts">
        ${session.mayRun && view.Hold && view.State === "pending" && html`<button class="primary" type="button" onClick=${() => act("release")}>Release</button>`}
        ${session.mayRun && html`<button type="button" onClick=${() => act("rerun")}>Rerun</button>`}
        ${session.mayRun && (isLive || left) && html`<${Menu} label="Kill">
          ${SIGNALS.map(([signal, meaning]) => html`<button type="button" onClick=${() => act("kill", signal)}><kbd>${signal}</kbd> ${meaning}</button>`)}
        <//>`}
        ${session.mayRun && !isLive && html`<button type="button" onClick=${() => act("clean")}>Clean</button>`}
        <${CopyMenu} api=${api} view=${view} session=${session} isLive=${isLive} />
        <${Downloads} api=${api} view=${view} act=${act} />
      </div>
    </div>
    <p class="who-what">
      <code title="ID" class="id">${view.ID}</code>
      ${labels.map(([key, value]) => html`<a class="label" href=${api.href("/", { label: `${key}=${value}` })} title="Jobs with this label"><bdi>${visible(`${key}=${value}`)}</bdi></a>`)}
      <time datetime=${view.CreatedAt} title=${view.CreatedAt}>submitted ${ago(view.CreatedAt, now).replace(/^now$/, "just now")}</time>
      ${principal && html`<span>by <bdi>${visible(principal)}</bdi></span>`}
    </p>
    ${view.Kill && html`<p class="receipt"><span class="muted">Kill:</span> ${receipt(view.Kill)}</p>`}
    ${left && html`<p class="receipt"><span class="muted">Left running:</span> ${view.Left.length} processes</p>`}
  </header>`;
}

/** `make dist failed after 4m 11s`, with the exact words of the state beside it. */
function Summary({ view, now }) {
  const kind = kindOfState(view);
  const took = duration(secondsOfJob(view, now));
  const command = decisiveCommand(view);
  const line = command ? visible(oneLine(command).slice(0, 120)) : "";
  const reason = visible(why(view));
  const code = line && html`<code><bdi>${line}</bdi></code>`;
  if (kind === "running") return html`${code} <span>for ${took || "0.0s"}</span>${reason && html`<span class="reason muted">· ${reason}</span>`}`;
  if (kind === "failed") return html`${code} <span>${took ? `failed after ${took}` : "failed"}</span>${reason && html`<span class="reason">· ${reason}</span>`}`;
  if (kind === "killed") return html`<span class="reason">${reason}${took && ` after ${took}`}</span>`;
  if (kind === "exited") return html`<span>after ${took}</span>`;
  return html`<span class="reason">${reason}</span>`;
}

/** The lines that a shell takes; those of `curl` first. */
function CopyMenu({ api, view, session, isLive }) {
  const [done, setDone] = useState("");
  const lines = linesOf({
    origin: location.origin + api.prefix, id: view.ID, hasTokens: Boolean(session.user), mayRun: session.mayRun, isLive,
  });
  const copy = async (what, line) => setDone((await copied(line)) ? `${what} copied` : "The clipboard can’t be reached.");
  const one = (tool) => lines.map((line) => html`<button
    type="button" data-stay data-line=${line[tool]} title=${line[tool]} onClick=${() => copy(`${line.title}: ${tool}`, line[tool])}
  >${line.title} <span class="muted">${tool}</span></button>`);
  return html`<${Menu} label="Copy">
    ${one("curl")}<hr />${one("jobrunner")}<hr />
    <button type="button" data-stay onClick=${() => copy("Link", location.href)}>Link to this page</button>
    <button type="button" data-stay onClick=${() => copy("ID", view.ID)}>ID</button>
    <span class="copied" role="status">${done}</span>
  <//>`;
}

function Downloads({ api, view, act }) {
  const path = `/${view.ID}/output`;
  const link = (text, parameters, ending) => html`<a href=${api.href(path, parameters)} download=${fileName(view, ending)}>${text}</a>`;
  return html`<${Menu} label="Download">
    ${link("All output", { format: "text" }, "log")}
    ${link("Standard output", { format: "text", stream: "stdout" }, "stdout.log")}
    ${link("Standard error", { format: "text", stream: "stderr" }, "stderr.log")}
    ${link("With times", { format: "text", timestamps: true }, "times.log")}
    <button type="button" onClick=${() => act("filter")}>Lines that match…</button>
    <a href=${api.href(`/${view.ID}/files`, { archive: "tar.gz" })} download>Files, as tar.gz</a>
  <//>`;
}
