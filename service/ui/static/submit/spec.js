// Between the fields of the form and a job as the API takes it. Pure.

/** The fields of a command as they are empty. */
export function emptyCommand() {
  return { kind: "bash", line: "", image: "", dir: "", environment: "", goOn: false, network: "", pull: "missing", shell: false,
    partition: "", time: "", processors: "", memory: "", gpus: "" };
}

/** All fields as they are empty. */
export function emptyFields() {
  return {
    commands: [emptyCommand()],
    name: "", labels: "", dir: "", environment: "",
    timeout: "", idleTimeout: "", queueTimeout: "", grace: "", priority: "", outputLimit: "",
    input: "none", rows: "", cols: "", hold: false,
    cpus: "", memory: "", pids: "", fileSize: "", openFiles: "",
  };
}

/** The pairs of lines `name=value`. Raises: Error, naming the line. */
export function pairs(text, what) {
  const found = {};
  for (const line of text.split("\n").filter((l) => l.trim())) {
    const at = line.indexOf("=");
    if (at < 1) throw new FieldError(what, `Expected lines of the form name=value, got “${line.trim()}”.`);
    found[line.slice(0, at).trim()] = line.slice(at + 1);
  }
  return found;
}

/** What is wrong with a field, before the service is asked. */
export class FieldError extends Error {
  constructor(pointer, detail) {
    super(detail);
    this.pointer = pointer;
  }
}

/** A number with a unit of time (`90`, `10m`, `2h`) in seconds; undefined for nothing. */
export function seconds(text, pointer) {
  if (!text.trim()) return undefined;
  const found = /^(\d+(?:\.\d+)?)\s*(s|m|h|d)?$/.exec(text.trim());
  if (!found) throw new FieldError(pointer, `Expected a duration such as 90, 10m or 2h, got “${text}”.`);
  return Number(found[1]) * { s: 1, m: 60, h: 3600, d: 86_400 }[found[2] || "s"];
}

/** A size with a unit (`512M`, `2 GiB`: powers of 1024) in bytes; undefined for nothing. */
export function size(text, pointer) {
  if (!text.trim()) return undefined;
  const found = /^(\d+(?:\.\d+)?)\s*([kmgt]?)i?b?$/i.exec(text.trim());
  if (!found) throw new FieldError(pointer, `Expected a size such as 512M or 2G, got “${text}”.`);
  return Math.round(Number(found[1]) * 1024 ** " kmgt".indexOf(found[2].toLowerCase() || " "));
}

function number(text, pointer) {
  if (!String(text).trim()) return undefined;
  const value = Number(text);
  if (!Number.isFinite(value)) throw new FieldError(pointer, `Expected a number, got “${text}”.`);
  return value;
}

/** The job that the fields mean; `base` is a job as it was asked for, whose keys without a field stay.
 * Raises: FieldError. */
export function jobOf(fields, base = {}) {
  const limits = {
    ...base.Limits,
    CPUs: number(fields.cpus, "/Limits/CPUs"),
    Memory: size(fields.memory, "/Limits/Memory"),
    PIDs: number(fields.pids, "/Limits/PIDs"),
    OpenFiles: number(fields.openFiles, "/Limits/OpenFiles"),
    FileSize: size(fields.fileSize, "/Limits/FileSize"),
  };
  const made = {
    Name: fields.name || undefined,
    Labels: pairs(fields.labels, "/Labels"),
    WorkingDir: fields.dir || undefined,
    Environment: pairs(fields.environment, "/Environment"),
    Timeout: seconds(fields.timeout, "/Timeout"),
    IdleTimeout: seconds(fields.idleTimeout, "/IdleTimeout"),
    QueueTimeout: seconds(fields.queueTimeout, "/QueueTimeout"),
    Grace: seconds(fields.grace, "/Grace"),
    Priority: number(fields.priority, "/Priority"),
    OutputLimit: size(fields.outputLimit, "/OutputLimit"),
    Hold: fields.hold || undefined,
    Stdin: fields.input === "stdin" || undefined,
    TTY: fields.input === "tty" ? terminal(fields) : undefined,
    Limits: limits,
    Commands: fields.commands.map(commandOf),
  };
  return withoutEmpty(made);
}

function terminal(fields) {
  return withoutEmpty({ Rows: number(fields.rows, "/TTY/Rows"), Cols: number(fields.cols, "/TTY/Cols") });
}

function commandOf(fields, n) {
  const at = `/Commands/${n}`;
  const made = {
    ...fields.base,
    Kind: fields.kind,
    WorkingDir: fields.dir || undefined,
    Environment: pairs(fields.environment, `${at}/Environment`),
    ContinueOnFailure: fields.goOn || undefined,
    Network: fields.network || undefined,
  };
  if (fields.kind === "docker") {
    made.Image = fields.image;
    made.CommandLine = fields.line || undefined;
    if (made.CommandLine) delete made.Arguments;
    made.Pull = fields.pull === "missing" ? undefined : fields.pull;
    made.Shell = fields.shell || undefined;
  } else if (fields.kind === "slurm") {
    made.CommandLine = fields.line;
    made.Slurm = slurmOf(fields, `${at}/Slurm`);
  } else {
    made.CommandLine = fields.line;
  }
  const clean = withoutEmpty(made);
  if (fields.kind === "bash") clean.CommandLine = fields.line; // the service says what is wrong with ""
  return clean;
}

/** What a command asks of its cluster; keys without a field stay. */
function slurmOf(fields, at) {
  const asked = withoutEmpty({
    ...fields.base?.Slurm,
    Partition: fields.partition || undefined,
    Time: seconds(fields.time, `${at}/Time`),
    CPUs: number(fields.processors, `${at}/CPUs`),
    Memory: size(fields.memory, `${at}/Memory`),
    GPUs: fields.gpus || undefined,
  });
  if (asked.Options && asked.Options.length === 0) delete asked.Options;
  return Object.keys(asked).length ? asked : undefined;
}

function withoutEmpty(made) {
  return Object.fromEntries(
    Object.entries(made).filter(([, value]) => {
      if (value === undefined || value === null) return false;
      if (typeof value === "object" && !Array.isArray(value)) return Object.values(value).some((v) => v !== undefined) || value === made.TTY;
      return true;
    }).map(([key, value]) => [key, key === "Limits" ? withoutEmpty(value) : value]),
  );
}

// Not as they were asked for: how the command stands, names without values, the resolved directory.
const OF_VIEW_ONLY = [
  "State", "ExitCode", "Signal", "Error", "OOMKilled", "StartedAt", "FinishedAt", "Duration", "Environment", "WorkingDir",
  "SlurmJobID", "Nodes", "Queued",
];

/** The directory of a command as it can be asked for again: one below the job's is relative. */
function directoryOf(command, view) {
  const [own, jobs] = [command.WorkingDir, view.WorkingDir];
  if (!own || own === jobs) return "";
  return own.startsWith(`${jobs}/`) ? own.slice(jobs.length + 1) : own;
}

/** The fields that show a job as it was asked for, from its view. The values of variables aren't
 * in it: the service has them (`patchOf`). */
export function fieldsOf(view) {
  const text = (value) => (value === null || value === undefined ? "" : String(value));
  const lines = (labels) => Object.entries(labels).map(([key, value]) => `${key}=${value}`).join("\n");
  const limits = view.Limits || {};
  return {
    ...emptyFields(),
    commands: view.Commands.map((command) => {
      const base = Object.fromEntries(Object.entries(command).filter(([key]) => !OF_VIEW_ONLY.includes(key)));
      return {
        ...emptyCommand(),
        base,
        kind: command.Kind,
        line: command.CommandLine ?? "",
        dir: directoryOf(command, view),
        image: command.Image || "",
        goOn: Boolean(command.ContinueOnFailure),
        network: command.Network || "",
        pull: command.Pull || "missing",
        shell: command.Shell === true,
        partition: text(command.Slurm?.Partition), time: text(command.Slurm?.Time), processors: text(command.Slurm?.CPUs),
        memory: text(command.Slurm?.Memory), gpus: text(command.Slurm?.GPUs),
      };
    }),
    name: text(view.Name),
    labels: lines(view.Labels),
    timeout: text(view.Timeout), idleTimeout: text(view.IdleTimeout), queueTimeout: text(view.QueueTimeout),
    priority: view.Priority ? text(view.Priority) : "",
    input: view.TTY ? "tty" : view.Stdin ? "stdin" : "none",
    rows: text(view.TTY && view.TTY.Rows), cols: text(view.TTY && view.TTY.Cols),
    cpus: text(limits.CPUs), memory: text(limits.Memory), pids: text(limits.PIDs),
    fileSize: text(limits.FileSize), openFiles: text(limits.OpenFiles),
  };
}

/** What changed between two jobs, as a merge patch (RFC 7396): what `POST /<ID>/rerun` takes. */
export function patchOf(before, after) {
  const patch = {};
  for (const key of new Set([...Object.keys(before), ...Object.keys(after)])) {
    const [a, b] = [before[key], after[key]];
    if (JSON.stringify(a) === JSON.stringify(b)) continue;
    const objects = [a, b].every((v) => v && typeof v === "object" && !Array.isArray(v));
    patch[key] = b === undefined ? null : objects ? patchOf(a, b) : b;
  }
  return patch;
}
