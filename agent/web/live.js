// The live picture of one camera with what the model said of it.
import { Backoff, sleep } from "./backoff.js";
import { call } from "./client.js";
import { bars, byId, fill, make, setAttr, setError, setPill, setText, show } from "./element.js";
import { compact, count, decimal, model, percent, time } from "./numbers.js";
import { boxes, place } from "./overlay.js";
import { watch } from "./stream.js";

const rate = 10; // pictures a second
const tones = { running: "ok", waiting: "warn", ended: "off" };

export class Live {
  camera = "";
  #cameras = [];
  #online = false;
  #paused = false;
  #stop = new AbortController();
  #shown = null; // {bitmap, prediction}
  #next = null; // the newest that waits to be decoded
  #busy = false;
  #said = 0;

  constructor() {
    this.canvas = byId("picture");
    this.context = this.canvas.getContext("2d");
    byId("pause").onclick = () => this.#pause(!this.#paused);
    byId("snapshot").onclick = () => this.#snapshot();
    byId("tabs").onkeydown = event => this.#key(event);
    document.addEventListener("visibilitychange", () => this.#turn());
    new ResizeObserver(() => this.#draw()).observe(this.canvas);
    this.onselect = () => {};
  }

  // update takes the cameras' state, once a second.
  update(cameras) {
    this.#cameras = cameras;
    if (!cameras.some(c => c.name === this.camera)) this.#select(cameras[0]?.name ?? "");
    this.#tabs();
    this.#figures(cameras.find(c => c.name === this.camera));
  }

  // online says whether the agent can be asked at all.
  online(yes) {
    if (this.#online === yes) return;
    this.#online = yes;
    this.#turn();
  }

  #select(name) {
    if (this.camera === name) return;
    this.camera = name;
    this.#shown = null;
    this.#draw();
    setError(byId("snapshot-error"), "");
    this.#turn();
    this.onselect(name);
  }

  #pause(paused) {
    this.#paused = paused;
    setText(byId("pause"), paused ? "Resume" : "Pause");
    setAttr(byId("pause"), "aria-pressed", paused);
    this.#turn();
  }

  // turn ends the stream, so that the agent encodes nothing, and begins a new
  // one when somebody looks.
  #turn() {
    this.#stop.abort();
    const wanted = this.#online && !this.#paused && !document.hidden && this.camera;
    this.#blank(wanted ? "Waiting for a picture" : this.#reason());
    if (!wanted) return;
    this.#stop = new AbortController();
    this.#follow(this.camera, this.#stop.signal);
  }

  #reason() {
    if (!this.#online) return "No connection to the agent";
    if (!this.camera) return "No camera is configured. Add one under cameras: in the configuration.";
    return this.#paused ? "Paused: nothing is sent" : "";
  }

  // blank is what the stage says; the last picture stays behind it, dimmed.
  #blank(text) {
    setText(byId("blank"), text);
    show(byId("blank"), Boolean(text) && !(this.#paused && this.#shown));
    byId("stage").classList.toggle("stale", Boolean(text) && !this.#paused && this.#shown !== null);
    if (this.#paused) this.#note("paused");
  }

  #note(text) {
    setText(byId("frame-note"), text);
    show(byId("frame-note"), Boolean(text));
  }

  async #follow(camera, signal) {
    const backoff = new Backoff();
    while (!signal.aborted) {
      try {
        await watch(camera, rate, signal, picture => { backoff.reset(); this.#take(picture, signal); });
      } catch (error) {
        if (!signal.aborted) this.#blank(error.status ? error.message : "The live picture broke off. Trying again.");
      }
      await sleep(backoff.next(), signal);
    }
  }

  async #take(picture, signal) {
    this.#next = { picture, signal };
    if (this.#busy) return;
    this.#busy = true;
    while (this.#next) {
      const { picture: { jpeg, prediction }, signal } = this.#next;
      this.#next = null;
      try {
        const bitmap = await createImageBitmap(jpeg);
        if (signal.aborted) { bitmap.close(); continue; }
        this.#shown?.bitmap.close();
        this.#shown = { bitmap, prediction };
        this.#blank("");
        this.#draw();
      } catch { /* one bad picture: the next one comes at once */ }
    }
    this.#busy = false;
  }

  #draw() {
    const unit = devicePixelRatio || 1, { canvas, context } = this;
    const width = Math.round(canvas.clientWidth * unit), height = Math.round(canvas.clientHeight * unit);
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    context.clearRect(0, 0, width, height);
    const prediction = this.#shown?.prediction;
    const results = (prediction?.results ?? []).map(r => ({ ...r, text: percent(r.score) }));
    if (this.#shown) {
      const { bitmap } = this.#shown, area = place(canvas, bitmap.width, bitmap.height);
      context.drawImage(bitmap, area.x, area.y, area.w, area.h);
      boxes(context, results, area, unit);
    }
    const flat = results.filter(r => !r.box).slice(0, 5);
    show(byId("answers"), flat.length > 0);
    bars(byId("answers"), flat);
    if (!this.#paused) this.#note(!this.#shown || results.length ? "" : prediction ? "nothing found" : "frame was not inferred");
    this.#say(results);
  }

  // say keeps the picture's text alternative, calm enough to be read.
  #say(results) {
    if (Date.now() - this.#said < 2000 && this.#shown) return;
    this.#said = Date.now();
    const words = results.map(r => `${r.label} ${r.text}`).join(", ");
    setAttr(this.canvas, "aria-label", this.#shown ? `Live picture of ${this.camera}: ${words || "nothing found"}` : "Live picture: none yet");
  }

  async #snapshot() {
    const button = byId("snapshot"), camera = this.camera;
    button.disabled = true;
    setError(byId("snapshot-error"), "");
    try {
      const response = await call(`/api/cameras/${encodeURIComponent(camera)}/snapshot.jpg?overlay=1`);
      const link = make("a"), stamp = new Date().toISOString().replace(/[:.]/g, "-");
      link.href = URL.createObjectURL(await response.blob());
      link.download = `${camera}-${stamp}.jpg`;
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 10000);
    } catch (error) {
      setError(byId("snapshot-error"), `No snapshot: ${error.status ? error.message : "the agent does not answer"}`);
    }
    button.disabled = !camera;
  }

  #tabs() {
    show(byId("tabs"), this.#cameras.length > 1);
    byId("pause").disabled = byId("snapshot").disabled = !this.camera;
    fill(byId("tabs"), this.#cameras, () => {
      const tab = make("button");
      tab.type = "button";
      setAttr(tab, "role", "tab");
      setAttr(tab, "aria-controls", "camera");
      tab.onclick = () => this.#choose(tab.textContent);
      return tab;
    }, (tab, camera) => {
      const chosen = camera.name === this.camera;
      setText(tab, camera.name);
      setAttr(tab, "aria-selected", chosen);
      tab.tabIndex = chosen ? 0 : -1;
    });
  }

  #choose(name) {
    this.#select(name);
    this.update(this.#cameras);
  }

  #key(event) {
    const names = this.#cameras.map(c => c.name), now = names.indexOf(this.camera);
    const to = { ArrowRight: now + 1, ArrowLeft: now - 1, Home: 0, End: names.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    const at = (to + names.length) % names.length;
    this.#choose(names[at]);
    byId("tabs").children[at].focus();
  }

  #figures(camera) {
    const skipped = camera?.skipped ?? {}, reasons = Object.entries(skipped).filter(([, n]) => n > 0);
    setPill(byId("camera-state"), tones[camera?.state] ?? "off", camera?.state ?? "no camera");
    const restarts = camera?.restarts ? `restarted ${count(camera.restarts)} times` : "";
    const latest = camera?.latest ? `${model(camera.latest.model)} on ${camera.latest.delegate}, ${time(camera.latest.time)}` : camera?.model;
    setText(byId("camera-about"), camera ? [camera.source, latest, restarts].filter(Boolean).join(" · ") : "");
    const figures = {
      fps: decimal(camera?.fps), captured: compact(camera?.captured), predicted: compact(camera?.predicted), dropped: compact(camera?.dropped),
      skipped: camera ? compact(reasons.reduce((sum, [, n]) => sum + n, 0)) : "–", failed: compact(camera?.failed),
    };
    for (const [name, text] of Object.entries(figures)) setText(byId(`f-${name}`), text);
    setError(byId("skipped"), reasons.length ? `Skipped for ${reasons.map(([why, n]) => `${why.replace("_", " ")} ${count(n)}`).join(", ")}` : "");
    setError(byId("camera-error"), camera?.last_error ? `Last error: ${camera.last_error}` : "");
  }
}
