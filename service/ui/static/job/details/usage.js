// What a running job uses, while somebody looks: no change tells of it, so it is asked for.

import { askWhileSeen } from "../../asking.js";
import { html, useEffect, useRef, useState } from "../../vendor/htm-preact.js";
import { bytes } from "../../words.js";
import { withStyle } from "../../loading/style_sheets.js";
import { cpusOf, taken } from "./usage_model.js";

const EACH_MS = 2000;
const HEIGHT_PX = 120;
// Between two times on the axis: whole ones, as it tells no parts of a second.
const SECONDS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600];

/** `[usage, output, samples]` of the view, or newer ones while the job runs and `isShown`. */
export function useUsage(api, view, isShown) {
  const [fresh, setFresh] = useState(null);
  const [samples, setSamples] = useState([]);
  const isRunning = view.State === "running";
  useEffect(() => {
    if (!isShown || !isRunning) return undefined;
    return askWhileSeen(EACH_MS, () => api.job(view.ID), (now) => {
      if (now.State !== "running") return;
      setFresh(now);
      setSamples((old) => taken(old, { at: Date.now() / 1000, usage: now.Usage }));
    });
  }, [view.ID, isShown, isRunning]);
  const shown = fresh && isRunning ? fresh : view;
  return [shown.Usage, shown.Output, samples];
}

/** CPUs and memory over the time that they were looked at. */
export function Chart({ samples }) {
  const host = useRef(null);
  const plot = useRef(null);
  const cpus = cpusOf(samples);
  const data = [samples.slice(1).map((sample) => sample.at), cpus, samples.slice(1).map((sample) => sample.memory)];
  const latest = useRef(data);
  latest.current = data;

  useEffect(() => {
    let isGone = false;
    const sizes = new ResizeObserver(() => plot.current?.setSize({ width: host.current.clientWidth, height: HEIGHT_PX }));
    Promise.all([import("../../vendor/uplot.js"), withStyle(new URL("../../vendor/uplot.css", import.meta.url))]).then(([{ default: UPlot }]) => {
      if (isGone) return;
      plot.current = new UPlot(optionsOf(host.current), latest.current, host.current);
      sizes.observe(host.current);
    }, () => {});
    return () => {
      isGone = true;
      sizes.disconnect();
      plot.current?.destroy();
      plot.current = null;
    };
  }, []);
  useEffect(() => plot.current?.setData(data), [samples]);

  const last = samples.at(-1);
  const words = `${cpus.length ? `${(cpus.at(-1) ?? 0).toFixed(2)} CPUs` : ""}${last.memory === null ? "" : `, ${bytes(last.memory)}`}`;
  return html`<figure class="usage">
    <div class="plot" ref=${host} aria-hidden="true"></div>
    <figcaption><span class="cpu">CPUs</span> <span class="memory">Memory</span> <span class="muted">now ${words}</span></figcaption>
  </figure>`;
}

const clock = (seconds) => new Date(1000 * seconds).toLocaleTimeString("en-GB");

function optionsOf(host) {
  const resolved = (name) => {
    host.style.color = `var(${name})`; // a canvas knows no light-dark()
    const found = getComputedStyle(host).color;
    host.style.color = "";
    return found;
  };
  const axis = { stroke: resolved("--muted"), font: "12px system-ui", grid: { stroke: resolved("--hairline"), width: 1 }, ticks: { show: false } };
  return {
    width: host.clientWidth,
    height: HEIGHT_PX,
    legend: { show: false },
    cursor: { show: false },
    scales: { cpus: { range: (_, __, most) => [0, Math.max(1, most || 0)] }, memory: { range: (_, __, most) => [0, (most || 1) * 1.1] } },
    axes: [
      { ...axis, grid: { show: false }, size: 24, space: 80, incrs: SECONDS, values: (_, all) => all.map(clock) },
      { ...axis, scale: "cpus", size: 40, values: (_, all) => all.map((one) => String(one)) },
      { ...axis, scale: "memory", side: 1, size: 64, grid: { show: false }, values: (_, all) => all.map((one) => bytes(one)) },
    ],
    series: [
      {},
      { scale: "cpus", stroke: resolved("--accent"), width: 1.5, points: { show: false } },
      { scale: "memory", stroke: resolved("--amber"), width: 1.5, points: { show: false } },
    ],
  };
}
