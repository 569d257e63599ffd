// What the list knows: which jobs, in which order, by which filter. Pure.

import { commandLine, kindOfState } from "../states.js";

/** The filters by state: how each is asked for, in the words of the API. */
export const FILTERS = [
  { name: "all", label: "All", shape: "", parameters: { state: "all" } },
  { name: "running", label: "Running", shape: "●", parameters: { state: "running" } },
  { name: "pending", label: "Pending", shape: "◌", parameters: { state: "pending" } },
  { name: "exited", label: "Exit 0", shape: "✓", parameters: { state: "exited", exit: "0" } },
  { name: "failed", label: "Failed", shape: "✕", parameters: { state: "exited", exit: "nonzero" } },
  { name: "killed", label: "Killed", shape: "⊘", parameters: { state: "killed" } },
];

/** The selection that a query string means: `{filter, name, labels, others}`. `others` are parameters
 * of the API that the page has no control for; they go along. */
export function selectionOf(search) {
  const given = new URLSearchParams(search);
  const state = given.get("state") || "all";
  const exit = given.get("exit");
  let filter = FILTERS.find(
    (f) => f.parameters.state === state && (f.parameters.exit || null) === exit,
  );
  const others = {};
  for (const [name, value] of given) {
    if (!["state", "exit", "name", "label", "after", "limit", "view", "order"].includes(name)) others[name] = value;
  }
  if (!filter) {
    filter = FILTERS[0];
    if (given.has("state") || exit !== null) Object.assign(others, { state, ...(exit !== null && { exit }) });
  }
  return { filter: filter.name, name: given.get("name"), labels: given.getAll("label"), others };
}

/** The parameters of the API for a selection. */
export function parametersOf(selection) {
  const filter = FILTERS.find((f) => f.name === selection.filter);
  return { ...filter.parameters, ...selection.others, name: selection.name, label: selection.labels };
}

/** The query string that shows a selection in the address, "" for everything. */
export function searchOf(selection) {
  const made = new URLSearchParams();
  for (const [name, value] of Object.entries(parametersOf(selection))) {
    if (name === "state" && value === "all" && !selection.others.state) continue;
    for (const one of Array.isArray(value) ? value : [value]) if (one) made.append(name, one);
  }
  const text = made.toString();
  return text && `?${text}`;
}

/** Whether a job belongs to a selection, as far as the page can tell without asking. */
export function matches(view, { filter, name, labels }) {
  if (filter !== "all" && kindOfState(view) !== filter) return false;
  if (name && !(name.endsWith("*") ? (view.Name || "").startsWith(name.slice(0, -1)) : view.Name === name)) return false;
  return labels.every((label) => {
    const at = label.indexOf("=");
    return view.Labels[label.slice(0, at)] === label.slice(at + 1);
  });
}

/** Whether every word of `text` stands in the job's name, ID, labels or commands, or in why it is as
 * it is. */
export function containsText(view, text) {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  if (!words.length) return true;
  const labels = Object.entries(view.Labels).map(([key, value]) => `${key}=${value}`);
  const hay = [view.ID, view.Name, view.Error, view.Reason, ...labels, ...view.Commands.map(commandLine)]
    .filter(Boolean)
    .join("\n")
    .toLowerCase();
  return words.every((word) => hay.includes(word));
}

/** What is typed into the search field: `key=value` are labels, the rest is text. */
export function parsedSearch(typed) {
  const labels = [];
  const words = [];
  for (const word of typed.split(/\s+/).filter(Boolean)) {
    (/^[^=\s]+=[^=]*$/.test(word) ? labels : words).push(word);
  }
  return { labels, text: words.join(" ") };
}

/** Jobs by their submission, newest first. */
export class Jobs {
  constructor() {
    this.byId = new Map();
    this.order = [];
    this.next = null;
    this.isWhole = false;
  }

  /** Adds a page of the API; jobs that a change told of meanwhile stay as they are. */
  addPage({ Jobs: views, Next: next }) {
    for (const view of views) if (!this.byId.has(view.ID)) this.#insert(view, this.order.length);
    this.next = next || null;
    this.isWhole = !next;
  }

  /** Takes a change; `belongs`: whether the job is one of these now. */
  change(view, belongs) {
    const known = this.byId.get(view.ID);
    if (!belongs || view.Cleaned) {
      if (known) this.#remove(view.ID);
      return;
    }
    if (known) {
      this.byId.set(view.ID, view);
      return;
    }
    const at = this.order.findIndex((id) => this.byId.get(id).CreatedAt <= view.CreatedAt);
    // Beyond what was loaded: it comes with its page.
    if (at === -1 && !this.isWhole) return;
    this.#insert(view, at === -1 ? this.order.length : at);
  }

  /** The views that have the text, in order. */
  found(text) {
    const all = this.order.map((id) => this.byId.get(id));
    return text ? all.filter((view) => containsText(view, text)) : all;
  }

  hasRunning() {
    return this.order.some((id) => this.byId.get(id).State === "running");
  }

  /** Takes how much jobs have written from newer views of them; whether any has written more. */
  setSizes(views) {
    let isNew = false;
    for (const { ID, Output } of views) {
      const known = this.byId.get(ID);
      if (!known || known.State !== "running" || known.Output.Bytes >= Output.Bytes) continue;
      this.byId.set(ID, { ...known, Output });
      isNew = true;
    }
    return isNew;
  }

  #insert(view, at) {
    this.byId.set(view.ID, view);
    this.order.splice(at, 0, view.ID);
  }

  #remove(id) {
    this.byId.delete(id);
    this.order.splice(this.order.indexOf(id), 1);
  }
}

/** Which of `total` rows of one height to draw: those that are seen, and some on both sides. */
export function rowWindow({ scrollTop, viewport, rowHeight, total, margin = 12 }) {
  const first = Math.max(0, Math.min(total, Math.floor(scrollTop / rowHeight) - margin));
  const last = Math.min(total, Math.ceil((scrollTop + viewport) / rowHeight) + margin);
  return { first, last: Math.max(first, last) };
}
