// The viewer's style sheet, which comes with it.

/** Resolved once the style sheet is there: without it nothing that is measured holds. */
export function styles() {
  const href = new URL("./log.css", import.meta.url).href;
  let link = document.querySelector(`link[href="${href}"]`);
  if (link?.sheet) return Promise.resolve();
  if (!link) {
    link = Object.assign(document.createElement("link"), { rel: "stylesheet", href });
    document.head.append(link);
  }
  return new Promise((resolve) => ["load", "error"].forEach((name) => link.addEventListener(name, resolve)));
}
