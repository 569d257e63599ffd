// All that is known of a job, in words. Pure: a view in, sections of pairs out.

import { kindOfState, stateWord, why } from "../../states.js";
import { ago, bytes, count, duration } from "../../words.js";
import { secondsOfJob } from "../facts.js";

const time = (text, now) => (text ? { text: ago(text, now), at: text } : null);
const span = (seconds) => (seconds === null || seconds === undefined ? null : duration(seconds));
const seconds = (value) => (value !== null && value !== undefined && value < 1 ? `${Math.round(1000 * value)} ms` : span(value));
const size = (value) => (value === null || value === undefined ? null : `${bytes(value)} (${count(value)} bytes)`);
const number = (value) => (value === null || value === undefined ? null : count(value));
const yes = (value) => (value ? "yes" : null);

/** `[{title, pairs: [[name, value]]}]`; a value is text, or `{text, at}` for a time. Pairs that say
 * nothing, and sections without a pair, are left out. */
export function sections(view, now = Date.now()) {
  const { Limits: limits, Usage: usage, Output: output, Kill: kill } = view;
  const all = [
    {
      title: "Job",
      pairs: [
        ["State", [stateWord(view), why(view)].filter(Boolean).join(", ")],
        ["Exit code", number(view.ExitCode)],
        ["Signal", view.Signal],
        ["Reason", view.Reason],
        ["Error", view.Error],
        ["ID", view.ID],
        ["Name", view.Name],
        ["Labels", Object.entries(view.Labels).map(([key, value]) => `${key}=${value}`).join("\n")],
        ["Directory", view.WorkingDir],
        ["Variables", view.Environment.join("\n")],
        ["Uploaded files", (view.Files || []).map((file) => file.Path ?? file).join("\n")],
        ["Priority", view.Priority ? String(view.Priority) : null],
        ["Held", yes(view.Hold)],
        ["Standard input", yes(view.Stdin)],
        ["Terminal", view.TTY ? `${view.TTY.Rows} rows, ${view.TTY.Cols} columns` : null],
        ["Waits for input", yes(view.WaitingForInput)],
      ],
    },
    {
      title: "Times",
      pairs: [
        ["Submitted", time(view.CreatedAt, now)],
        ["Started", time(view.StartedAt, now)],
        ["Finished", time(view.FinishedAt, now)],
        ["Duration", span(secondsOfJob(view, now))],
      ],
    },
    {
      title: "Usage",
      pairs: [
        ["CPU time", usage ? seconds(usage.CPUSeconds) : null],
        ["Memory now", kindOfState(view) === "running" && usage ? size(usage.Memory) : null],
        ["Memory at most", usage ? size(usage.PeakMemory) : null],
        ["Processes", usage ? number(usage.Processes) : null],
        ["Output", size(output.Bytes)],
        ["Output is whole", view.FinishedAt ? (output.Complete ? "yes" : "no") : null],
        ["Dropped", (output.Gaps || []).map(gapInWords).join("\n")],
      ],
    },
    {
      title: "Limits",
      pairs: [
        ["Timeout", span(view.Timeout)],
        ["Timeout without output", span(view.IdleTimeout)],
        ["Timeout while pending", span(view.QueueTimeout)],
        ["Grace of a kill", span(view.Grace)],
        ["Memory", size(limits.Memory)],
        ["CPUs", limits.CPUs === null ? null : String(limits.CPUs)],
        ["Processes", number(limits.PIDs)],
        ["Open files", number(limits.OpenFiles)],
        ["Size of a file", size(limits.FileSize)],
      ],
    },
    {
      title: "Kill",
      pairs: kill
        ? [
            ["Requested", time(kill.RequestedAt, now)],
            ["Signals", kill.Signals.join(", ") || kill.Signal],
            ["Grace", span(kill.Grace)],
            ["Processes found", number(kill.Found)],
            ["KILL was needed", kill.Escalated ? "yes" : "no"],
            ["All seen gone", kill.VerifiedGone ? "yes" : "no"],
          ]
        : [],
    },
  ];
  for (const section of all) section.pairs = section.pairs.filter(([, value]) => value !== null && value !== undefined && value !== "");
  return all.filter((section) => section.pairs.length);
}

function gapInWords([from, to]) {
  return `${count(to - from)} bytes at ${count(from)}`;
}
