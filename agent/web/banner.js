// The top of the page: which device this is and how it is.
import { byId, fill, make, setAttr, setPill, setText, show } from "./element.js";
import { count, duration, timeTitle } from "./numbers.js";

const clocks = { synced: ["ok", "Clock synced"], corrected: ["ok", "Clock corrected"], unsynced: ["warn", "Clock not set"] };

export function showBanner(state) {
  document.title = `${state.device} · egret`;
  setText(byId("device"), state.device);
  setText(byId("about"), `fleet ${state.fleet} · egret ${state.version} · up ${duration(state.uptime_s)} · start ${count(state.boot)}`);
  const reasons = state.not_ready;
  setPill(byId("ready"), reasons.length ? "warn" : "ok", reasons.length ? "Not ready" : "Ready");
  fill(byId("reasons"), reasons, () => make("li"), setText);
  show(byId("reasons"), reasons.length > 0);
  const [tone, text] = clocks[state.clock] ?? ["off", `Clock ${state.clock}`];
  setPill(byId("clock"), tone, text, timeTitle(state.time));
  show(byId("clock"), true);
  const r = state.requests;
  setText(byId("requests"), `Requests: ${count(r.answered)} answered, ${count(r.refused)} refused, ${count(r.late)} late, ${count(r.failed)} failed`);
}

// spoken is what a screen reader is told: a change, not each attempt.
let spoken = "";

function speak(text) {
  if (spoken === text) return;
  setText(byId("spoken"), spoken === "" && text === "Connected." ? "" : text);
  spoken = text;
}

// showLink says how the page itself is connected.
export function showLink(word, { error, wait } = {}) {
  const pills = { live: ["ok", "Live"], lost: ["bad", "Disconnected"], hidden: ["off", "Asleep"] };
  setPill(byId("link"), ...pills[word]);
  document.body.classList.toggle("lost", word === "lost");
  setText(byId("notice-title"), word === "lost" ? title(error) : "");
  setText(byId("notice-text"), word === "lost" ? `${advice(error)} Trying again in ${count(Math.ceil(wait / 1000))} s.` : "");
  show(byId("notice"), word === "lost");
  if (word !== "hidden") speak(word === "lost" ? `${title(error)} ${advice(error)}` : "Connected.");
  if (word !== "live") for (const id of ["ready", "clock"]) setAttr(byId(id), "data-tone", "off");
}

function title(error) {
  return error?.status ? `The agent refused: ${error.message}` : "The agent does not answer.";
}

function advice(error) {
  if (error?.status === 429 || error?.status === 503) return "Close other dashboards or wait a moment.";
  if (error?.status) return "Look at the agent's log.";
  return "Is it running, and is the network up? What you see is the last that it said.";
}
