// The list: live, filtered, with what can be done to each job.

import { html, render, useCallback, useEffect, useMemo, useRef, useState } from "../vendor/htm-preact.js";
import { Bar } from "../bar.js";
import { Confirm } from "../confirm.js";
import { Form } from "../submit/form.js";
import { count, visible } from "../words.js";
import { FirstSteps } from "./first_steps.js";
import { Help, useKeys } from "./keys.js";
import { FILTERS, Jobs, matches, parametersOf, parsedSearch, searchOf, selectionOf } from "./model.js";
import { Rows } from "./rows.js";
import { useSizes } from "./sizes.js";

// The first page is small, to be there at once.
const FIRST_PAGE = 100;
const PAGE = 500;
// Found jobs below which a search goes on through further pages.
const ENOUGH = 50;
// Milliseconds within which changes are drawn, and counted, together.
const DRAW_MS = 100;
const COUNT_MS = 700;

export function mountList(root, page) {
  render(html`<${List} ...${page} />`, root);
}

function List({ api, session, seq }) {
  const [selection, setSelection] = useState(selectionOf(location.search));
  const [text, setText] = useState("");
  const [counts, setCounts] = useState({});
  const [live, setLive] = useState(false);
  const [error, setError] = useState(null);
  const [loaded, setLoaded] = useState(false);
  const [dialog, setDialog] = useState(null);
  const [, draw] = useState(0);
  const jobs = useRef(new Jobs());
  const selected = useRef(selection);
  const loading = useRef(null);
  const search = useRef(null);

  const countAll = useThrottled(async () => {
    const { state, exit, ...rest } = parametersOf(selected.current);
    const totals = await Promise.all(
      FILTERS.map(async (filter) => {
        const page = await api.get("/", { ...rest, ...filter.parameters, limit: 1 });
        return [filter.name, page.Total];
      }),
    ).catch(() => null);
    if (totals) setCounts(Object.fromEntries(totals));
  }, COUNT_MS);
  const drawSoon = useThrottled(() => draw((n) => n + 1), DRAW_MS);

  const loadMore = useCallback(async () => {
    const into = jobs.current;
    if (loading.current === into || into.isWhole) return;
    loading.current = into;
    try {
      const limit = into.next ? PAGE : FIRST_PAGE;
      const page = await api.get("/", {
        ...parametersOf(selected.current), view: "full", order: "newest", limit, after: into.next,
      });
      if (into !== jobs.current) return;
      into.addPage(page);
      setError(null);
    } catch (problem) {
      if (into !== jobs.current) return;
      into.isWhole = true;
      setError(problem.message);
    } finally {
      if (loading.current === into) loading.current = null;
    }
    setLoaded(true);
    draw((n) => n + 1);
  }, []);

  useEffect(() => {
    if (selected.current !== selection) jobs.current = new Jobs();
    selected.current = selection;
    loadMore();
    countAll();
    const wanted = location.pathname + searchOf(selection);
    if (wanted !== location.pathname + location.search) history.pushState(null, "", wanted + location.hash);
  }, [selection]);

  useEffect(() => {
    const back = () => setSelection(selectionOf(location.search));
    addEventListener("popstate", back);
    const stop = api.changes({
      after: seq,
      onLive: setLive,
      onChange: (change) => {
        jobs.current.change(change, !change.Cleaned && matches(change, selected.current));
        drawSoon();
        countAll();
      },
    });
    return () => {
      removeEventListener("popstate", back);
      stop();
    };
  }, []);

  useSizes(api, jobs, drawSoon);
  useEffect(() => openFromHash(api, setDialog, setError, session), []);

  const submit = () => session.mayRun && setDialog({ is: "form" });
  const rerun = async (view) => setDialog({ is: "form", from: view });
  useKeys({ search, onSubmit: submit, onHelp: () => setDialog({ is: "help" }), hasDialog: dialog !== null });

  const close = () => {
    setDialog(null);
    if (location.hash) history.replaceState(null, "", location.pathname + location.search);
  };
  const views = jobs.current.found(text);
  const isSearching = loaded && views.length < ENOUGH && !jobs.current.isWhole;
  useEffect(() => {
    if (isSearching) loadMore();
  });
  const narrow = (changes) => setSelection({ ...selection, ...changes });
  const isFiltered = text || searchOf(selection);
  const chips = useMemo(() => chipsOf(selection, narrow), [selection]);

  function typed(event) {
    const found = parsedSearch(event.target.value);
    const complete = event.type === "change" || event.key === "Enter";
    if (complete && found.labels.length) {
      narrow({ labels: [...new Set([...selection.labels, ...found.labels])] });
      event.target.value = found.text;
    }
    setText(complete ? found.text : event.target.value.trim());
  }

  return html`<${Bar} api=${api} session=${session} live=${live}>
      <input
        ref=${search} class="search" type="search" placeholder="Search name, label=value, ID, command" aria-label="Search jobs"
        onInput=${typed} onChange=${typed} onKeyDown=${(e) => e.key === "Enter" && typed(e)}
      />
      ${session.mayRun && html`<button class="primary" type="button" onClick=${submit}>New job</button>`}
    <//>
    <nav class="filters" aria-label="Filter by state">
      ${FILTERS.map(
        (filter) => html`<button
          type="button" class=${`filter ${filter.name}`} aria-pressed=${selection.filter === filter.name ? "true" : "false"}
          onClick=${() => narrow({ filter: filter.name, others: {} })}
        >
          ${filter.shape && html`<span class="shape" aria-hidden="true">${filter.shape}</span>`}
          ${filter.label} <span class="count">${filter.name in counts ? count(counts[filter.name]) : ""}</span>
        </button>`,
      )}
      ${chips}
    </nav>
    <main>
      <h1 class="unseen">Jobs</h1>
      ${error && html`<p class="problem" role="alert">${error}</p>`}
      ${loaded && !views.length && !error && jobs.current.isWhole && (isFiltered ? html`<p class="empty">No job matches.</p>` : html`<${FirstSteps} mayRun=${session.mayRun} onSubmit=${submit} />`)}
      ${isSearching && text && html`<p class="empty" role="status">Searching: ${count(jobs.current.order.length)} of ${count(counts[selection.filter] ?? 0)} jobs so far.</p>`}
      <${Rows}
        views=${views} api=${api} mayRun=${session.mayRun} onEnd=${loadMore}
        onKill=${(view) => setDialog({ is: "kill", view })}
        onClean=${(view) => setDialog({ is: "clean", view })}
        onRerun=${rerun}
        onLabel=${(label) => narrow({ labels: [...new Set([...selection.labels, label])] })}
      />
    </main>
    ${dialog && html`<${Dialog} dialog=${dialog} api=${api} close=${close} />`}`;
}

function Dialog({ dialog, api, close }) {
  const { is, view } = dialog;
  if (is === "help") return html`<${Help} close=${close} />`;
  if (is === "form") return html`<${Form} api=${api} from=${dialog.from} close=${close} />`;
  const name = visible(view.Name || view.ID.slice(0, 8));
  if (is === "clean") {
    return html`<${Confirm}
      title=${`Clean ${name}?`} verb="Clean" close=${close}
      onConfirm=${() => api.post(`/${view.ID}/clean`)}
    ><p>Its record, its output and its files are deleted, for good.</p><//>`;
  }
  return html`<${Confirm}
    title=${`Kill ${name}?`} verb="Kill" close=${close}
    onConfirm=${(form) => api.delete(`/${view.ID}`, { signal: form.signal.value, grace: form.grace.value || null })}
  >
    <p>All its processes get the signal, and KILL when the grace is over.</p>
    <div class="fields">
      <label>Signal <select name="signal">${["TERM", "INT", "HUP", "QUIT", "KILL"].map((s) => html`<option value=${s}>${s}</option>`)}</select></label>
      <label>Grace, seconds <input name="grace" type="number" min="0" step="any" placeholder=${view.Grace} /></label>
    </div>
  <//>`;
}

/** What narrows the list beyond the state, each with a button that takes it away. */
function chipsOf(selection, narrow) {
  const chip = (text, onClick) => html`<button class="chip" type="button" onClick=${onClick} aria-label=${`Remove the filter ${text}`}>
    ${visible(text)} <span aria-hidden="true">×</span>
  </button>`;
  return [
    selection.name && chip(`name: ${selection.name}`, () => narrow({ name: null })),
    ...selection.labels.map((label) => chip(label, () => narrow({ labels: selection.labels.filter((l) => l !== label) }))),
    ...Object.entries(selection.others).map(([key, value]) =>
      chip(`${key}: ${value}`, () => narrow({ others: Object.fromEntries(Object.entries(selection.others).filter(([k]) => k !== key)) })),
    ),
  ];
}

/** `#new` opens the form, `#rerun=ID` fills it with that job. */
async function openFromHash(api, setDialog, setError, session) {
  if (!session.mayRun) return;
  const [what, id] = location.hash.slice(1).split("=");
  if (what === "new") setDialog({ is: "form" });
  if (what !== "rerun" || !id) return;
  try {
    setDialog({ is: "form", from: await api.job(id) });
  } catch (problem) {
    setError(problem.message);
  }
}

/** Calls `run` now, and then at most once in `ms` milliseconds, the last time for the last call. */
function useThrottled(run, ms) {
  const state = useRef({ timer: null, again: false });
  const latest = useRef(run);
  latest.current = run;
  return useCallback(() => {
    const now = state.current;
    if (now.timer) {
      now.again = true;
      return;
    }
    latest.current();
    const over = () => {
      now.timer = null;
      if (!now.again) return;
      now.again = false;
      latest.current();
      now.timer = setTimeout(over, ms);
    };
    now.timer = setTimeout(over, ms);
  }, []);
}
