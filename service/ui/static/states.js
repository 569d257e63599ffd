// How a job stands and why, in shapes and words. Pure: views in, text out.

const SHAPES = { pending: "◌", running: "●", exited: "✓", failed: "✕", killed: "⊘" };

/** The state as it is shown: `exited` means with 0, `failed` otherwise. */
export function kindOfState(view) {
  if (view.State !== "exited") return view.State;
  return view.ExitCode === 0 && !view.Error ? "exited" : "failed";
}

export function shape(view) {
  return SHAPES[kindOfState(view)];
}

/** What a command runs, in one line: those of a script one behind the other. */
export function oneLine(command) {
  const lines = commandLine(command).split("\n").map((line) => line.trim());
  return lines.filter(Boolean).join(" ↵ ");
}

/** What a command runs. */
export function commandLine(command) {
  const line = command.CommandLine ?? (command.Arguments || []).join(" ");
  return command.Image ? `${command.Image} ${line}`.trim() : line;
}

/** The command that a job is at, or that decided how it ended. */
export function decisiveCommand(view) {
  const commands = view.Commands;
  const running = commands.find((command) => command.State === "running");
  if (running) return running;
  const wrong = commands.findLast((c) => c.Error || c.Signal || (c.ExitCode ?? 0) !== 0);
  return wrong || commands.findLast((command) => command.State === "exited") || commands[0];
}

const REASONS = {
  requested: "on request",
  timeout: "it ran longer than its timeout",
  "idle-timeout": "it was silent longer than its idle timeout",
  "queue-timeout": "it waited longer than its queue timeout",
  shutdown: "the service was stopped",
  output: "its output could not be written",
  lost: "the supervisor died",
};

/** The state in a word or two. */
export function stateWord(view) {
  switch (kindOfState(view)) {
    case "pending":
      return view.Hold ? "Held" : "Pending";
    case "running":
      return view.WaitingForInput ? "Waits for input" : "Running";
    case "killed":
      return "Killed";
    case "failed":
      if (view.Error) return "Failed";
      return view.Signal ? view.Signal : `Exit ${view.ExitCode}`;
    default:
      return "Exit 0";
  }
}

/** Why a job waits, or how it ended, as a part of a sentence; "" where there is nothing to say. */
export function why(view) {
  const decisive = decisiveCommand(view);
  const done = view.Commands.filter((command) => command.State === "exited").length;
  const of = view.Commands.length > 1 ? `${done} of ${view.Commands.length} commands done` : "";
  switch (kindOfState(view)) {
    case "pending":
      if (view.Hold) return "waits to be released";
      return view.Priority ? `waits for a run slot, priority ${view.Priority}` : "waits for a run slot";
    case "running":
      return of;
    case "killed":
      return REASONS[view.Reason] || view.Reason || "";
    case "failed": {
      if (decisive && decisive.OOMKilled) return "out of memory";
      if (view.Error) return view.Error;
      return view.Signal ? "a signal ended it" : "";
    }
    default:
      return "";
  }
}
