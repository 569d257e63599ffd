// Asking the service for lines that match.

const MOST_HITS = 500;
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

/** The lines that match from an offset on, `limit` bytes of them: `hits`, `[{offset, line}]`, of which
 * there are `most` at most, how many there are in all as `count`, and whether those are all. With a
 * `stream` the lines of that one. */
export async function search(api, id, pattern, { stream = null, offset = 0, limit = null, most = MOST_HITS, signal } = {}) {
  if (limit === 0) return { hits: [], count: 0, isAll: true };
  const parameters = { grep: pattern, ignore_case: ignoresCase(pattern), max: most, format: "ndjson", gaps: "mark", offset, limit, ansi: "strip" };
  const answer = await api.send("GET", `/${id}/output`, { parameters, headers: { Accept: "application/x-ndjson" }, signal });
  const hits = [];
  let told = 0;
  let count = null;
  for await (const record of records(answer)) {
    if (record.Type === "line") {
      told += 1;
      if (stream === null || record.Stream === stream) hits.push({ offset: record.Offset, line: record.Line });
    } else if (record.Type === "matches") count = record.Count;
  }
  const isAll = count !== null && count <= told;
  return { hits, count: isAll ? hits.length : (count ?? hits.length), isAll };
}
