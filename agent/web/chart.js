// A small line chart: SVG paths that are reused, and a cursor for pointer and
// keyboard whose reading is the chart's text.
import { make, setAttr, setText } from "./element.js";
import { duration } from "./numbers.js";

const svgns = "http://www.w3.org/2000/svg";
const width = 600, height = 100; // of the drawing, stretched to the page's

function shape(svg, className) {
  const node = document.createElementNS(svgns, "path");
  node.setAttribute("class", className);
  return svg.appendChild(node);
}

// ceiling is the next round number above the highest value.
function ceiling(value) {
  if (!(value > 0)) return 1;
  const unit = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 4, 6, 8, 10].map(n => n * unit).find(n => n >= value);
}

export class Chart {
  #points = [];
  #cursor = null; // index of a point
  #from = 0;
  #to = 1;

  // lines are [{key, name}], one or two; format writes a value. The time shown
  // grows with the points from least to span, in ms.
  constructor(parent, { title, lines, format, least, span }) {
    Object.assign(this, { title, lines, format, least, span });
    const svg = document.createElementNS(svgns, "svg");
    for (const [name, value] of [["viewBox", `0 0 ${width} ${height}`], ["preserveAspectRatio", "none"], ["aria-hidden", "true"]]) svg.setAttribute(name, value);
    shape(svg, "grid").setAttribute("d", [0, 50, 100].map(y => `M0 ${y}H${width}`).join(""));
    this.mark = shape(svg, "cursor");
    this.paths = lines.map((_, i) => shape(svg, i ? "second" : "first"));
    this.ticks = [0, 50].map(y => {
      const tick = make("span", "tick");
      tick.style.top = `${y}%`;
      return tick;
    });
    this.reading = make("span");
    this.plot = make("div", "plot", svg, ...this.ticks);
    const keys = lines.length > 1 ? lines.map((line, i) => make("span", i ? "key second" : "key", line.name)) : [];
    this.start = make("span");
    const axis = [this.start, make("span", "", ...keys), make("span", "", "now")];
    parent.append(make("div", "chart", make("div", "chart-head", make("b", "", title), this.reading), this.plot, make("div", "axis", ...axis)));
    this.#listen();
  }

  #listen() {
    const { plot } = this;
    plot.tabIndex = 0;
    // A slider is what a reader moves along by arrow keys and hears the value of.
    setAttr(plot, "role", "slider");
    setAttr(plot, "aria-label", `${this.title}, last minutes: arrow keys move through time`);
    plot.onkeydown = event => {
      const last = this.#points.length - 1, at = this.#cursor ?? last;
      const to = { ArrowLeft: at - 1, ArrowRight: at + 1, PageUp: at - 30, PageDown: at + 30, Home: 0, End: last }[event.key];
      if (event.key === "Escape") this.#point(null);
      if (to === undefined) return;
      event.preventDefault();
      this.#point(Math.max(0, Math.min(last, to)));
    };
    plot.onpointermove = event => {
      const box = plot.getBoundingClientRect();
      const time = this.#from + (event.clientX - box.left) / box.width * (this.#to - this.#from);
      this.#point(this.#nearest(time));
    };
    plot.onpointerleave = plot.onblur = () => this.#point(null);
  }

  #nearest(time) {
    let best = null;
    this.#points.forEach((p, i) => {
      if (best === null || Math.abs(p.time - time) < Math.abs(this.#points[best].time - time)) best = i;
    });
    return best;
  }

  #point(index) {
    this.#cursor = index === null || index < 0 ? null : index;
    this.#read();
  }

  // update draws points {time, <key>: number or null}, oldest first, of which
  // dropped have left at the front since the last time.
  update(points, now, dropped = 0) {
    this.#points = points;
    this.#to = now;
    const shown = Math.min(this.span, Math.max(this.least, now - (points[0]?.time ?? now)));
    this.#from = now - shown;
    setText(this.start, `${duration(shown / 1000)} ago`);
    if (this.#cursor !== null) this.#cursor = Math.max(0, Math.min(points.length - 1, this.#cursor - dropped));
    if (!points.length) this.#cursor = null;
    const highest = Math.max(0, ...points.flatMap(p => this.lines.map(line => p[line.key] ?? 0))), top = ceiling(highest);
    this.lines.forEach((line, i) => this.paths[i].setAttribute("d", this.#path(line.key, top)));
    this.ticks.forEach((tick, i) => setText(tick, highest ? this.format(i ? top / 2 : top) : ""));
    this.#read();
  }

  // path leaves a gap where a value is missing or the page did not listen.
  #path(key, top) {
    let d = "", before = null;
    for (const p of this.#points) {
      const value = p[key];
      if (value != null) d += `${before !== null && p.time - before < 5000 ? "L" : "M"}${this.#x(p.time)} ${(height - value / top * height).toFixed(1)}`;
      before = value == null ? null : p.time;
    }
    return d;
  }

  #x(time) { return ((time - this.#from) / (this.#to - this.#from) * width).toFixed(1); }

  #read() {
    const p = this.#points[this.#cursor ?? this.#points.length - 1];
    const values = p ? this.lines.map(line => `${this.lines.length > 1 ? line.name + " " : ""}${this.format(p[line.key])}`).join(" · ") : "no values yet";
    const ago = p && this.#cursor !== null ? `${Math.round((this.#to - p.time) / 1000)} s ago: ` : "";
    setText(this.reading, ago + values);
    this.mark.setAttribute("d", ago ? `M${this.#x(p.time)} 0V${height}` : "");
    const last = Math.max(0, this.#points.length - 1);
    setAttr(this.plot, "aria-valuemin", 0);
    setAttr(this.plot, "aria-valuemax", last);
    setAttr(this.plot, "aria-valuenow", this.#cursor ?? last);
    setAttr(this.plot, "aria-valuetext", (ago || "now: ") + values);
  }
}
