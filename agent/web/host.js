// The box itself. A sensor that it lacks is left out.
import { byId, fill, make, setAttr, setText } from "./element.js";
import { bytes, decimal, percent } from "./numbers.js";

const hot = 80, full = .9; // °C at which a Pi slows down; share of memory

export function showHost(host) {
  fill(byId("host"), gauges(host), () => make("div", "", make("dt"), make("dd"), make("i")), (row, gauge) => {
    setText(row.children[0], gauge.name);
    setText(row.children[1], gauge.text);
    row.children[2].hidden = gauge.share == null;
    row.children[2].style.setProperty("--share", Math.min(1, gauge.share ?? 0).toFixed(3));
    setAttr(row, "data-tone", gauge.bad ? "bad" : null);
  });
}

function gauges(host) {
  const list = [];
  const t = host.temperature_c, total = host.mem_total_bytes, free = host.mem_available_bytes;
  if (t != null) list.push({ name: "Temperature", text: `${decimal(t)} °C${t >= hot ? ", hot" : ""}`, share: t / 100, bad: t >= hot });
  if (host.throttled != null) list.push({ name: "Processor", text: host.throttled ? "▲ throttled" : "not throttled", bad: host.throttled });
  if (total && free != null) {
    const used = (total - free) / total;
    list.push({ name: "Memory in use", text: `${bytes(total - free)} of ${bytes(total)} (${percent(used)})`, share: used, bad: used > full });
  }
  if (host.rss_bytes != null) list.push({ name: "Of that, egret", text: bytes(host.rss_bytes), share: total ? host.rss_bytes / total : null });
  if (host.disk_free_bytes != null) list.push({ name: "Disk free", text: bytes(host.disk_free_bytes) + (host.disk_free_bytes < 100 << 20 ? ", low" : ""), bad: host.disk_free_bytes < 100 << 20 });
  if (host.load1 != null) list.push({ name: "Load, 1 min", text: decimal(host.load1, 2) });
  return list;
}
