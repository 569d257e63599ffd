// Which tab the URL names: `#files=out/deep`, `#details`; what the log's links are is the log's. Pure.

export const TABS = [
  { name: "terminal", label: "Terminal" },
  { name: "output", label: "Output" },
  { name: "files", label: "Files" },
  { name: "details", label: "Details" },
];

/** `first`: the tab of a URL that names none. */
export function placeOf(hash, first) {
  const [name, ...rest] = hash.replace(/^#/, "").split("=");
  const path = rest.join("=").replace(/^\/+|\/+$/g, "");
  if (name === "files") return { tab: "files", path };
  if (TABS.some((tab) => tab.name === name)) return { tab: name, path: "" };
  return { tab: name ? "output" : first, path: "" };
}

export function hashOf({ tab, path }, first) {
  if (tab === "files" && path) return `#files=${path}`;
  return tab === first ? "" : `#${tab}`;
}
