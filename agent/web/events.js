// Server-sent events by fetch: EventSource cannot send a token.
import { Backoff, sleep } from "./backoff.js";
import { call } from "./client.js";

const silence = 8000; // ms; the state comes every second, so this is a dead link
const longest = 4 << 20; // characters of one event

// EventParser takes text as it comes and gives the events that are complete.
export class EventParser {
  #rest = "";
  #type = "";
  #data = [];
  #size = 0;

  push(text) {
    const events = [];
    const lines = (this.#rest + text).split("\n");
    this.#rest = lines.pop();
    if (this.#rest.length > longest) throw new Error("an event is too large");
    for (const line of lines) this.#line(line.replace(/\r$/, ""), events);
    return events;
  }

  #line(line, events) {
    if (line === "") {
      if (this.#data.length) events.push({ type: this.#type || "message", data: this.#data.join("\n") });
      this.#type = "";
      this.#data = [];
      this.#size = 0;
      return;
    }
    const colon = line.indexOf(":");
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (name === "event") this.#type = value;
    if (name !== "data") return;
    this.#data.push(value);
    this.#size += value.length;
    if (this.#size > longest) throw new Error("an event is too large");
  }
}

// Connection holds the page to the agent: it reads the whole state, then
// follows the events, and begins anew when the link breaks. Nothing is asked
// for while the page is hidden.
export class Connection {
  #wake = new AbortController();
  #link = new AbortController();

  // handlers: event(type, data), link(word, {error, wait}).
  constructor(handlers) {
    this.handlers = handlers;
    document.addEventListener("visibilitychange", () => document.hidden ? this.#link.abort() : this.retry());
    addEventListener("online", () => this.retry());
  }

  // retry cuts a wait short.
  retry() { this.#wake.abort(); }

  async run() {
    const backoff = new Backoff();
    for (;;) {
      let error = await this.#follow(backoff);
      this.#wake = new AbortController();
      if (document.hidden) {
        this.handlers.link("hidden", {});
        await sleep(2 ** 31 - 1, this.#wake.signal);
        continue;
      }
      const wait = backoff.next();
      this.handlers.link("lost", { error, wait });
      await sleep(wait, this.#wake.signal);
    }
  }

  // A fault of this page's is no fault of the link: it is reported as what it is.
  #tell(type, data) {
    try { this.handlers.event(type, data); } catch (error) { reportError(error); }
  }

  async #follow(backoff) {
    const link = this.#link = new AbortController();
    let watchdog = 0;
    const alive = () => {
      clearTimeout(watchdog);
      watchdog = setTimeout(() => link.abort(new Error("The agent is silent.")), silence);
    };
    try {
      if (document.hidden) return null;
      const init = { signal: link.signal, patience: silence };
      this.#tell("state", await (await call("/api/status", init)).json());
      const response = await call("/api/events", init);
      this.handlers.link("live", {});
      const parser = new EventParser(), reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      for (alive(); ;) {
        const { done, value } = await reader.read();
        if (done) throw new Error("The agent ended the connection.");
        alive();
        for (const event of parser.push(value)) {
          backoff.reset();
          this.#tell(event.type, JSON.parse(event.data));
        }
      }
    } catch (error) {
      return error;
    } finally {
      clearTimeout(watchdog);
      link.abort();
    }
  }
}
