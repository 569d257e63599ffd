// Where the page begins: reads what the shell says, and shows the view that it names.

import { createApi } from "./api.js";
import { applyTheme } from "./theme.js";

const VIEWS = {
  list: async (root, page) => (await import("./list/page.js")).mountList(root, page),
  async job(root, page) {
    const asked = page.api.job(page.id);
    asked.catch(() => {}); // the view says so
    return (await import("./job/page.js")).mountJob(root, { ...page, asked });
  },
  login: async (root, page) => (await import("./login/page.js")).mountLogin(root, page),
  error: async (root, page) => (await import("./error/page.js")).mountError(root, page),
};

/** What a view gets. `session`: `{user, scopes, byLogin}`; `seq`: the number of the last change when
 * the shell was made, `after` which changes are to be asked for; `principal`: who submitted the job. */
function described(dataset) {
  const scopes = (dataset.scopes || "").split(" ").filter(Boolean);
  return {
    view: dataset.view,
    id: dataset.id,
    seq: Number(dataset.seq || 0),
    title: dataset.title,
    detail: dataset.detail,
    principal: dataset.principal,
    session: {
      user: dataset.user,
      scopes,
      mayRun: scopes.includes("run"),
      byLogin: dataset.login !== undefined,
    },
  };
}

/** Asks for the shell again. A link of another site comes without the cookie of a login
 * (SameSite=Strict), and a login happens without a reload: this request is the page's own. */
async function renewedShell() {
  const answer = await fetch(location.pathname + location.search, { headers: { Accept: "text/html" } });
  const shell = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const name of Object.keys(document.body.dataset)) delete document.body.dataset[name];
  Object.assign(document.body.dataset, shell.body.dataset);
  document.title = shell.title;
  return answer.status !== 401;
}

async function show() {
  const root = document.getElementById("root");
  const page = described(document.body.dataset);
  const api = createApi({
    prefix: document.body.dataset.prefix,
    onUnauthenticated: () => {
      if (document.body.dataset.view !== "login") location.reload();
    },
  });
  await VIEWS[page.view](root, { ...page, api, retry: renew });
}

/** After a login: whether there is something else to see now. */
async function renew() {
  if (!(await renewedShell())) return false;
  document.getElementById("root").replaceChildren();
  await show();
  return true;
}

applyTheme();
if (document.body.dataset.view !== "login" || !(await renew())) await show();
