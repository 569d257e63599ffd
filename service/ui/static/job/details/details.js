// The Details tab: all that is known of the job, in words, and as lines for a shell.

import { html } from "../../vendor/htm-preact.js";
import { Copyable } from "../../copy.js";
import { commandLine } from "../../states.js";
import { currentTheme } from "../../theme.js";
import { ago, duration, visible } from "../../words.js";
import { sections } from "./sections.js";
import { linesOf } from "../lines.js";
import { Chart, useUsage } from "./usage.js";
import { kindOfCommand, secondsOf, shapeOfCommand, wordOfCommand } from "../timeline_model.js";

export function Details({ api, view, session, now, isShown }) {
  const [usage, output, samples] = useUsage(api, view, isShown);
  const isLive = view.State === "running" || view.State === "pending";
  const lines = linesOf({
    origin: location.origin + api.prefix, id: view.ID, hasTokens: Boolean(session.user), mayRun: session.mayRun, isLive,
  });
  return html`<div class="job-details">
    <div class="sections">
      ${sections({ ...view, Usage: usage, Output: output }, now).map((section) => html`<section>
        <h2>${section.title}</h2>
        <dl class="facts">${section.pairs.map(([name, value]) => html`<dt>${name}</dt><dd><${Value} value=${value} /></dd>`)}</dl>
        ${section.title === "Usage" && samples.length > 2 && html`<${Chart} key=${currentTheme()} samples=${samples} />`}
      </section>`)}
    </div>
    <section>
      <h2>Commands</h2>
      <ol class="commands">${view.Commands.map((command, n) => html`<${Command} key=${n} command=${command} now=${now} job=${view} />`)}</ol>
    </section>
    <section>
      <h2>In a shell</h2>
      <dl class="shell">${lines.map((line) => html`<dt>${line.title}</dt>
        <dd><${Copyable} text=${line.curl} /><${Copyable} text=${line.jobrunner} /></dd>`)}</dl>
    </section>
  </div>`;
}

function Value({ value }) {
  if (typeof value !== "string") return html`<time datetime=${value.at}>${value.at}</time> <span class="muted">${value.text}</span>`;
  return value.split("\n").map((line) => html`<bdi>${visible(line)}</bdi>`);
}

function Command({ command, now, job }) {
  const kind = kindOfCommand(command);
  const took = duration(secondsOf(command, now));
  const facts = [
    command.Kind !== "bash" && command.Kind,
    took,
    command.StartedAt && `started ${ago(command.StartedAt, now)}`,
    command.SlurmJobID && `job ${command.SlurmJobID} of Slurm`,
    typeof command.Nodes === "string" && `on ${command.Nodes}`,
    command.Network && `network ${command.Network}`,
    command.ContinueOnFailure && "the next runs even if it fails",
    command.Background === "keep" && "what it leaves running is kept",
    command.WorkingDir !== job.WorkingDir && `in ${command.WorkingDir}`,
    command.Environment.length > 0 && `variables ${command.Environment.join(", ")}`,
  ].filter(Boolean);
  return html`<li>
    <p><span class=${`state ${kind}`}><span class="shape" aria-hidden="true">${shapeOfCommand(command)}</span>${visible(wordOfCommand(command))}</span>
      <span class="muted"> ${facts.map((fact, n) => html`${n > 0 && " · "}<bdi>${visible(fact)}</bdi>`)}</span></p>
    <pre tabindex="0">${shown(commandLine(command))}</pre>
  </li>`;
}

/** A command line, line by line, each isolated from the others' direction. */
function shown(text) {
  return text.split("\n").map((line, n) => html`${n > 0 && "\n"}<bdi>${visible(line.replaceAll("\t", "    "))}</bdi>`);
}
