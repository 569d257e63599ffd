// The rows of the list: of thousands only those are drawn that are seen.

import { html, useEffect, useLayoutEffect, useRef, useState } from "../vendor/htm-preact.js";
import { decisiveCommand, kindOfState, oneLine, shape, stateWord, why } from "../states.js";
import { ago, bytes, duration, visible } from "../words.js";
import { rowWindow } from "./model.js";

// CSS pixels: as the style sheet has them.
const ROW_PX = 56;
const NARROW_ROW_PX = 88;
const NARROW = "(max-width: 640px)";
// Rows from the end at which the next page is asked for.
const AHEAD = 40;

/** `onEnd` is called when the last rows come into sight. */
export function Rows({ views, api, mayRun, onKill, onClean, onRerun, onLabel, onEnd }) {
  const list = useRef(null);
  const [range, setRange] = useState({ first: 0, last: 40 });
  const [narrow, setNarrow] = useState(matchMedia(NARROW).matches);
  const [now, setNow] = useState(Date.now());
  const rowHeight = narrow ? NARROW_ROW_PX : ROW_PX;
  const total = views.length;

  useLayoutEffect(() => {
    const media = matchMedia(NARROW);
    const resized = () => setNarrow(media.matches);
    media.addEventListener("change", resized);
    return () => media.removeEventListener("change", resized);
  }, []);

  useLayoutEffect(() => {
    const look = () => {
      const scrollTop = Math.max(0, -list.current.getBoundingClientRect().top);
      const seen = rowWindow({ scrollTop, viewport: innerHeight, rowHeight, total });
      setRange((old) => (old.first === seen.first && old.last === seen.last ? old : seen));
      if (seen.last > total - AHEAD) onEnd();
    };
    look();
    addEventListener("scroll", look, { passive: true });
    addEventListener("resize", look);
    return () => {
      removeEventListener("scroll", look);
      removeEventListener("resize", look);
    };
  }, [total, rowHeight, onEnd]);

  const ticks = views.slice(range.first, range.last).some((view) => view.State === "running");
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), ticks ? 1000 : 30_000);
    return () => clearInterval(timer);
  }, [ticks]);

  const drawn = views.slice(range.first, range.last).map(
    (view) => html`<${Row}
      key=${view.ID} view=${view} api=${api} now=${now} mayRun=${mayRun}
      onKill=${onKill} onClean=${onClean} onRerun=${onRerun} onLabel=${onLabel}
    />`,
  );
  const above = range.first * rowHeight;
  const below = Math.max(0, total - range.last) * rowHeight;
  return html`<div ref=${list} style=${{ paddingTop: `${above}px`, paddingBottom: `${below}px` }}>
    <ul class="jobs" aria-label="Jobs">${drawn}</ul>
  </div>`;
}

function Row({ view, api, now, mayRun, onKill, onClean, onRerun, onLabel }) {
  const kind = kindOfState(view);
  const title = visible(view.Name || view.ID.slice(0, 8));
  const command = decisiveCommand(view);
  const reason = why(view);
  const live = view.State === "running" || view.State === "pending";
  const running = view.State === "running" && view.StartedAt;
  const seconds = running ? (now - Date.parse(view.StartedAt)) / 1000 : view.Duration;
  const labels = Object.entries(view.Labels);
  return html`<li class="job">
    <span class=${`state ${kind}`}>
      <span class="shape" aria-hidden="true">${shape(view)}</span>
      <span class="word">${stateWord(view)}</span>
    </span>
    <span class="what">
      <a class="name" href=${api.href(`/${view.ID}`)} data-row>${title}</a>
      ${view.Commands.length > 1 && html`<${Steps} commands=${view.Commands} />`}
      ${labels.slice(0, 3).map(
        ([key, value]) => html`<button
          class="label" type="button" title="Show jobs with this label" onClick=${() => onLabel(`${key}=${value}`)}
        >${visible(`${key}=${value}`)}</button>`,
      )}
      ${labels.length > 3 && html`<span class="muted">+${labels.length - 3}</span>`}
    </span>
    <span class="detail">
      ${reason && html`<span class=${`reason ${kind}`}>${visible(reason)}</span>`}
      <code>${command ? visible(oneLine(command)) : ""}</code>
    </span>
    <span class="numbers">
      <span class="duration">${duration(seconds)}</span>
      <time datetime=${view.CreatedAt} title=${view.CreatedAt}>${ago(view.CreatedAt, now)}</time>
      <span class="size">${view.State === "pending" ? "" : bytes(view.Output.Bytes)}</span>
    </span>
    <span class="acts">
      ${mayRun && live && html`<button class="quiet" type="button" aria-label=${`Kill ${title}`} onClick=${() => onKill(view)}>Kill</button>`}
      ${mayRun && !live && html`<button class="quiet" type="button" aria-label=${`Rerun ${title}`} onClick=${() => onRerun(view)}>Rerun</button>
        <button class="quiet" type="button" aria-label=${`Clean ${title}`} onClick=${() => onClean(view)}>Clean</button>`}
    </span>
  </li>`;
}

function Steps({ commands }) {
  const done = commands.filter((command) => command.State === "exited").length;
  const shown = commands.length <= 12 ? commands : [];
  return html`<span class="steps" title=${`${done} of ${commands.length} commands done`}>
    <span class="unseen">${done} of ${commands.length} commands done</span>
    ${shown.map((command) => html`<i class=${stepClass(command)}></i>`)}
    ${!shown.length && html`<span aria-hidden="true">${done}/${commands.length}</span>`}
  </span>`;
}

function stepClass(command) {
  if (command.State !== "exited") return command.State;
  return command.ExitCode === 0 ? "exited" : "failed";
}
