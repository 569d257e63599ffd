// Dark or light: as the system says, until the reader chooses.

const KEY = "jobrunner-theme";

/** The theme that is seen now. */
export function currentTheme() {
  const chosen = document.documentElement.dataset.theme;
  if (chosen) return chosen;
  return matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
}

/** Shows what the reader chose before, if anything. */
export function applyTheme() {
  try {
    const chosen = localStorage.getItem(KEY);
    if (chosen === "dark" || chosen === "light") document.documentElement.dataset.theme = chosen;
  } catch {
    // Storage is forbidden: the system's theme it is.
  }
}

/** Changes to the other one, and remembers it. */
export function toggleTheme() {
  const chosen = currentTheme() === "dark" ? "light" : "dark";
  document.documentElement.dataset.theme = chosen;
  try {
    localStorage.setItem(KEY, chosen);
  } catch {
    // It holds until the page is left.
  }
}
