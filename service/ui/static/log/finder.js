// A search that somebody types: what was found, and where one is in it.
//
// At hand is a run of hits: those around one place, with none missing between them. Those before it are
// counted, and asked for when one goes there.

// Bytes before a hit in which the one before it is looked for, at first.
const LOOK_BACK = 1 << 18;

/** The index of the first hit at or behind an offset; the first of all, if there is none. */
export function firstBehind(hits, offset) {
  const found = hits.findIndex((hit) => hit.offset >= offset);
  return found < 0 ? 0 : found;
}

const NOTHING = { pattern: "", hits: [], count: 0, before: 0, index: -1, first: [], upTo: 0, error: null, isBusy: false };

export class Finder {
  #search;
  #controller = null;

  /** `search(pattern, {offset, limit, most, signal})` is that of `find.js`; `size()` tells how many bytes there are. */
  constructor(search, size) {
    this.#search = search;
    this.size = size;
    Object.assign(this, NOTHING);
  }

  clear() {
    this.#controller?.abort();
    Object.assign(this, NOTHING);
  }

  /** Finds, and goes to the first hit behind `from`. False: another search came in between. */
  async find(pattern, from) {
    this.clear();
    if (!pattern) return true;
    this.pattern = pattern;
    this.upTo = this.size();
    return this.#ask(async (search) => {
      const [above, below] = await Promise.all([search({ limit: from }), search({ offset: from })]);
      this.count = above.count + below.count;
      if (above.isAll || !below.hits.length) {
        Object.assign(this, { hits: [...above.hits, ...(above.isAll ? below.hits : [])], before: 0 });
        this.index = this.hits.length ? firstBehind(this.hits, from) : -1;
      } else {
        Object.assign(this, { hits: below.hits, before: above.count, index: 0, first: above.hits });
      }
    });
  }

  get current() {
    return this.hits[this.index] ?? null;
  }

  /** Which of all hits the current one is, from 1. */
  get ordinal() {
    return this.before + this.index + 1;
  }

  /** Whether all hits are at hand. */
  get isWhole() {
    return this.hits.length >= this.count;
  }

  /** Whether all hits before `end` are at hand. */
  knowsUpTo(end) {
    return this.isWhole && end <= this.upTo;
  }

  /** All that are known. */
  get known() {
    return [...this.first, ...this.hits];
  }

  /** Goes to the next hit, or to the one before; around the ends. */
  async step(by) {
    const to = this.index + by;
    if (this.isWhole) this.index = (to + this.hits.length) % this.hits.length;
    else if (to in this.hits) this.index = to;
    else if (by > 0) await this.#ask((search) => this.#further(search));
    else await this.#ask((search) => this.#back(search));
  }

  /** The offsets of the hits from one place to another. */
  async within(begin, end, signal) {
    const { hits } = await this.#search(this.pattern, { offset: begin, limit: end - begin, most: 1000, signal });
    return hits.map((hit) => hit.offset);
  }

  async #further(search) {
    const last = this.hits.at(-1);
    if (this.before + this.hits.length < this.count) {
      // The line itself comes once more: behind its beginning it would be another one.
      const { hits } = await search({ offset: last.offset });
      const more = hits.filter((hit) => hit.offset > last.offset);
      if (more.length) {
        this.index = this.hits.length;
        this.hits = this.hits.concat(more);
        return;
      }
      this.count = this.before + this.hits.length;
    }
    if (this.before) {
      const { hits } = await search({});
      Object.assign(this, { hits, before: 0, first: [] });
    }
    this.index = 0;
  }

  async #back(search) {
    if (this.before) {
      const { hits } = await hitsBefore(search, this.hits[0].offset);
      this.hits = [...hits, ...this.hits];
      this.before -= hits.length;
      this.index = hits.length - 1;
      return;
    }
    // Around the beginning: the last ones of all, of which there may be more by now.
    const { hits, begin } = await hitsBefore(search, this.size());
    const above = await search({ limit: begin });
    Object.assign(this, { first: this.hits, hits, before: above.count, count: above.count + hits.length });
    this.index = hits.length - 1;
  }

  async #ask(work) {
    this.#controller?.abort();
    const controller = new AbortController();
    this.#controller = controller;
    this.isBusy = true;
    const { pattern } = this;
    try {
      await work((options) => this.#search(pattern, { ...options, signal: controller.signal }));
    } catch (error) {
      if (controller.signal.aborted) return false;
      this.error = error.message;
    } finally {
      if (this.#controller === controller) this.isBusy = false;
    }
    return !controller.signal.aborted;
  }
}

/** The last hits before `end`, without one missing between them, and `begin`, before which others may be. */
export async function hitsBefore(search, end) {
  let empty = 0; // so many bytes are too few,
  let full = Infinity; // and so many have more hits than are told
  let bytes = LOOK_BACK;
  for (;;) {
    const begin = Math.max(0, end - bytes);
    const { hits, isAll } = await search({ offset: begin, limit: end - begin });
    // The place may lie within a line, whose rest isn't one.
    const whole = begin ? hits.filter((hit) => hit.offset > begin) : hits;
    // No fewer bytes are left to try: those hits are as near as can be told.
    if (!isAll && bytes - empty <= 1) return { hits: whole, begin: whole[0]?.offset ?? begin };
    if (!isAll) full = bytes;
    else if (whole.length || !begin) return { hits: whole, begin: whole[0]?.offset ?? 0 };
    else empty = bytes;
    bytes = full === Infinity ? 8 * empty : Math.ceil((empty + full) / 2);
  }
}
