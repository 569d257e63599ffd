// The Files tab: what is in the directory of the job, to look through and to download.

import { html, useEffect, useState } from "../../vendor/htm-preact.js";
import { ago, bytes, visible } from "../../words.js";

const PAGE = 500;

/** `path`: the directory that is shown, percent-encoded, "" for the job's own; `stamp` changes when
 * the job does. */
export function Files({ api, id, path, stamp }) {
  const [listed, setListed] = useState(null);
  const [error, setError] = useState(null);
  const [asked, setAsked] = useState(0);
  const base = `/${id}/files${path && `/${path}`}`;

  const load = async (after) => {
    const page = await api.get(base, { limit: PAGE, after });
    return { path, entries: page.Entries, next: page.Next };
  };

  useEffect(() => {
    let isOld = false;
    load()
      .then((page) => {
        if (isOld) return;
        setListed(page);
        setError(null);
      })
      .catch((problem) => {
        if (isOld) return;
        setListed(null);
        setError(problem.message);
      });
    return () => {
      isOld = true;
    };
  }, [id, path, stamp, asked]);

  async function more() {
    try {
      const page = await load(listed.next);
      setListed({ ...page, entries: [...listed.entries, ...page.entries] });
    } catch (problem) {
      setError(problem.message);
    }
  }

  const current = listed && listed.path === path ? listed : null;
  return html`<div class="job-files">
    <div class="files-bar">
      <${Crumbs} path=${path} />
      <button class="quiet" type="button" onClick=${() => setAsked(asked + 1)}>Refresh</button>
      <a class="button" href=${api.href(base, { archive: "tar.gz" })} download>Download as tar.gz</a>
    </div>
    ${error && html`<p class="problem" role="alert">${error}</p>`}
    ${current && !current.entries.length && html`<p class="empty">There is nothing in this directory.</p>`}
    ${current && current.entries.length > 0 && html`<table>
      <thead><tr><th scope="col">Name</th><th scope="col" class="size">Size</th><th scope="col" class="mode">Mode</th><th scope="col" class="when">Changed</th></tr></thead>
      <tbody>${current.entries.map((entry) => html`<${Row} key=${entry.Path} api=${api} base=${base} path=${path} entry=${entry} onError=${setError} />`)}</tbody>
    </table>`}
    ${current && current.next && html`<button type="button" onClick=${more}>Show more</button>`}
  </div>`;
}

const KINDS = { directory: "▸", file: "", symlink: "↪", other: "◇" };

/** `onError` gets a sentence. */
function Row({ api, base, path, entry, onError }) {
  const name = html`<bdi>${visible(entry.Name)}</bdi>`;
  const isDirectory = entry.Type === "directory";
  /** A link is listed as a link, whatever it leads to: that is asked for when it is wanted. */
  async function followed(event) {
    event.preventDefault();
    const { href, download } = event.currentTarget;
    try {
      const answer = await api.send("HEAD", `${base}/${entry.Path}`);
      if (!answer.headers.has("Content-Disposition")) location.hash = `files=${below}`;
      else Object.assign(document.createElement("a"), { href, download }).click();
    } catch (problem) {
      onError(problem.status ? `The link ${visible(entry.Name)} leads to nothing in this directory.` : problem.message);
    }
  }
  const below = path ? `${path}/${entry.Path}` : entry.Path;
  const link = () => {
    if (isDirectory) return html`<a href=${`#files=${below}`}>${name}<span aria-hidden="true">/</span></a>`;
    if (entry.Type === "other") return html`<span class="muted">${name}</span>`;
    const follow = entry.Type === "symlink" ? followed : null;
    return html`<a href=${api.href(`${base}/${entry.Path}`)} download=${visible(entry.Name)} onClick=${follow}>${name}</a>`;
  };
  return html`<tr>
    <td class="name"><span class="kind" aria-hidden="true">${KINDS[entry.Type]}</span>${link()}${entry.Type === "symlink" && html`<span class="muted"> link</span>`}</td>
    <td class="size">${isDirectory ? "" : bytes(entry.Size)}</td>
    <td class="mode"><code>${entry.Mode}</code></td>
    <td class="when"><time datetime=${entry.ModifiedAt} title=${entry.ModifiedAt}>${ago(entry.ModifiedAt)}</time></td>
  </tr>`;
}

function Crumbs({ path }) {
  const parts = path ? path.split("/") : [];
  const crumb = (text, to, isLast) => html`<li>${isLast ? html`<span aria-current="page"><bdi>${text}</bdi></span>` : html`<a href=${`#files${to && `=${to}`}`}><bdi>${text}</bdi></a>`}</li>`;
  return html`<nav aria-label="Directory"><ol class="crumbs">
    ${crumb("Files", "", parts.length === 0)}
    ${parts.map((part, n) => crumb(visible(decoded(part)), parts.slice(0, n + 1).join("/"), n === parts.length - 1))}
  </ol></nav>`;
}

/** A percent-encoded name; bytes that aren't UTF-8 stay encoded. */
export function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
