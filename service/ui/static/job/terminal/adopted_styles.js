// Styles that a library makes by itself, where the policy forbids `style` elements.

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
