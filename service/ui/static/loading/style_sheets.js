// Style sheets that not every view needs. Those that a view needs at once stand in its document.

const added = new Map();

/** Resolves when the sheet at `url` holds, or can't be had. */
export function withStyle(url) {
  const { href } = new URL(url);
  if (added.has(href)) return added.get(href);
  // No module runs before the sheets of its document are there, or have failed.
  const isOfDocument = [...document.querySelectorAll('link[rel="stylesheet"]')].some((link) => link.href === href);
  if (isOfDocument) return Promise.resolve();
  const link = Object.assign(document.createElement("link"), { rel: "stylesheet", href });
  const settled = new Promise((resolve) => ["load", "error"].forEach((name) => link.addEventListener(name, resolve)));
  document.head.append(link);
  added.set(href, settled);
  return settled;
}
