// The form for a new job: one command, or several, and behind "More" all that a job can have.

import { html, useRef, useState } from "../vendor/htm-preact.js";
import { Modal } from "../confirm.js";
import { visible } from "../words.js";
import { Check, Choice, Errors, Text } from "./fields.js";
import { FieldError, emptyCommand, emptyFields, fieldsOf, jobOf, patchOf } from "./spec.js";

/** `from`: the view of a job that is to run again, with what is changed here. */
export function Form({ api, from = null, close }) {
  const [fields, setFields] = useState(() => (from ? fieldsOf(from) : emptyFields()));
  const [initial] = useState(() => (from ? fieldsOf(from) : null));
  const [problem, setProblem] = useState(null);
  const [busy, setBusy] = useState(false);
  const form = useRef(null);
  const set = (changes) => setFields((old) => ({ ...old, ...changes }));
  const setCommand = (n, changes) =>
    setFields((old) => ({ ...old, commands: old.commands.map((c, i) => (i === n ? { ...c, ...changes } : c)) }));
  const errors = problem ? problem.errors : [];

  async function submitted(event) {
    event.preventDefault();
    setBusy(true);
    try {
      const made = await send(api, from, initial, fields);
      location.assign(api.href(`/${made.ID}`));
    } catch (error) {
      setBusy(false);
      if (error instanceof FieldError) setProblem({ message: "", errors: [{ pointer: error.pointer, detail: error.message }] });
      else setProblem({ message: error.message, errors: error.errors || [] });
      requestAnimationFrame(() => form.current.querySelector("[aria-invalid=true], .problem")?.scrollIntoView({ block: "center" }));
    }
  }

  const title = from ? `Rerun ${visible(from.Name || from.ID.slice(0, 8))}` : "New job";
  const runsSoon = (event) => (event.ctrlKey || event.metaKey) && event.key === "Enter" && form.current.requestSubmit();
  return html`<${Modal} label=${title} close=${close} wide>
    <form ref=${form} class="submit" onSubmit=${submitted} onKeyDown=${runsSoon} novalidate>
      <h2>${title}</h2>
      <${Errors} problem=${problem} />
      ${fields.commands.map(
        (command, n) => html`<${Command}
          key=${n} n=${n} command=${command} errors=${errors} isOnly=${fields.commands.length === 1}
          set=${(changes) => setCommand(n, changes)}
          remove=${() => set({ commands: fields.commands.filter((_, i) => i !== n) })}
        />`,
      )}
      <button type="button" class="add" onClick=${() => set({ commands: [...fields.commands, emptyCommand()] })}>Add a command</button>
      ${from && from.Commands.some((c) => c.Environment.length > 0) &&
      html`<p class="hint">If you change the commands, enter their own variables again: no view has the values.</p>`}
      <div class="fields">
        <${Text} label="Name" value=${fields.name} set=${(name) => set({ name })} pointer="/Name" errors=${errors} />
        <${Text} label="Labels" hint="One name=value a line" lines=${2} value=${fields.labels} set=${(labels) => set({ labels })} pointer="/Labels" errors=${errors} />
      </div>
      <${More} fields=${fields} set=${set} errors=${errors} from=${from} />
      <div class="buttons">
        <button type="button" onClick=${close}>Cancel</button>
        <button class="primary" type="submit" disabled=${busy}>${from ? "Run again" : "Run"}</button>
      </div>
    </form>
  <//>`;
}

/** A rerun is a patch of what was asked for: the service still has the values of the variables. */
async function send(api, from, initial, fields) {
  const job = jobOf(fields);
  if (!from) return api.post("/", job);
  const patch = patchOf(jobOf(initial), job);
  return api.post(`/${from.ID}/rerun`, patch, { headers: { "Content-Type": "application/merge-patch+json" } });
}

function Command({ n, command, set, remove, errors, isOnly }) {
  const at = `/Commands/${n}`;
  const isDocker = command.kind === "docker";
  const isSlurm = command.kind === "slurm";
  const asked = (name, label, key, placeholder) => html`<${Text} label=${label} value=${command[name]} set=${(value) => set({ [name]: value })} pointer=${`${at}/Slurm/${key}`} errors=${errors} placeholder=${placeholder} />`;
  const own = errors.filter((e) => e.pointer.startsWith(`${at}/`));
  const behind = own.some((e) => !/\/(CommandLine|Image|Kind)$/.test(e.pointer));
  return html`<fieldset>
    <legend>${isOnly ? "Command" : `Command ${n + 1}`}</legend>
    <div class="row kinds">
      <${Choice} label="Runs in" value=${command.kind} set=${(kind) => set({ kind })} pointer=${`${at}/Kind`} errors=${errors}
        options=${[["bash", "a shell (bash)"], ["docker", "a container (docker)"], ["slurm", "a cluster (slurm)"]].concat(["bash", "docker", "slurm"].includes(command.kind) ? [] : [[command.kind, command.kind]])} />
      ${isDocker && html`<div class="grow"><${Text} label="Image" value=${command.image} set=${(image) => set({ image })} placeholder="debian:stable" pointer=${`${at}/Image`} errors=${errors} /></div>`}
      ${isSlurm && html`<div class="grow">${asked("partition", "Partition", "Partition", "the default")}</div>`}
    </div>
    <${Text} label="Command line" lines=${Math.min(12, Math.max(2, command.line.split("\n").length))} value=${command.line}
      set=${(line) => set({ line })} pointer=${`${at}/CommandLine`} errors=${errors} autofocus=${n === 0}
      hint=${isDocker ? "Empty: what the image runs" : ""} />
    <details open=${behind || null}>
      <summary>More of this command</summary>
      <div class="fields">
        <${Text} label="Directory" value=${command.dir} set=${(dir) => set({ dir })} pointer=${`${at}/WorkingDir`} errors=${errors} placeholder="that of the job" />
        ${!isSlurm && html`<${Text} label="Network" value=${command.network} set=${(network) => set({ network })} pointer=${`${at}/Network`} errors=${errors} placeholder=${isDocker ? "Docker’s own" : "host or none"} />`}
        ${isDocker && html`<${Choice} label="Pull the image" value=${command.pull} set=${(pull) => set({ pull })} pointer=${`${at}/Pull`} errors=${errors} options=${[["missing", "if it is missing"], ["always", "always"], ["never", "never"]]} />`}
        ${isSlurm && asked("time", "Time limit", "Time", "2h")}
        ${isSlurm && asked("processors", "Processors of each task", "CPUs", "1")}
        ${isSlurm && asked("memory", "Memory on each node", "Memory", "4G")}
        ${isSlurm && asked("gpus", "GPUs", "GPUs", "1 or type:1")}
        <${Text} label="Variables" lines=${2} value=${command.environment} set=${(environment) => set({ environment })} pointer=${`${at}/Environment`} errors=${errors} hint="One name=value a line" />
      </div>
      ${isDocker && html`<${Check} label="The image’s sh runs the line" value=${command.shell} set=${(shell) => set({ shell })} />`}
      <${Check} label="Go on with the next command if this one fails" value=${command.goOn} set=${(goOn) => set({ goOn })} />
    </details>
    ${!isOnly && html`<button type="button" class="quiet" onClick=${remove}>Remove command ${n + 1}</button>`}
  </fieldset>`;
}

function More({ fields, set, errors, from }) {
  const shown = ["/Name", "/Labels", "/Commands"];
  const hasError = errors.some((e) => e.pointer && !shown.some((p) => e.pointer === p || e.pointer.startsWith(`${p}/`)));
  const text = (name, label, pointer, more = {}) => html`<${Text}
    label=${label} value=${fields[name]} set=${(value) => set({ [name]: value })} pointer=${pointer} errors=${errors} ...${more} />`;
  const kept = from && from.Environment.length ? `Kept: ${from.Environment.map(visible).join(", ")}. Lines here add or replace.` : "One name=value a line";
  return html`<details class="more" open=${hasError || null}>
    <summary>More</summary>
    <div class="fields">
      ${text("dir", "Directory", "/WorkingDir", { placeholder: from ? "as before" : "one of its own" })}
      ${text("environment", "Variables", "/Environment", { lines: 2, hint: kept })}
    </div>
    <div class="fields">
      <${Choice} label="Input" value=${fields.input} set=${(input) => set({ input })} pointer="/Stdin" errors=${errors}
        options=${[["none", "none"], ["stdin", "a standard input"], ["tty", "a terminal"]]} />
      ${fields.input === "tty" && text("rows", "Rows", "/TTY/Rows", { placeholder: "24" })}
      ${fields.input === "tty" && text("cols", "Columns", "/TTY/Cols", { placeholder: "80" })}
    </div>
    <div class="fields">
      ${text("timeout", "Timeout", "/Timeout", { placeholder: "never; 90, 10m, 2h" })}
      ${text("idleTimeout", "Timeout without output", "/IdleTimeout", { placeholder: "never" })}
      ${text("queueTimeout", "Timeout while pending", "/QueueTimeout", { placeholder: "never" })}
      ${text("grace", "Grace of a kill", "/Grace", { placeholder: from ? "as before" : "10" })}
      ${text("priority", "Priority", "/Priority", { placeholder: "0" })}
    </div>
    <div class="fields">
      ${text("cpus", "CPUs", "/Limits/CPUs", { placeholder: "all" })}
      ${text("memory", "Memory", "/Limits/Memory", { placeholder: "no limit; 512M" })}
      ${text("pids", "Processes", "/Limits/PIDs", { placeholder: "no limit" })}
      ${text("openFiles", "Open files", "/Limits/OpenFiles", { placeholder: "no limit" })}
      ${text("fileSize", "Size of a file", "/Limits/FileSize", { placeholder: "no limit" })}
      ${text("outputLimit", "Output that is kept", "/OutputLimit", { placeholder: from ? "as before" : "all" })}
    </div>
    <${Check} label="Hold: it waits until it is released" value=${fields.hold} set=${(hold) => set({ hold })} />
  </details>`;
}
