// The models that are loaded, and the release that is under way.
import { byId, fill, make, setAttr, setPill, setText, show } from "./element.js";
import { bytes, count, decimal, millis, percent } from "./numbers.js";

export function showModels(models) {
  const rows = models.flatMap(m => m.versions.length
    ? m.versions.flatMap(v => v.interpreters.map(it => ({ m, v, it })))
    : [{ m }]);
  fill(byId("models"), rows, () => {
    const tags = make("span", "line");
    return make("li", "", make("p", "line", make("strong"), tags), make("p", "muted small"));
  }, row);
}

function row(node, { m, v, it }) {
  const [head, about] = node.children, [name, tags] = head.children;
  setText(name, it?.name ?? m.name);
  setAttr(name, "title", v?.digest);
  const labels = v ? Object.entries(m.labels ?? {}).filter(([, n]) => n === v.version).map(([label]) => label) : [];
  fill(tags, [m.task, v && `v${v.version}`, v?.serving && "serving", ...labels, it?.camera && `own of ${it.camera}`].filter(Boolean), () => make("span", "tag"), setText);
  setText(about, it ? `${speed(it)} · ${work(it)}` : "not loaded");
}

const speed = it => `${it.delegate}${it.converted ? ` as ${it.converted}` : ""}, ${count(it.threads)} ${it.threads === 1 ? "thread" : "threads"} · p50 ${millis(it.invoke_us_p50)} · p95 ${millis(it.invoke_us_p95)}`;

function work(it) {
  const words = [`${count(it.answered)} answered`];
  if (it.failed) words.push(`${count(it.failed)} failed`);
  if (it.waiting) words.push(`${count(it.waiting)} waiting`);
  if (it.duty < 1) words.push(`slowed to ${percent(it.duty)} by heat`);
  return words.join(" · ");
}

const tones = { rejected: "bad", rolled_back: "bad", committed: "ok", idle: "off" };
const way = ["downloading", "verifying", "probing", "shadow", "trial", "committed"];

export function showRelease(update) {
  const known = update && (update.state !== "idle" || update.reason);
  show(byId("release"), Boolean(known));
  if (!known) return;
  const { state, model } = update, at = way.indexOf(state);
  setText(byId("release-name"), [update.release, model && `${model.name} v${model.version}`].filter(Boolean).join(": "));
  setPill(byId("release-state"), tones[state] ?? "busy", state.replace("_", " "));
  // How far an attempt that ended badly had come is not said: its reason tells.
  show(byId("steps"), at >= 0);
  fill(byId("steps"), way, () => make("li"), (node, step, i) => {
    setText(node, step);
    node.className = i < at || state === "committed" ? "done" : "";
    setAttr(node, "aria-current", i === at ? "step" : null);
  });
  progress(state, update.progress);
  setText(byId("release-reason"), update.reason);
  setText(byId("release-proof"), proof(update.proof));
}

function progress(state, p) {
  show(byId("release-progress"), Boolean(p?.of));
  if (!p?.of) return;
  Object.assign(byId("release-bar"), { max: p.of, value: p.done });
  const write = state === "downloading" ? bytes : count;
  setText(byId("release-count"), `${write(p.done)} of ${write(p.of)}${state === "downloading" ? "" : " frames"}`);
}

function proof(p) {
  if (!p) return "";
  const words = [];
  if (p.golden) words.push(`${count(p.golden)} samples right`);
  if (p.frames) words.push(`${count(p.frames)} frames compared`);
  if (p.agreement != null) words.push(`${percent(p.agreement)} agree`);
  if (p.slowdown != null) words.push(`${decimal(p.slowdown, 2)} × the time`);
  if (p.memory_bytes) words.push(bytes(p.memory_bytes));
  if (p.answered || p.failed) words.push(`${count(p.answered)} answered in trial, ${count(p.failed)} failed`);
  if (p.confirmed) words.push("broker confirmed");
  return words.join(" · ");
}
