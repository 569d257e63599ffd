// Finding lines: the service searches, the page marks what it found.

const MOST_HITS = 500;
/** In a longer log escape sequences are searched as they came: to take them out costs too much. */
const MOST_STRIPPED = 16_000_000;
const MOST_CHARACTERS = 8_000_000;

/** The records of an answer in NDJSON, as they come. */
async function* records(answer) {
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  let read = 0;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      read += value.length;
      const lines = (rest + value).split("\n");
      rest = lines.pop();
      for (const line of lines) if (line) yield JSON.parse(line);
      if (read > MOST_CHARACTERS) return;
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

/** Capitals in a pattern mean capitals. */
export const ignoresCase = (pattern) => pattern === pattern.toLowerCase();

/** The hit that comes `step` behind the one with that index; around the ends. */
export const stepped = (index, step, count) => (count ? (((index + step) % count) + count) % count : -1);

/** The index of the first hit at or behind an offset; the first of all, if there is none. */
export function firstBehind(hits, offset) {
  const found = hits.findIndex((hit) => hit.offset >= offset);
  return found < 0 ? 0 : found;
}

/** The lines that match from an offset on, `[{offset, line}]`, and how many there are in all. */
export async function search(api, id, pattern, { stream = null, offset = 0, size = 0, signal } = {}) {
  const parameters = {
    grep: pattern, ignore_case: ignoresCase(pattern), max: MOST_HITS, format: "ndjson", gaps: "mark", offset,
    ansi: size <= MOST_STRIPPED ? "strip" : null,
  };
  const answer = await api.send("GET", `/${id}/output`, { parameters, headers: { Accept: "application/x-ndjson" }, signal });
  const hits = [];
  let count = null;
  for await (const record of records(answer)) {
    if (record.Type === "line" && (stream === null || record.Stream === stream)) hits.push({ offset: record.Offset, line: record.Line });
    else if (record.Type === "matches") count = record.Count;
  }
  return { hits, count, isAll: count !== null && count <= MOST_HITS };
}

/** A search that somebody types: keeps what was found, and where one is in it. */
export class Finder {
  #search;
  #controller = null;
  pattern = "";
  hits = [];
  count = 0;
  index = -1;
  error = null;
  isBusy = false;

  /** `search(pattern, {offset, signal})` as above. */
  constructor(search) {
    this.#search = search;
  }

  clear() {
    this.#controller?.abort();
    Object.assign(this, { pattern: "", hits: [], count: 0, index: -1, error: null, isBusy: false });
  }

  /** Finds, and goes to the first hit behind `from`. False: another search came in between. */
  async find(pattern, from) {
    this.clear();
    if (!pattern) return true;
    this.pattern = pattern;
    const found = await this.#ask(0);
    if (!found) return false;
    Object.assign(this, { hits: found.hits, count: found.isAll ? found.hits.length : (found.count ?? found.hits.length) });
    this.index = found.hits.length ? firstBehind(found.hits, from) : -1;
    return true;
  }

  get offsets() {
    return new Set(this.hits.map((hit) => hit.offset));
  }

  get current() {
    return this.hits[this.index] ?? null;
  }

  /** Goes to the next hit, or to the one before; asks for more where there are more. */
  async step(by) {
    if (by > 0 && this.index === this.hits.length - 1 && this.count > this.hits.length) {
      const more = await this.#ask(this.hits.at(-1).offset + 1);
      if (!more) return;
      const last = this.hits.at(-1).offset;
      this.hits = this.hits.concat(more.hits.filter((hit) => hit.offset > last));
      if (!more.hits.length) this.count = this.hits.length;
    }
    this.index = stepped(this.index, by, this.hits.length);
  }

  async #ask(offset) {
    this.#controller?.abort();
    const controller = new AbortController();
    this.#controller = controller;
    this.isBusy = true;
    try {
      return await this.#search(this.pattern, { offset, signal: controller.signal });
    } catch (error) {
      if (controller.signal.aborted) return null;
      this.error = error.message;
      return { hits: [], count: 0, isAll: true };
    } finally {
      if (this.#controller === controller) this.isBusy = false;
    }
  }
}
