// Rate and latency of each camera and model over the last five minutes, as the
// page has seen them.
import { Chart } from "./chart.js";
import { byId, options } from "./element.js";
import { decimal, millis } from "./numbers.js";

const span = 5 * 60 * 1000, rateWindow = 5000, rateLeast = 2000, latencyWindow = 10000; // ms
const most = 400; // points of a series, one a second

const quantile = (sorted, q) => sorted.length ? sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] : null;

class Series {
  points = [];
  dropped = 0; // points that left since they were drawn

  add(now, total, p50, p95) {
    const past = this.points.findLast(p => p.time <= now - rateWindow) ?? this.points[0];
    // A smaller total is another start of the agent.
    const rate = past && total >= past.total && now >= past.time + rateLeast ? (total - past.total) / (now - past.time) * 1000 : null;
    if (past && total < past.total) for (const p of this.points) p.total = total;
    this.points.push({ time: now, total, rate, p50, p95 });
    while (this.points.length > most || this.points[0].time < now - span) {
      this.points.shift();
      this.dropped++;
    }
  }
}

export class History {
  #series = new Map(); // by "camera bird" or "model classifier"
  #latencies = new Map(); // by camera, [{time, us}]
  #choice = "";

  constructor() {
    const parent = byId("charts");
    this.rate = new Chart(parent, { title: "Predictions per second", lines: [{ key: "rate", name: "rate" }], format: v => decimal(v), least: 60000, span });
    this.latency = new Chart(parent, { title: "Latency", lines: [{ key: "p50", name: "p50" }, { key: "p95", name: "p95" }], format: v => v == null ? "–" : millis(v), least: 60000, span });
    byId("series").onchange = event => { this.#choice = event.target.value; this.#draw(); };
  }

  // follow shows a camera's series, unless it is there already.
  follow(camera) {
    this.#choice = `camera ${camera}`;
    byId("series").value = this.#choice;
    this.#draw();
  }

  prediction(p) {
    const list = this.#latencies.get(p.camera) ?? [];
    list.push({ time: performance.now(), us: p.latency_us.total });
    if (list.length > 500) list.splice(0, 250);
    this.#latencies.set(p.camera, list);
  }

  // update takes the device's state, once a second.
  update(state) {
    const now = performance.now(), list = [];
    for (const camera of state.cameras) {
      list.push([`camera ${camera.name}`, `camera ${camera.name}, capture to result`]);
      const recent = (this.#latencies.get(camera.name) ?? []).filter(l => l.time > now - latencyWindow);
      this.#latencies.set(camera.name, recent);
      const sorted = recent.map(l => l.us).sort((a, b) => a - b);
      this.#add(`camera ${camera.name}`, now, camera.predicted, quantile(sorted, .5), quantile(sorted, .95));
    }
    for (const it of state.models.flatMap(m => m.versions).flatMap(v => v.interpreters)) {
      list.push([`model ${it.name}`, `model ${it.name}, one inference`]);
      this.#add(`model ${it.name}`, now, it.answered, it.invoke_us_p50 || null, it.invoke_us_p95 || null);
    }
    const known = new Set(list.map(([key]) => key));
    for (const key of this.#series.keys()) if (!known.has(key)) this.#series.delete(key);
    options(byId("series"), list);
    if (!known.has(this.#choice)) this.#choice = list[0]?.[0] ?? "";
    byId("series").value = this.#choice;
    this.#draw();
  }

  #add(key, ...point) {
    if (!this.#series.has(key)) this.#series.set(key, new Series());
    this.#series.get(key).add(...point);
  }

  #draw() {
    const series = this.#series.get(this.#choice) ?? new Series(), now = performance.now();
    for (const chart of [this.rate, this.latency]) chart.update(series.points, now, series.dropped);
    series.dropped = 0;
  }
}
