// The terminal of a job: xterm.js over its WebSocket. Typed into by who may, else watched.

import { html, useEffect, useRef, useState } from "../../vendor/htm-preact.js";
import { count } from "../../words.js";
import { withStyle } from "../../loading/style_sheets.js";
import { Channels, replayFrom } from "./channels.js";
import { adoptStyles } from "./adopted_styles.js";

// Bytes of earlier output that are shown when the page is opened.
const REPLAYED = 1 << 20;
const SCROLLBACK_LINES = 10_000;
const FONT_PX = 13;
const SENTENCES = {
  connecting: "Connecting…",
  open: "Connected.",
  lost: "The connection was lost. It is made again, and goes on where it was cut.",
  ended: "The job has ended.",
};

/** `view` is that at the beginning: how much output there was says what is a replay. `isShown`:
 * whether its tab is. */
export function Terminal({ api, view, mayRun, isShown }) {
  const host = useRef(null);
  const shown = useRef(null);
  const [state, setState] = useState({ is: "connecting" });
  const [untaken, setUntaken] = useState(0);
  const [leftOut, setLeftOut] = useState(0);
  const mayType = mayRun && view.State !== "exited" && view.State !== "killed";

  useEffect(() => {
    let terminal = null;
    let isGone = false;
    open(host.current, { api, view, mayType, onState: (is, why) => setState({ is, why }), onUntaken: setUntaken, onLeftOut: setLeftOut })
      .then((made) => {
        terminal = made;
        if (isGone) terminal.destroy();
        else shown.current = terminal;
      })
      .catch(() => setState({ is: "refused", why: "The terminal couldn’t be loaded. Reload the page." }));
    return () => {
      isGone = true;
      if (terminal) terminal.destroy();
    };
  }, []);

  useEffect(() => {
    if (isShown && shown.current) shown.current.fit();
  }, [isShown]);

  return html`<div class="job-terminal">
    <div class="screen" ref=${host} data-state=${state.is}></div>
    <p class=${`terminal-state ${state.is}`} role="status">
      ${SENTENCES[state.is] || state.why}
      ${["lost", "connecting"].includes(state.is) && untaken > 0 && ` What you typed waits for it: ${count(untaken)} bytes.`}
      ${leftOut > 0 && ` Too much waits for the job: ${count(leftOut)} bytes that you typed were left out.`}
      ${mayType && state.is === "open" && html` <kbd>Ctrl Shift ↑</kbd> leaves the terminal.`}
      ${!mayType && state.is !== "ended" && " You watch: what you type goes nowhere."}
    </p>
  </div>`;
}

/** All other keys are the job's, Tab among them: this one leads out. */
function leaves(event) {
  return event.ctrlKey && event.shiftKey && event.key === "ArrowUp";
}

/** Focuses the tab; false: the terminal doesn't get the key. */
function onLeave(event) {
  event.preventDefault();
  document.querySelector('[role="tab"][aria-selected="true"]').focus();
  return false;
}

async function open(host, { api, view, mayType, onState, onUntaken, onLeftOut }) {
  const [{ Terminal: Xterm }, { FitAddon }] = await Promise.all([
    import("../../vendor/xterm.js"),
    import("../../vendor/xterm-addon-fit.js"),
    withStyle(new URL("../../vendor/xterm.css", import.meta.url)),
  ]);
  const undo = adoptStyles();
  const terminal = new Xterm({
    fontSize: FONT_PX,
    fontFamily: getComputedStyle(host).getPropertyValue("--mono").trim() || "monospace",
    scrollback: SCROLLBACK_LINES,
    disableStdin: !mayType,
    cursorBlink: false,
    linkHandler: { activate: () => {} }, // links of the output lead nowhere
    minimumContrastRatio: 4.5,
    rows: view.TTY.Rows,
    cols: view.TTY.Cols,
    theme: themeOf(host),
  });
  terminal.attachCustomKeyEventHandler((event) => !leaves(event) || event.type !== "keydown" || onLeave(event));
  const fit = new FitAddon();
  terminal.loadAddon(fit);
  terminal.open(host);

  const from = replayFrom(view.Output, REPLAYED);
  let replayed = view.Output.Bytes - from; // bytes that were answered long ago
  const channels = new Channels({
    address: (parameters) => api.href(`/${view.ID}/ws`, parameters).replace(/^/, webSocketOrigin()),
    offset: from,
    mayType,
    onState: (...now) => {
      onUntaken(channels.untaken);
      onState(...now);
    },
    look: () => api.job(view.ID),
    onOutput: (bytes) =>
      terminal.write(bytes, () => {
        replayed -= bytes.length;
      }),
    onGap: (dropped) => terminal.write(`\r\n\x1b[2m[jobrunner: ${count(dropped)} bytes dropped]\x1b[0m\r\n`),
  });
  let leftOut = 0;
  const typed = (bytes) => {
    if (!channels.type(bytes)) onLeftOut((leftOut += bytes.length));
    onUntaken(channels.untaken);
  };
  // Programs ask a terminal what it is, and it answers as if that was typed: not again in a replay.
  const isTyped = tellsWhatIsTyped(terminal);
  const isWanted = () => isTyped() || replayed <= 0;
  terminal.onData((text) => isWanted() && typed(new TextEncoder().encode(text)));
  terminal.onBinary((text) => isWanted() && typed(Uint8Array.from(text, (character) => character.charCodeAt(0) & 255)));
  terminal.onResize(({ rows, cols }) => channels.resize(rows, cols));

  const refit = () => {
    if (host.clientWidth && mayType) fit.fit();
  };
  refit();
  channels.resize(terminal.rows, terminal.cols);
  channels.connect();
  const sizes = new ResizeObserver(refit);
  sizes.observe(host);
  const themes = watchTheme(() => {
    terminal.options.theme = themeOf(host);
  });
  if (mayType) terminal.focus();

  return {
    fit: refit,
    destroy: () => {
      sizes.disconnect();
      themes();
      channels.close();
      terminal.dispose();
      undo();
    },
  };
}

/** A function that tells, while xterm.js has data to be sent, whether a person made it. Its own
 * interface doesn't; without this event nothing is said to be typed. */
function tellsWhatIsTyped(terminal) {
  let isTyped = false;
  terminal._core?.coreService?.onUserInput?.(() => {
    isTyped = true;
  });
  return () => {
    const was = isTyped;
    isTyped = false;
    return was;
  };
}

function webSocketOrigin() {
  return location.origin.replace(/^http/, "ws");
}

const ANSI = {
  light: ["#1b1f24", "#c02418", "#19702f", "#855400", "#0a58c8", "#8a2da5", "#0b6a75", "#57606a"],
  dark: ["#4a535e", "#ff8076", "#5fcf74", "#e2b341", "#74b3ff", "#d59bf0", "#5cc8d4", "#e4e8ed"],
};
const NAMES = ["black", "red", "green", "yellow", "blue", "magenta", "cyan", "white"];

function themeOf(host) {
  const style = getComputedStyle(host);
  const isDark = style.colorScheme === "dark" || (style.colorScheme !== "light" && matchMedia("(prefers-color-scheme: dark)").matches);
  const theme = {
    background: style.backgroundColor,
    foreground: style.color,
    cursor: style.color,
    cursorAccent: style.backgroundColor,
    selectionBackground: isDark ? "#2f4a6d" : "#bcd6f7",
  };
  ANSI[isDark ? "dark" : "light"].forEach((color, n) => {
    theme[NAMES[n]] = color;
    theme[`bright${NAMES[n][0].toUpperCase()}${NAMES[n].slice(1)}`] = color;
  });
  return theme;
}

function watchTheme(changed) {
  const media = matchMedia("(prefers-color-scheme: dark)");
  const attribute = new MutationObserver(changed);
  media.addEventListener("change", changed);
  attribute.observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
  return () => {
    media.removeEventListener("change", changed);
    attribute.disconnect();
  };
}
