// The login: a token becomes a cookie, which no script can read.

import { html, render, useState } from "../vendor/htm-preact.js";
import { Bar } from "../bar.js";

/** `retry` shows what was asked for, and answers whether it may be seen now. */
export function mountLogin(root, page) {
  render(html`<${Login} ...${page} />`, root);
}

function Login({ api, session, retry }) {
  const [error, setError] = useState(null);
  const [busy, setBusy] = useState(false);

  async function logIn(event) {
    event.preventDefault();
    const field = event.target.elements.token;
    setBusy(true);
    try {
      await api.post("/login", { Token: field.value.trim() });
      field.value = "";
      if (await retry()) return;
      setError("You are logged in, but the browser doesn’t send the cookie. Does it take cookies?");
    } catch (problem) {
      setError(problem.status === 401 ? "This token isn’t good: it is mistyped, revoked or expired." : problem.message);
    }
    setBusy(false);
  }

  return html`<${Bar} api=${api} session=${session} />
    <main class="narrow">
      <form class="login" onSubmit=${logIn}>
        <h1>Log in</h1>
        <p class="muted">This service asks for a token. It is sent once, and kept nowhere in the browser.</p>
        <label for="token">Token</label>
        <input
          id="token" name="token" type="password" autocomplete="current-password" required autofocus
          spellcheck=${false} placeholder="jr_…" aria-describedby=${error ? "token-error" : null}
          aria-invalid=${error ? "true" : null}
        />
        ${error && html`<p id="token-error" class="problem" role="alert">${error}</p>`}
        <button class="primary" type="submit" disabled=${busy}>Log in</button>
        <p class="muted">
          An operator makes one: <code>jobrunner token create --name NAME --scope run</code>
        </p>
      </form>
    </main>`;
}
