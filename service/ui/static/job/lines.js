// The lines that do in a shell what the page does: `curl` and `jobrunner`. Pure.

const PLAIN = /^[A-Za-z0-9_@%+=:,./-]+$/;

/** One word of a POSIX shell. */
export function quoted(word) {
  return PLAIN.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}

/** `origin`: of the service, with the path that it has behind a proxy, without a slash at its end.
 * `hasTokens`: whether callers need one; the lines take it from `$JOBRUNNER_TOKEN`, as `jobrunner`
 * does. Returns `[{title, curl, jobrunner}]`. */
export function linesOf({ origin, id, hasTokens = false, mayRun = true, isLive = false }) {
  const token = hasTokens ? ' -H "Authorization: Bearer $JOBRUNNER_TOKEN"' : "";
  const curl = (path, options = "-sS") => `curl ${options}${token} ${quoted(`${origin}/${id}${path}`)}`;
  const own = (verb) => `jobrunner ${verb} --url ${quoted(origin)} ${id}`;
  const lines = [
    { title: "Attach", curl: curl("/attach", "-sSN"), jobrunner: own("attach") },
    { title: "Wait", curl: curl("/wait"), jobrunner: own("wait") },
    { title: "Logs", curl: curl("/output"), jobrunner: own("logs") },
    { title: "Inspect", curl: curl(""), jobrunner: own("inspect") },
  ];
  if (mayRun && isLive) lines.push({ title: "Kill", curl: curl("", "-sS -X DELETE"), jobrunner: own("kill") });
  if (mayRun) lines.push({ title: "Rerun", curl: curl("/rerun", "-sS -X POST"), jobrunner: own("rerun") });
  return lines;
}

/** The name of a download: that of the job where it has one. */
export function fileName(view, ending) {
  const name = (view.Name || view.ID).replace(/[^\p{L}\p{N}._ -]+/gu, "_").replace(/^[. ]+/, "_");
  return `${name.slice(0, 100)}.${ending}`;
}
