// The commands of a job, one after the other, as wide as they took long.

import { html } from "../vendor/htm-preact.js";
import { oneLine } from "../states.js";
import { duration, visible } from "../words.js";
import { kindOfCommand, secondsOf, shapeOfCommand, shares, wordOfCommand } from "./timeline_model.js";

// Characters of a command line that a bar names; all of it stands in Details.
const SHOWN = 200;

/** `onJump(n)`: the output of command `n` is wanted. */
export function Timeline({ commands, now, onJump }) {
  const widths = shares(commands, now);
  return html`<ol class="timeline" aria-label="Commands">
    ${commands.map((command, n) => html`<${Bar}
      key=${n} n=${n} command=${command} now=${now} width=${widths[n]} jump=${() => onJump(n)} of=${commands.length}
    />`)}
  </ol>`;
}

function Bar({ n, of, command, now, width, jump }) {
  const kind = kindOfCommand(command);
  const line = visible(oneLine(command).slice(0, SHOWN));
  const took = duration(secondsOf(command, now));
  const word = visible(wordOfCommand(command));
  const isNoted = kind === "failed" || kind === "skipped";
  return html`<li style=${{ flexGrow: width }} class=${kind}>
    <button type="button" title=${`${line}\n${word}${took && `, ${took}`}`} disabled=${command.StartedAt === null} onClick=${jump}>
      <span class="fill" aria-hidden="true"></span>
      <span class="about">
        <span class="unseen">Command ${n + 1} of ${of}:</span>
        <span class="shape" aria-hidden="true">${shapeOfCommand(command)}</span>
        <bdi class="line">${line}</bdi>
        <span class="took"><span class=${isNoted ? "" : "unseen"}>${word}</span> ${took}</span>
      </span>
    </button>
  </li>`;
}
