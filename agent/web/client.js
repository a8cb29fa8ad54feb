// Requests to the agent, with the token when it wants one.
import { byId, show } from "./element.js";

const key = "egret-token";
let token = stored();
let asking = null;

// A browser may refuse storage; the token then lasts as long as the page.
function stored() {
  try { return sessionStorage.getItem(key) ?? ""; } catch { return ""; }
}

function keep(value) {
  token = value;
  try { sessionStorage.setItem(key, value); } catch { /* see stored */ }
}

// Refusal is an answer that is no success; its message is the agent's line.
export class Refusal extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

async function refusal(response) {
  let said = "";
  try { said = (await response.json()).error; } catch { /* no JSON: the status must do */ }
  return new Refusal(response.status, said || `The agent answered ${response.status} ${response.statusText}.`);
}

// fetched gives up when no answer begins within patience, in ms: a link that
// died without a word would hold the request for as long as TCP does.
async function fetched(path, { patience, ...init }) {
  if (!patience) return fetch(path, init);
  const late = new AbortController(), timer = setTimeout(() => late.abort(new Error("The agent is silent.")), patience);
  try {
    return await fetch(path, { ...init, signal: AbortSignal.any([init.signal, late.signal]) });
  } finally {
    clearTimeout(timer);
  }
}

// call fetches and gives the answer when it is a success. When the agent wants
// a token it asks for one and tries again. With a patience goes a signal.
export async function call(path, init = {}) {
  for (;;) {
    const used = token;
    const headers = used ? { ...init.headers, Authorization: `Bearer ${used}` } : init.headers;
    const response = await fetched(path, { ...init, headers, cache: "no-store" });
    if (response.ok) return response;
    if (response.status !== 401) throw await refusal(response);
    await response.body?.cancel();
    if (used === token) await (asking ??= ask(used !== ""));
    init.signal?.throwIfAborted();
  }
}

function ask(refused) {
  const dialog = byId("token"), form = byId("token-form"), field = byId("token-value");
  show(byId("token-error"), refused);
  return new Promise(resolve => {
    const stay = event => event.preventDefault(); // there is nothing behind the form to go back to
    dialog.addEventListener("cancel", stay);
    form.addEventListener("submit", event => {
      event.preventDefault();
      dialog.removeEventListener("cancel", stay);
      // What a header cannot hold is in no token, and would look like a dead link.
      keep(field.value.trim().replace(/[^\x20-\x7e]/g, ""));
      field.value = "";
      asking = null;
      dialog.close();
      resolve();
    }, { once: true });
    dialog.showModal();
  });
}
