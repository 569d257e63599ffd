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

/** Until what is returned is called, `style` elements that scripts make write into sheets of the
 * document, which the policy allows: it forbids the elements themselves. xterm.js makes such. */
export function adoptStyles() {
  const own = Document.prototype.createElement;
  const sheets = new Set();
  const adopt = () => {
    document.adoptedStyleSheets = [...before, ...sheets];
  };
  const before = [...document.adoptedStyleSheets];
  document.createElement = function createElement(name, ...options) {
    if (String(name).toLowerCase() !== "style") return own.call(document, name, ...options);
    const element = own.call(document, "span");
    const sheet = new CSSStyleSheet();
    element.hidden = true;
    Object.defineProperty(element, "textContent", { set: (text) => sheet.replaceSync(text), get: () => "" });
    sheets.add(sheet);
    adopt();
    return element;
  };
  return () => {
    delete document.createElement;
    sheets.clear();
    adopt();
  };
}
