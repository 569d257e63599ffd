// The commands of a job as bars, whose widths are their durations. Pure.

// Percent: what a command has at least, to be seen and hit.
const LEAST = 4;

/** Seconds that a command took, or takes so far; null: it hasn't begun. */
export function secondsOf(command, now) {
  if (command.Duration !== null && command.Duration !== undefined) return command.Duration;
  if (!command.StartedAt) return null;
  const end = command.FinishedAt ? Date.parse(command.FinishedAt) : now;
  return Math.max(0, (end - Date.parse(command.StartedAt)) / 1000);
}

/** What a bar shows: `pending`, `running`, `exited`, `failed`, `killed` or `skipped`. */
export function kindOfCommand(command) {
  if (command.State !== "exited") return command.State;
  return command.ExitCode === 0 && !command.Error && !command.Signal ? "exited" : "failed";
}

const SHAPES = { pending: "◌", running: "●", exited: "✓", failed: "✕", killed: "⊘", skipped: "–" };

export function shapeOfCommand(command) {
  return SHAPES[kindOfCommand(command)] || "–";
}

/** How a command stands, in words. */
export function wordOfCommand(command) {
  if (command.OOMKilled) return "out of memory";
  if (command.Error) return command.Error;
  if (command.Signal) return command.Signal;
  if (command.ExitCode !== null && command.ExitCode !== undefined) return `exit ${command.ExitCode}`;
  if (command.Queued) return `waits in Slurm: ${command.Queued.Reason}`;
  return command.State;
}

/** The share of each command in percent, 100 in all: each has the least, the rest goes by time. */
export function shares(commands, now) {
  if (commands.length === 0) return [];
  const least = Math.min(LEAST, 100 / commands.length);
  const seconds = commands.map((command) => secondsOf(command, now) ?? 0);
  const all = seconds.reduce((sum, one) => sum + one, 0);
  const rest = 100 - least * commands.length;
  return seconds.map((one) => least + rest * (all ? one / all : 1 / commands.length));
}
