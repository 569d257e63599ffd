// The log viewer: shows a window of rows of a log of any size, whose scrollbar stands for bytes. It
// never loads the log: `lines` answers around a place, `grep` finds, and one request waits for more.

import { withStyle } from "./style_sheets.js";
import { parsed } from "./ansi.js";
import { choosing } from "./choose.js";
import { copying } from "./copy.js";
import { search } from "./find.js";
import { makeFinding } from "./finding.js";
import { watchGrowth } from "./growth.js";
import { listenForKeys } from "./keys.js";
import { place } from "./links.js";
import { mark } from "./marks.js";
import { makeNumbering } from "./numbering.js";
import { makePane } from "./pane.js";
import { number, restyle } from "./rows.js";
import { makeStatus } from "./status.js";
import { makeToolbar } from "./toolbar.js";
import { makeTrack } from "./track.js";
import { appended, EMPTY, fresh, logOf, nextRequest, PAGE_ROWS, PLACE_ROWS, prepended, Slots } from "./window.js";

const FRAME_MS = 100;
const REST_MS = 1000;
const DRAGGED_ROWS = 60;

const styleOf = (sequence) => parsed(sequence ?? "").style;

/** Shows the output of the job `id` in `root`. `onStatus` is told `{following, line, total, size,
 * newLines, finished, error}` whenever that changes. */
export function mountLog(root, { id, api, onStatus = () => {} }) {
  const life = new AbortController();
  const slots = new Slots(2);
  let held = EMPTY;
  let log = { size: 0, total: null, gap: null, finished: false };
  let streams = { stdout: true, stderr: true };
  let following = true;
  let left = null; // how much there was when following ended
  let chosen = null; // the lines of a link: {from, to}
  let target = null; // the byte of a link
  let generation = 0;
  let isExtending = false;
  let lastTop = 0;

  const finding = makeFinding({
    search: (pattern, options) => search(api, id, pattern, { stream: only(), ...options }),
    size: () => log.size,
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

  function decorate(element) {
    mark(element, { chosen, target, gap: log.gap, ...finding.marks() });
  }
  const decorateAll = () => pane.elements().forEach(decorate);

  /** Replaces what is at hand by what an answer has; `reveal(rows)` then says where to look. */
  function take(answer, reveal) {
    log = logOf(answer);
    if (!following) left ??= { size: log.size, total: log.total }; // it was left before anything was known of it
    held = fresh(answer);
    restyle(held.rows, styleOf(answer.Sgr));
    pane.replace(held.rows);
    reveal(held.rows);
    settled();
    if (answer.Sgr === null || held.rows.some((row) => row.line === null)) numberRows();
  }

  /** After each change of what is at hand or seen. */
  function settled() {
    if (!pane.isShown()) return; // then each row would count as seen, and the next ones as wanted
    lastTop = pane.viewport.scrollTop;
    const { first, last } = pane.seen();
    const [top, bottom] = [held.rows[first], held.rows[last]];
    track.show(top?.offset ?? 0, bottom?.end ?? 0, log.size);
    pane.list.classList.toggle("log-at-end", log.finished && held.end >= log.size);
    status.show({ following: following && !log.finished, line: bottom?.line ?? null, offset: bottom?.offset ?? 0, left, ...log });
    finding.rows(held.begin, held.end);
    extend(first, last);
  }

  /** Asks for rows and takes them. False: there are none, or an error; undefined: another place was
   * asked for meanwhile. */
  async function show(given, reveal) {
    generation += 1;
    const mine = generation;
    try {
      const answer = await slots.run((signal) => ask({ before: PLACE_ROWS, after: PLACE_ROWS, ...given }, signal));
      if (!answer || mine !== generation || life.signal.aborted) return undefined;
      log = logOf(answer);
      if (answer.Size && !answer.Lines.length && given.from) return false;
      take(answer, reveal);
      return true;
    } catch (error) {
      if (life.signal.aborted || mine !== generation) return undefined;
      fail(error);
      return false;
    }
  }

  async function extend(first, last) {
    const wanted = nextRequest(held, log, first, last);
    if (!wanted || isExtending || (wanted.where === "below" && following && !log.finished)) return;
    const { where, ...given } = wanted;
    const mine = generation;
    isExtending = true;
    let isDone = false;
    try {
      const answer = await slots.run((signal) => ask(given, signal));
      if (!answer || mine !== generation || life.signal.aborted) return;
      const change = where === "below" ? appended(held, answer) : prepended(held, answer);
      isDone = Boolean(change) && (change.window.begin !== held.begin || change.window.end !== held.end);
      if (change) apply(change, answer, where === "below" ? pane.append : pane.prepend);
    } catch (error) {
      if (!life.signal.aborted) fail(error);
    } finally {
      isExtending = false;
    }
    if (isDone) settled();
  }

  function apply(change, answer, put) {
    log = logOf(answer);
    // The style stands before the answer's first row, which may be one that is at hand already.
    const known = answer.Lines.findIndex((line) => line.Offset === change.added[0]?.offset);
    const rows = known > 0 ? [...held.rows.filter((row) => row.offset >= answer.Begin && row.offset < change.added[0].offset), ...change.added] : change.added;
    restyle(rows, styleOf(answer.Sgr));
    held = change.window;
    put(change.added, change);
    if (answer.Sgr === null || change.added.some((row) => row.line === null)) numberRows();
  }

  const numberRows = makeNumbering({
    ask, rowsNow: () => held.rows, onError: fail, signal: life.signal,
    onNumbers(answer, rows) {
      log = logOf(answer);
      if (held.rows[0] === rows[0] && answer.Sgr) {
        restyle(held.rows, styleOf(answer.Sgr));
        const at = pane.viewport.scrollTop;
        pane.replace(held.rows);
        pane.viewport.scrollTop = at;
      }
      for (const element of pane.elements()) number(element, element.row);
      decorateAll();
      settled();
    },
  });

  /** What there is now; the rows at the end only if somebody follows it. */
  async function look() {
    const mine = generation;
    const isEmpty = !held.rows.length && log.size === 0;
    if (!(following && pane.isShown()) && !isEmpty) {
      const answer = await ask({ at: -1, before: 0, after: 0 }, life.signal);
      log = logOf(answer);
      settled();
      return { ...log, restMs: REST_MS };
    }
    const answer = await ask({ at: -1, before: PAGE_ROWS, after: 0 }, life.signal);
    await new Promise((resolve) => (document.hidden ? resolve() : requestAnimationFrame(resolve)));
    if (mine === generation && following && !life.signal.aborted) {
      const change = held.rows.length ? appended(held, answer) : null;
      if (change) apply(change, answer, pane.append);
      else take(answer, () => {});
      pane.toEnd();
      settled();
    }
    return { ...logOf(answer), restMs: document.hidden ? REST_MS : FRAME_MS };
  }

  function leave() {
    if (!following) return;
    following = false;
    left = log.size === 0 ? null : { size: log.size, total: log.total };
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
    if (final && offset >= log.size - 1) return follow();
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
    status.fail(`There is no line ${chosen.from}${log.total === null ? " yet" : `: there are ${log.total}`}.`);
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
    else if (pane.isAtEnd() && held.end >= log.size && !following) {
      following = true;
      left = null;
    }
    settled();
  }, { passive: true });
  window.addEventListener("hashchange", () => place(location.hash) && go(place(location.hash)), { signal: life.signal });
  const resized = new ResizeObserver(() => {
    if (!pane.isShown()) return;
    if (following && held.end < log.size) follow();
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
      slots.abort();
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
