// The API as the page uses it: requests with errors as sentences, and the stream of changes.

/** An error of the API (RFC 9457). `message` is a sentence for people, `code` its stable name,
 * `errors` those of single fields, each `{pointer, detail}`. `status` is 0 where nobody answered. */
export class Problem extends Error {
  constructor(status, document = {}) {
    super(document.detail || document.title || `The service answered with status ${status}.`);
    this.name = "Problem";
    this.status = status;
    this.code = (document.type || "").split("/").pop();
    this.title = document.title || "Error";
    this.errors = document.errors || [];
    this.document = document;
  }
}

const UNREACHABLE = {
  type: "unreachable",
  title: "No answer",
  detail: "The service can’t be reached. Is the network there, and does the service run?",
};

/** Query parameters; null and undefined ones are left out, arrays are repeated. */
export function query(parameters = {}) {
  const made = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== null && one !== undefined) made.append(name, one);
    }
  }
  const text = made.toString();
  return text && `?${text}`;
}

/** `prefix`: the path that the service has behind a proxy, ending without a slash.
 * `onUnauthenticated` is called when a request was refused for want of a login. */
export function createApi({ prefix = "", onUnauthenticated = () => {} } = {}) {
  async function send(method, path, { parameters, body, headers, signal } = {}) {
    const options = { method, signal, headers: { Accept: "application/json", ...headers } };
    if (body instanceof Blob || typeof body === "string") {
      options.body = body;
    } else if (body !== undefined) {
      options.headers["Content-Type"] ||= "application/json";
      options.body = JSON.stringify(body);
    }
    let answer;
    try {
      answer = await fetch(prefix + path + query(parameters), options);
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Problem(0, UNREACHABLE);
    }
    if (answer.ok) return answer;
    const document = await answer.json().catch(() => ({}));
    const problem = new Problem(answer.status, document);
    if (answer.status === 401) onUnauthenticated(problem);
    throw problem;
  }

  const json = async (...given) => {
    const answer = await send(...given);
    return answer.status === 204 ? null : answer.json();
  };

  return {
    prefix,
    /** The answer itself (`Response`), for headers and bytes. Raises: Problem; AbortError. */
    send,
    get: (path, parameters, options) => json("GET", path, { parameters, ...options }),
    post: (path, body, options) => json("POST", path, { body, ...options }),
    delete: (path, parameters, options) => json("DELETE", path, { parameters, ...options }),
    job: (id) => json("GET", `/${id}`),
    href: (path, parameters) => prefix + path + query(parameters),
    changes: (options) => changes(prefix, { check: () => json("GET", "/", { parameters: { limit: 1 } }), ...options }),
  };
}

const FIRST_RETRY_MS = 500;
const MAX_RETRY_MS = 15_000;

/** Calls `onChange` with each change of a job behind the one with the number `after`: its view, or
 * `{ID, Cleaned: true}`, each with `Seq`. `onLive` hears whether the stream stands. The browser
 * resumes a cut stream by `Last-Event-ID`; one that it gives up is begun again from the last change.
 * Returns what ends it. */
function changes(prefix, { after = 0, onChange, onLive = () => {}, check }) {
  let source, timer;
  let retryMs = FIRST_RETRY_MS;
  let last = after;

  // A browser has six connections to a host in all its windows: a hidden one holds none of them.
  function shown() {
    clearTimeout(timer);
    source.close();
    if (!document.hidden) open();
  }

  function open() {
    source = new EventSource(`${prefix}/events${query({ follow: true, format: "sse", after: last })}`);
    source.onopen = () => {
      retryMs = FIRST_RETRY_MS;
      onLive(true);
    };
    source.addEventListener("change", (event) => {
      const change = JSON.parse(event.data);
      last = change.Seq;
      onChange(change);
    });
    source.onerror = () => {
      onLive(false);
      if (source.readyState !== EventSource.CLOSED) return;
      check().catch(() => {}); // an EventSource doesn't tell whether it wasn't authenticated
      timer = setTimeout(open, retryMs);
      retryMs = Math.min(2 * retryMs, MAX_RETRY_MS);
    };
  }

  open();
  document.addEventListener("visibilitychange", shown);
  return () => {
    document.removeEventListener("visibilitychange", shown);
    clearTimeout(timer);
    source.close();
  };
}
