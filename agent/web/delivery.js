// What became of every prediction that was kept, and the broker's state.
import { byId, fill, make, setAttr, setError, setPill, setText } from "./element.js";
import { bytes, count, duration, percent, time, timeTitle } from "./numbers.js";

const words = { acknowledged: "Acknowledged", held: "Held in memory", stored: "Stored on disk", dropped: "Dropped" };

export function showDelivery({ delivery, flash, broker, time: now }) {
  const reasons = Object.entries(delivery.dropped ?? {}).filter(([, n]) => n > 0);
  const dropped = reasons.reduce((sum, [, n]) => sum + n, 0);
  const parts = Object.entries({ acknowledged: delivery.acknowledged, held: delivery.held, stored: delivery.stored, dropped });
  setText(byId("produced"), count(delivery.produced));
  stack(parts, delivery.produced);
  const rows = [...parts.map(([part, n]) => ({ part, name: words[part], n })), ...reasons.map(([why, n]) => ({ part: "reason", name: why.replaceAll("_", " "), n }))];
  fill(byId("account"), rows, () => make("div", "", make("dt"), make("dd")), (row, { part, name, n }) => {
    setAttr(row, "data-part", part);
    setText(row.children[0], name);
    setText(row.children[1], count(n));
  });
  setText(byId("sum"), sum(parts, delivery, flash));
  showBroker(broker, now);
}

function stack(parts, produced) {
  fill(byId("stack"), parts, () => make("i"), (bar, [part, n]) => {
    setAttr(bar, "data-part", part);
    const basis = `${produced ? n / produced * 100 : 0}%`;
    if (bar.style.flexBasis !== basis) bar.style.flexBasis = basis;
    bar.classList.toggle("some", n > 0);
  });
  const text = parts.filter(([, n]) => n > 0).map(([part, n]) => `${words[part]} ${percent(n / produced)}`).join(", ");
  setAttr(byId("stack"), "aria-label", text || "Nothing produced yet");
}

function sum(parts, delivery, flash) {
  const all = parts.reduce((total, [, n]) => total + n, 0);
  const adds = all === delivery.produced ? "Adds up to what was produced." : `Adds up to ${count(all)}, not to what was produced: please report this.`;
  const more = [adds];
  if (delivery.stored_bytes) more.push(`${bytes(delivery.stored_bytes)} stored.`);
  if (delivery.duplicated) more.push(`${count(delivery.duplicated)} may have arrived twice.`);
  if (flash?.written_bytes) more.push(`${bytes(flash.written_bytes)} written to flash.`);
  if (flash?.postponed) more.push("Writing waits for the flash budget: a power cut loses more.");
  return more.join(" ");
}

function showBroker(broker, now) {
  const pill = byId("broker-state");
  if (!broker.enabled) {
    setPill(pill, "off", "Broker off");
    setText(byId("broker-about"), "Results stay on this device. Switch mqtt on to send them.");
    return setError(byId("broker-error"), "");
  }
  setPill(pill, broker.connected ? "ok" : "bad", broker.connected ? "Broker connected" : "Broker away");
  const since = broker.since ? `since ${time(broker.since)} (${duration(Math.max(0, (new Date(now) - new Date(broker.since)) / 1000))})` : "";
  const tries = broker.attempts > 1 || !broker.connected ? `${count(broker.attempts)} attempts` : "";
  setText(byId("broker-about"), [broker.address, since, tries].filter(Boolean).join(" · "));
  setAttr(byId("broker-about"), "title", broker.since ? timeTitle(broker.since) : null);
  setError(byId("broker-error"), broker.last_error ? `${broker.connected ? "Before that" : "Last error"}: ${broker.last_error}` : "");
}
