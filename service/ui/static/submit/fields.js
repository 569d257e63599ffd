// Fields of a form, each with its label and the errors that the service has found in it.

import { html } from "../vendor/htm-preact.js";

/** The errors at `pointer` and below. */
function errorsAt(errors, pointer) {
  return errors.filter((e) => e.pointer === pointer || e.pointer.startsWith(`${pointer}/`));
}

const idOf = (pointer) => `field${pointer.replaceAll("/", "-")}`;

function Field({ label, pointer, errors, hint, children }) {
  const id = idOf(pointer);
  const wrong = errorsAt(errors, pointer);
  return html`<div class="field">
    <label for=${id}>${label}</label>
    ${children}
    <div id=${`${id}-told`}>
      ${wrong.map((e) => html`<p class="wrong">${sentence(e.detail)}</p>`)}
      ${!wrong.length && hint && html`<p class="hint">${hint}</p>`}
    </div>
  </div>`;
}

function attributes(pointer, errors) {
  const id = idOf(pointer);
  const isWrong = errorsAt(errors, pointer).length > 0;
  return { id, "aria-describedby": `${id}-told`, ...(isWrong && { "aria-invalid": "true" }) };
}

export function Text({ label, value, set, pointer, errors, hint = "", lines = 1, placeholder = "", autofocus = false }) {
  const common = {
    ...attributes(pointer, errors),
    value,
    placeholder,
    autofocus,
    spellcheck: false,
    autocomplete: "off",
    autocapitalize: "off",
    onInput: (event) => set(event.target.value),
  };
  return html`<${Field} label=${label} pointer=${pointer} errors=${errors} hint=${hint}>
    ${lines > 1 ? html`<textarea rows=${lines} ...${common}></textarea>` : html`<input type="text" ...${common} />`}
  <//>`;
}

export function Choice({ label, value, set, options, pointer, errors }) {
  return html`<${Field} label=${label} pointer=${pointer} errors=${errors}>
    <select ...${attributes(pointer, errors)} onChange=${(event) => set(event.target.value)}>
      ${options.map(([option, text]) => html`<option value=${option} selected=${option === value}>${text}</option>`)}
    </select>
  <//>`;
}

export function Check({ label, value, set }) {
  return html`<label class="check"><input type="checkbox" checked=${value} onChange=${(e) => set(e.target.checked)} /> ${label}</label>`;
}

/** What is wrong, above the form: a sentence, and the errors that have no field. */
export function Errors({ problem }) {
  if (!problem) return null;
  const elsewhere = problem.errors.filter((e) => !document.getElementById(idOf(e.pointer)) && !/^\/(Labels|Environment|Commands\/\d+\/Environment)(\/|$)/.test(e.pointer));
  if (!problem.message && !elsewhere.length) return null;
  return html`<div class="problem" role="alert">
    ${problem.message && html`<p>${problem.message}</p>`}
    ${elsewhere.map((e) => html`<p>${e.pointer}: ${e.detail}</p>`)}
  </div>`;
}

function sentence(detail) {
  const text = detail[0].toUpperCase() + detail.slice(1);
  return /[.!?”]$/.test(text) ? text : `${text}.`;
}
