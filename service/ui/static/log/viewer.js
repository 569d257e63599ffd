// The log viewer: shows a window of rows of a log of any size, whose scrollbar stands for bytes. It
// never loads the log: `lines` answers around a place, `grep` finds, and one request waits for more.

import { withStyle } from "../loading/style_sheets.js";
import { choosing } from "./choose.js";
import { copying } from "./copy.js";
import { search } from "./find.js";
import { makeFinding } from "./finding.js";
import { watchGrowth } from "./growth.js";
import { makeHolding } from "./holding.js";
import { listenForKeys } from "./keys.js";
import { place } from "./links.js";
import { mark } from "./marks.js";
import { makePane } from "./pane.js";
import { makeStatus } from "./status.js";
import { makeToolbar } from "./toolbar.js";
import { makeTrack } from "./track.js";
import { logOf, PAGE_ROWS } from "./window.js";

const FRAME_MS = 100;
const REST_MS = 1000;
const DRAGGED_ROWS = 60;

/** Shows the output of the job `id` in `root`. `onStatus` is told `{following, line, total, size,
 * newLines, finished, error}` whenever that changes. */
export function mountLog(root, { id, api, onStatus = () => {} }) {
  const life = new AbortController();
  let streams = { stdout: true, stderr: true };
  let following = true;
  let left = null; // how much there was when following ended
  let chosen = null; // the lines of a link: {from, to}
  let target = null; // the byte of a link
  let lastTop = 0;

  const finding = makeFinding({
    search: (pattern, options) => search(api, id, pattern, { stream: only(), ...options }),
    size: () => held.log.size,
    from: () => held.rows[pane.seen().first]?.offset ?? 0,
    reveal: (offset) => reveal(offset),
    onFound: () => decorateAll(),
    signal: life.signal,
  });
  const status = makeStatus({ onFollow: () => follow(), onStatus });
  const pane = makePane(decorate);
  const track = makeTrack((offset, { final }) => seek(offset, final));
  const toolbar = makeToolbar({
    streams: setStreams, time: setTime, wrap: setWrap, find: finding.find, step: finding.step,
    leave: () => pane.viewport.focus(),
  });
  finding.attach({ toolbar, track });
  const body = document.createElement("div");
  body.className = "log-body";
  body.append(pane.viewport, track.element, status.button);
  root.classList.add("log");
  root.replaceChildren(toolbar.element, body, status.element);

  const only = () => (streams.stdout && streams.stderr ? null : streams.stdout ? "stdout" : "stderr");
  const ask = (given, signal) => api.get(`/${id}/lines`, { ...given, stream: only() }, { signal });
  const fail = (error) => status.fail(error.message);
  const held = makeHolding({
    ask, pane, signal: life.signal, onSettled: () => settled(), onError: fail,
    onTaken() {
      if (!following) left ??= { size: held.log.size, total: held.log.total }; // it was left before anything was known of it
    },
    onNumbers() {
      decorateAll();
      settled();
    },
  });
  const { show } = held;

  function decorate(element) {
    mark(element, { chosen, target, gap: held.log.gap, ...finding.marks() });
  }
  const decorateAll = () => pane.elements().forEach(decorate);

  /** After each change of what is at hand or seen. */
  function settled() {
    if (!pane.isShown()) return; // then each row would count as seen, and the next ones as wanted
    lastTop = pane.viewport.scrollTop;
    const { first, last } = pane.seen();
    const [top, bottom] = [held.rows[first], held.rows[last]];
    const { log } = held;
    track.show(top?.offset ?? 0, bottom?.end ?? 0, log.size);
    pane.list.classList.toggle("log-at-end", log.finished && held.end >= log.size);
    status.show({ following: following && !log.finished, line: bottom?.line ?? null, offset: bottom?.offset ?? 0, left, ...log });
    finding.rows(held.begin, held.end);
    held.extend(first, last, { below: !following || log.finished });
  }

  /** What there is now; the rows at the end only if somebody follows it. */
  async function look() {
    const mine = held.generation;
    const isEmpty = !held.rows.length && held.log.size === 0;
    if (!(following && pane.isShown()) && !isEmpty) {
      held.told(await ask({ at: -1, before: 0, after: 0 }, life.signal));
      settled();
      return { ...held.log, restMs: REST_MS };
    }
    const answer = await ask({ at: -1, before: PAGE_ROWS, after: 0 }, life.signal);
    await new Promise((resolve) => (document.hidden ? resolve() : requestAnimationFrame(resolve)));
    if (mine === held.generation && following && !life.signal.aborted) {
      held.takeLast(answer);
      pane.toEnd();
      settled();
    }
    return { ...logOf(answer), restMs: document.hidden ? REST_MS : FRAME_MS };
  }

  function leave() {
    if (!following) return;
    following = false;
    left = held.log.size === 0 ? null : { size: held.log.size, total: held.log.total };
  }
  function follow() {
    following = true;
    left = null;
    return show({ at: -1, after: 0 }, () => pane.toEnd());
  }
  const top = () => {
    leave();
    return show({ at: 0, before: 0 }, () => pane.toTop());
  };
  function seek(offset, final) {
    leave();
    if (final && offset >= held.log.size - 1) return follow();
    const rowsAround = final ? {} : { before: 0, after: DRAGGED_ROWS };
    return show({ at: offset, ...rowsAround }, (rows) => pane.reveal(rows.findIndex((row) => row.end > offset), 0));
  }
  function reveal(offset) {
    const at = held.rows.findIndex((row) => row.offset <= offset && offset < row.end);
    leave();
    if (at < 0) return show({ at: offset }, (rows) => pane.reveal(rows.findIndex((row) => row.end > offset), 0.4));
    pane.reveal(at, 0.4);
    settled();
    return true;
  }
  /** Goes where a link leads, or else to the end. */
  async function go(link) {
    if (!link) return follow();
    chosen = link.from ? link : null;
    target = link.at ?? null;
    if (!chosen) {
      decorateAll();
      return (await reveal(target)) === false ? follow() : true;
    }
    leave();
    const at = (rows) => rows.findIndex((row) => row.line === chosen.from);
    const isThere = await show({ from: chosen.from }, (rows) => pane.reveal(at(rows), 0.4));
    if (isThere !== false) return true;
    status.fail(`There is no line ${chosen.from}${held.log.total === null ? " yet" : `: there are ${held.log.total}`}.`);
    return follow();
  }

  function setStreams(given) {
    streams = { stdout: true, stderr: true, ...given };
    if (!streams.stdout && !streams.stderr) streams = { stdout: true, stderr: true };
    toolbar.setStreams(streams);
    const { first } = pane.seen();
    const at = held.rows[first]?.offset ?? 0;
    finding.again();
    return following ? follow() : show({ at }, (rows) => pane.reveal(Math.max(0, rows.findIndex((row) => row.end > at)), 0));
  }
  function setTime(shown) {
    root.classList.toggle("log-timed", shown);
    toolbar.setTime(shown);
  }
  function setWrap(wrapped) {
    const { first } = pane.seen();
    root.classList.toggle("log-wrapped", wrapped);
    toolbar.setWrap(wrapped);
    if (following) pane.toEnd();
    else pane.reveal(first, 0);
    settled();
  }

  choosing(pane.list, {
    chosen: () => chosen,
    say: status.say,
    onChoose(meant) {
      ({ chosen, target } = meant);
      decorateAll();
    },
  });
  pane.viewport.addEventListener("wheel", (event) => event.deltaY < 0 && pane.viewport.scrollTop > 0 && leave(), { passive: true });
  pane.viewport.addEventListener("scroll", () => {
    if (pane.viewport.scrollTop < lastTop - 1) leave();
    else if (pane.isAtEnd() && held.end >= held.log.size && !following) {
      following = true;
      left = null;
    }
    settled();
  }, { passive: true });
  window.addEventListener("hashchange", () => place(location.hash) && go(place(location.hash)), { signal: life.signal });
  const resized = new ResizeObserver(() => {
    if (!pane.isShown()) return;
    if (following && held.end < held.log.size) follow();
    else if (following) pane.toEnd();
    settled();
  });
  resized.observe(pane.viewport);
  const endings = [
    copying(pane.list),
    listenForKeys(root, {
      find: toolbar.focusFind, next: () => finding.step(1), previous: () => finding.step(-1), top, end: follow, follow: () => (following ? leave() || settled() : follow()),
    }),
    () => resized.disconnect(), toolbar.destroy, status.destroy,
  ];
  withStyle(new URL("./log.css", import.meta.url))
    .then(() => life.signal.aborted || go(place(location.hash)))
    .then(() => watchGrowth({ api, id, signal: life.signal, look }));

  return {
    destroy() {
      life.abort();
      held.abort();
      finding.clear();
      endings.forEach((end) => end());
      root.classList.remove("log", "log-timed", "log-wrapped");
      root.replaceChildren();
    },
    scrollToOffset(offset) {
      chosen = null;
      target = offset;
      return go({ at: offset });
    },
    setStreams, setTime, setWrap, find: finding.find,
  };
}
