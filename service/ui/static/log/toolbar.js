// What is above the rows: streams, time, wrap, find. Each control says what it does by its label.

import { count as inGroups } from "../words.js";

function box(label, checked, onChange) {
  const element = document.createElement("label");
  element.className = "log-check";
  const input = document.createElement("input");
  input.type = "checkbox";
  input.checked = checked;
  input.addEventListener("change", () => onChange(input.checked));
  element.append(input, label);
  return { element, input };
}

function button(label, text, onClick) {
  const element = document.createElement("button");
  element.type = "button";
  element.className = "log-button";
  element.textContent = text;
  element.setAttribute("aria-label", label);
  element.title = label;
  element.addEventListener("click", onClick);
  return element;
}

const DELAY_MS = 250;

/** `on` has `streams({stdout, stderr})`, `time(shown)`, `wrap(wrapped)`, `find(text)`, `step(by)`. */
export function makeToolbar(on) {
  const element = document.createElement("div");
  element.className = "log-toolbar";
  element.setAttribute("role", "group");
  element.setAttribute("aria-label", "How the output is shown");

  const streams = { stdout: true, stderr: true };
  const choose = (name, other) => (checked) => {
    streams[name] = checked;
    if (!checked && !streams[other]) streams[other] = true; // something is always shown
    setStreams(streams);
    on.streams({ ...streams });
  };
  const out = box("stdout", true, choose("stdout", "stderr"));
  const err = box("stderr", true, choose("stderr", "stdout"));
  const time = box("time", false, (checked) => on.time(checked));
  const wrap = box("wrap", false, (checked) => on.wrap(checked));
  function setStreams(given) {
    Object.assign(streams, given);
    out.input.checked = streams.stdout;
    err.input.checked = streams.stderr;
  }

  const find = document.createElement("input");
  find.type = "search";
  find.className = "log-find";
  find.placeholder = "find (regular expression)";
  find.setAttribute("aria-label", "Find lines in the output, by a regular expression");
  find.maxLength = 1000;
  find.spellcheck = false;
  let timer;
  const now = () => {
    clearTimeout(timer);
    on.find(find.value);
  };
  find.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(now, DELAY_MS);
  });
  find.addEventListener("keydown", (event) => {
    if (event.key === "Enter") {
      event.preventDefault();
      if (find.value === find.dataset.found) on.step(event.shiftKey ? -1 : 1);
      else now();
    } else if (event.key === "Escape") {
      find.value = "";
      now();
      on.leave();
    }
    event.stopPropagation();
  });
  const count = document.createElement("output");
  count.className = "log-count";
  const up = button("Match before (N)", "↑", () => on.step(-1));
  const down = button("Next match (n)", "↓", () => on.step(1));
  const search = document.createElement("span");
  search.className = "log-search";
  search.append(find, count, up, down);
  element.append(out.element, err.element, time.element, wrap.element, search);
  const showFound = (finder) => {
    find.dataset.found = finder.pattern;
    find.setAttribute("aria-invalid", finder.error ? "true" : "false");
    up.disabled = down.disabled = !finder.hits.length;
    if (!finder.pattern) count.textContent = "";
    else if (finder.isBusy) count.textContent = "…";
    else if (finder.error) count.textContent = finder.error;
    else count.textContent = finder.count ? `${inGroups(finder.ordinal)} of ${inGroups(finder.count)}` : "not found";
    count.classList.toggle("log-wrong", Boolean(finder.error));
  };
  up.disabled = down.disabled = true;

  return {
    element,
    setStreams,
    setTime: (shown) => { time.input.checked = shown; },
    setWrap: (wrapped) => { wrap.input.checked = wrapped; },
    setFind: (text) => { find.value = text; },
    focusFind() {
      find.focus();
      find.select();
    },
    showFound,
    destroy: () => clearTimeout(timer),
  };
}
