// What is asked before a kill, a clean or a filtered download, and the form of a rerun.

import { html, useEffect, useState } from "../../vendor/htm-preact.js";
import { Confirm, Modal } from "../../confirm.js";
import { visible } from "../../words.js";
import { Help } from "../keys.js";
import { fileName } from "../lines.js";

/** `dialog`: `{is, more}`. */
export function Dialog({ dialog, api, view, close }) {
  const name = visible(view.Name || view.ID.slice(0, 8));
  switch (dialog.is) {
    case "help":
      return html`<${Help} close=${close} />`;
    case "rerun":
      return html`<${Rerun} api=${api} view=${view} close=${close} />`;
    case "kill":
      return html`<${Kill} api=${api} view=${view} name=${name} signal=${dialog.more} close=${close} />`;
    case "clean":
      return html`<${Confirm}
        title=${`Clean ${name}?`} verb="Clean" close=${close}
        onConfirm=${async () => {
          await api.post(`/${view.ID}/clean`);
          location.assign(api.href("/"));
        }}
      ><p>Its record, its output and its files are deleted, for good.</p><//>`;
    default:
      return html`<${Filter} api=${api} view=${view} close=${close} />`;
  }
}

function Kill({ api, view, name, signal, close }) {
  const isKill = signal === "KILL";
  return html`<${Confirm}
    title=${`Kill ${name}?`} verb=${`Send ${signal}`} close=${close}
    onConfirm=${(form) => api.delete(`/${view.ID}`, { signal, grace: form.grace?.value || null })}
  >
    <p>All its processes get ${signal}${isKill ? " at once." : ", and KILL when the grace is over."}</p>
    ${!isKill && html`<div class="fields"><label>Grace, seconds <input name="grace" type="number" min="0" step="any" placeholder=${view.Grace} /></label></div>`}
  <//>`;
}

/** The form is loaded when it is wanted. */
function Rerun({ api, view, close }) {
  const [Form, setForm] = useState(null);
  useEffect(() => {
    import("../../submit/form.js").then((module) => setForm(() => module.Form));
  }, []);
  return Form && html`<${Form} api=${api} from=${view} close=${close} />`;
}

/** Lines that match, to download; the service is asked first whether it can read the pattern. */
function Filter({ api, view, close }) {
  const [found] = useState(searchedFor);
  const [error, setError] = useState(null);

  async function wanted(event) {
    event.preventDefault();
    const { pattern, ignore, invert } = event.target.elements;
    const path = `/${view.ID}/output`;
    const parameters = { grep: pattern.value, ignore_case: ignore.checked || null, invert: invert.checked || null, format: "text" };
    try {
      await api.send("HEAD", path, { parameters });
    } catch (problem) {
      // The answer to HEAD has no body that would say more.
      return setError(problem.status === 400 ? "The pattern can’t be read as a regular expression of RE2." : problem.message);
    }
    const link = document.createElement("a");
    link.href = api.href(path, parameters);
    link.download = fileName(view, "matching.log");
    link.click();
    close();
  }

  return html`<${Modal} label="Download lines that match" close=${close}>
    <form onSubmit=${wanted}>
      <h2>Download lines that match</h2>
      <div class="fields"><label>Pattern <input name="pattern" defaultValue=${found} required spellcheck=${false} autocomplete="off" /></label></div>
      <label class="check"><input type="checkbox" name="ignore" /> Upper and lower case are the same</label>
      <label class="check"><input type="checkbox" name="invert" /> Lines that don’t match instead</label>
      <p class="hint">A regular expression in the syntax of RE2.</p>
      ${error && html`<p class="problem" role="alert">${error}</p>`}
      <div class="buttons">
        <button type="button" onClick=${close}>Cancel</button>
        <button class="primary" type="submit">Download</button>
      </div>
    </form>
  <//>`;
}

/** What is searched for in the log now. */
function searchedFor() {
  return document.querySelector(".log-host input[type=search]")?.value || "";
}
