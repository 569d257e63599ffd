// Style sheets that only one view needs: a link each, once.

const loaded = new Map();

/** Resolves when the sheet at `url` holds. */
export function withStyle(url) {
  const href = String(url);
  if (!loaded.has(href)) {
    const link = document.createElement("link");
    const ready = new Promise((resolve, reject) => {
      link.onload = resolve;
      link.onerror = () => reject(new Error(`There is no style sheet ${href}.`));
    });
    link.rel = "stylesheet";
    link.href = href;
    document.head.append(link);
    loaded.set(href, ready);
  }
  return loaded.get(href);
}
