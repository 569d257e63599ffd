// One job: how it stands, what it says, its files, all that is known of it. Live by the stream of
// changes.

import { html, render, useEffect, useLayoutEffect, useRef, useState } from "../vendor/htm-preact.js";
import { Bar } from "../bar.js";
import { shape } from "../states.js";
import { withStyle } from "../loading/style_sheets.js";
import { visible } from "../words.js";
import { useElsewhere } from "./elsewhere.js";
import { Header } from "./header.js";
import { useKeys } from "./keys.js";
import { Later } from "./later.js";
import { Output, offsetOfCommand } from "./output.js";
import { Tabs, panelId, tabId } from "./tabs.js";
import { TABS, hashOf, placeOf } from "./place.js";
import { Timeline } from "./timeline.js";
import { useWaiting } from "./waiting.js";

/** Shows the job `id` in `root`. `asked`: its view, which was asked for while this was loaded. */
export async function mountJob(root, page) {
  await withStyle(new URL("./job.css", import.meta.url));
  render(html`<${Job} ...${page} />`, root);
}

function Job({ api, id, session, seq, asked, principal }) {
  const [view, live, error, isCleaned] = useView(api, id, seq, asked);
  if (!view) {
    return html`<${Bar} api=${api} session=${session} live=${live} />
      <main>${error && html`<p class="problem" role="alert">${error}</p>`}${isCleaned && html`<${Cleaned} api=${api} />`}</main>`;
  }
  return html`<div class="job-page">
    <${Bar} api=${api} session=${session} live=${live} />
    ${isCleaned && html`<${Cleaned} api=${api} />`}
    <${Shown} api=${api} view=${view} session=${session} principal=${principal} />
  </div>`;
}

function Cleaned({ api }) {
  return html`<p class="problem" role="alert">This job was cleaned: its record, its output and its files are gone. <a href=${api.href("/")}>All jobs</a></p>`;
}

function Shown({ api, view: told, session, principal }) {
  const view = { ...told, WaitingForInput: useWaiting(api, told), Commands: useElsewhere(api, told) };
  const tabs = view.TTY ? TABS : TABS.filter((tab) => tab.name !== "terminal");
  const [place, setPlace] = usePlace(tabs);
  const [visited, setVisited] = useState({});
  const [dialog, setDialog] = useState(null);
  const [note, setNote] = useState("");
  const log = useRef(null);
  const now = useNow(view.State === "running");
  const stamp = `${view.Seq} ${view.State}`;

  useEffect(() => {
    document.title = `${shape(view)} ${visible(view.Name || view.ID.slice(0, 8))} · jobrunner`;
  }, [view.State, view.ExitCode, view.Name]);
  useEffect(() => setVisited((old) => ({ ...old, [place.tab]: true })), [place.tab]);

  const go = (tab) => setPlace({ tab, path: "" });
  const nth = (n) => () => tabs[n] && go(tabs[n].name);
  useKeys({
    "?": () => setDialog({ is: "help" }),
    u: () => location.assign(api.href("/")),
    1: nth(0), 2: nth(1), 3: nth(2), 4: nth(3),
  });

  async function jump(command) {
    try {
      const offset = await offsetOfCommand(api, view.ID, command);
      if (offset === null) return setNote(`Command ${command + 1} wrote nothing.`);
      go("output");
      setNote(`Output of command ${command + 1}.`);
      (await mountedLog(log)).scrollToOffset(offset);
    } catch (problem) {
      setNote(problem.message);
    }
  }

  async function act(is, more) {
    if (is !== "release") return setDialog({ is, more });
    await api.post(`/${view.ID}/release`).catch((problem) => setNote(problem.message));
  }

  const panel = (name, content) => html`<section
    role="tabpanel" id=${panelId(name)} aria-labelledby=${tabId(name)} hidden=${place.tab !== name} class=${`panel ${name}`}
  >${(visited[name] || place.tab === name) && content()}</section>`;
  const later = (part, given) => html`<${Later} part=${part} given=${{ api, view, ...given }} />`;
  return html`<main class=${`job-main on-${place.tab}`}>
      <${Header} api=${api} view=${view} now=${now} session=${session} principal=${principal} act=${act} />
      <${Timeline} commands=${view.Commands} now=${now} onJump=${jump} />
      <div class="tab-row">
        <${Tabs} tabs=${tabs} current=${place.tab} choose=${go} />
        <p class="note" role="status">${note}</p>
      </div>
      ${view.TTY && panel("terminal", () => later("terminal", { mayRun: session.mayRun, isShown: place.tab === "terminal" }))}
      ${panel("output", () => html`<${Output} api=${api} id=${view.ID} log=${log} stamp=${stamp} />`)}
      ${panel("files", () => later("files", { id: view.ID, path: place.path, stamp }))}
      ${panel("details", () => later("details", { session, now, isShown: place.tab === "details" }))}
    </main>
    ${dialog && later("dialog", { dialog, close: () => setDialog(null) })}`;
}

/** The view of the job, as it changes: `[view, isLive, error, isCleaned]`. */
function useView(api, id, seq, asked) {
  const [view, setView] = useState(null);
  const [live, setLive] = useState(false);
  const [error, setError] = useState(null);
  const [isCleaned, setCleaned] = useState(false);
  useLayoutEffect(() => {
    // A change is newer than what was asked for before it.
    let hasChanged = false;
    asked
      .then((view) => hasChanged || setView(view))
      .catch((problem) => hasChanged || setError(problem.message));
    return api.changes({
      after: seq,
      onLive: setLive,
      onChange: (change) => {
        if (change.ID !== id) return;
        hasChanged = true;
        if (change.Cleaned) setCleaned(true);
        else setView(change);
      },
    });
  }, [id]);
  return [view, live, error, isCleaned];
}

/** Where one is, as the part of the URL behind `#` says; that of lines and bytes is the log's. */
function usePlace(tabs) {
  const first = tabs[0].name;
  const [place, setPlace] = useState(() => placeOf(location.hash, first));
  useEffect(() => {
    const moved = () => setPlace(placeOf(location.hash, first));
    addEventListener("hashchange", moved);
    addEventListener("popstate", moved);
    return () => {
      removeEventListener("hashchange", moved);
      removeEventListener("popstate", moved);
    };
  }, [first]);
  const go = (to) => {
    if (to.tab === place.tab && to.path === place.path) return;
    history.pushState(null, "", location.pathname + location.search + hashOf(to, first));
    setPlace(to);
  };
  return [place, go];
}

/** The time, each second while something runs. */
function useNow(ticks) {
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    setNow(Date.now());
    const timer = setInterval(() => setNow(Date.now()), ticks ? 1000 : 30_000);
    return () => clearInterval(timer);
  }, [ticks]);
  return now;
}

/** The log viewer, once it is there: it is loaded when its tab is first shown. */
async function mountedLog(log) {
  while (!log.current) await new Promise(requestAnimationFrame);
  return log.current;
}
