// Recent predictions: the live ones at the top, older ones by pages.
import { call } from "./client.js";
import { byId, fill, make, options, setAttr, setText, show } from "./element.js";
import { millis, model, percent, time, timeTitle } from "./numbers.js";

const page = 50, beat = 500; // rows; ms between updates

export class Predictions {
  #rows = []; // newest first
  #waiting = [];
  #next = "";
  #trimmed = false; // live ones have pushed others out
  #held = false;
  #timer = 0;
  #calm = 0;
  #asked = new AbortController();

  constructor() {
    byId("hold").onclick = () => this.#hold(!this.#held);
    byId("older").onclick = () => this.#older();
    const form = byId("filter");
    form.onsubmit = event => event.preventDefault();
    form.oninput = () => {
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => this.load(), 250);
    };
    setInterval(() => this.#flush(), beat);
  }

  cameras(names) { options(byId("by-camera"), [["", "all"], ...names.map(n => [n, n])]); }

  // add takes one as it happens.
  add(prediction) {
    if (!this.#wanted(prediction)) return;
    this.#waiting.push(prediction);
    if (this.#waiting.length > page) this.#waiting.shift();
  }

  // missed says that some were not told of: the agent remembers them. Who is too
  // slow for the events must not be made slower, hence the pause.
  missed() {
    if (this.#held || Date.now() < this.#calm) return;
    this.#calm = Date.now() + 10000;
    this.load();
  }

  #query() {
    const query = new URLSearchParams({ limit: page });
    const score = Number(byId("by-score").value) / 100;
    if (byId("by-camera").value) query.set("camera", byId("by-camera").value);
    if (byId("by-label").value.trim()) query.set("label", byId("by-label").value.trim());
    if (score > 0) query.set("min_score", Math.min(1, score));
    return query;
  }

  // wanted is the agent's filter, for those that come live.
  #wanted(p) {
    const query = this.#query(), label = query.get("label")?.toLowerCase(), least = Number(query.get("min_score") ?? 0);
    if (query.has("camera") && p.camera !== query.get("camera")) return false;
    if (!label && !least) return true;
    return p.results.some(r => (!label || r.label.toLowerCase() === label) && r.score >= least);
  }

  // sync begins anew after a gap, unless somebody reads what is there.
  sync() { if (!this.#held) this.load(); }

  // load begins anew with the newest.
  async load() {
    this.#asked.abort();
    this.#asked = new AbortController();
    try {
      this.#waiting = []; // those that come from now on may be in the answer too
      const got = await this.#fetch(this.#query());
      this.#rows = got.predictions;
      this.#trimmed = false;
      this.#draw();
    } catch (error) {
      if (error.name === "AbortError") return;
      this.#rows = [];
      this.#draw(`No predictions: ${error.status ? error.message : "the agent does not answer"}`);
    }
  }

  async #fetch(query) {
    const got = await (await call(`/api/predictions?${query}`, { signal: this.#asked.signal })).json();
    this.#next = got.next ?? "";
    show(byId("older"), Boolean(this.#next));
    return got;
  }

  // older shows one page more, and pauses, or what is read would move away.
  async #older() {
    const button = byId("older"), query = this.#query();
    this.#hold(true);
    button.disabled = true;
    // When live ones have pushed others out, the page's mark lies behind those.
    if (this.#trimmed) query.set("limit", 2 * page);
    else query.set("before", this.#next);
    try {
      const got = await this.#fetch(query);
      this.#rows = this.#trimmed ? got.predictions : this.#rows.concat(got.predictions);
      this.#trimmed = false;
      setText(button, "Older");
      this.#draw();
    } catch (error) {
      if (error.name !== "AbortError") setText(button, "Older: that failed, try again");
    }
    button.disabled = false;
  }

  #hold(held) {
    this.#held = held;
    setText(byId("hold"), held ? "Resume" : "Pause");
    setAttr(byId("hold"), "aria-pressed", held);
    if (!held) this.load();
  }

  #flush() {
    if (this.#held || document.hidden || !this.#waiting.length) return;
    const known = new Set(this.#rows.map(identity));
    const fresh = this.#waiting.filter(p => !known.has(identity(p))).reverse();
    this.#waiting = [];
    // As many rows as a page has: a list that grew would move what lies below.
    this.#rows = fresh.concat(this.#rows);
    if (this.#rows.length > page) {
      this.#rows.length = page;
      this.#trimmed = true;
      show(byId("older"), true);
    }
    this.#draw();
  }

  #draw(error) {
    show(byId("list-note"), !this.#rows.length);
    setText(byId("list-note"), error ?? (this.#query().size > 1 ? "None match the filter. Widen it to see more." : "Nothing yet: the first prediction will appear here."));
    fill(byId("list"), this.#rows, row, update);
  }
}

// summary names each label once, with its best score: a street may have ten cars.
function summary(results) {
  const groups = Map.groupBy(results, r => r.label);
  return [...groups.values()].map(g => `${g[0].label} ${percent(g[0].score)}${g.length > 1 ? ` ×${g.length}` : ""}`).join(", ");
}

const identity = p => p.id || `${p.camera} ${p.time}`;

function row() {
  const cells = ["time", "camera", "result", "score num", "also", "model", "latency num"].map(name => make("td", name));
  const node = make("tr", "", ...cells);
  // A phone's layout takes the table's roles away.
  setAttr(node, "role", "row");
  for (const cell of cells) setAttr(cell, "role", "cell");
  return node;
}

function update(node, p) {
  const key = identity(p);
  if (node.dataset.key === key) return;
  node.dataset.key = key;
  const [at, camera, result, score, also, by, latency] = node.children, [best, ...others] = p.results;
  setText(at, time(p.time));
  setAttr(at, "title", `${timeTitle(p.time)}, clock ${p.clock}`);
  setText(camera, p.camera);
  setText(result, best?.label ?? "nothing");
  setText(score, best ? percent(best.score) : "");
  setText(also, summary(others));
  if (!p.id) also.append(" ", make("small", "", "not kept"));
  setText(by, model(p.model));
  setAttr(by, "title", `${p.delegate}${p.converted ? ` as ${p.converted}` : ""}, ${p.model.digest}`);
  setText(latency, millis(p.latency_us.total));
  setAttr(latency, "title", `waited ${millis(p.latency_us.wait)}, decoded in ${millis(p.latency_us.decode)}, inferred in ${millis(p.latency_us.invoke)}`);
}
