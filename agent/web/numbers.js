// Numbers and times as the reader's language writes them.

const whole = new Intl.NumberFormat(undefined, { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat(undefined, { notation: "compact", maximumFractionDigits: 1 });
const digits = [0, 1, 2].map(n => new Intl.NumberFormat(undefined, { maximumFractionDigits: n, minimumFractionDigits: n }));
const share = new Intl.NumberFormat(undefined, { style: "percent", maximumFractionDigits: 0 });
const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });
const day = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const full = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "long" });

export const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
export const count = n => n == null ? "–" : whole.format(n);
export const compact = n => n == null ? "–" : n < 1e5 ? whole.format(n) : short.format(n);
export const decimal = (n, places = 1) => n == null ? "–" : digits[places].format(n);
export const percent = n => n == null ? "–" : share.format(n);

// time is the hour today, and the day too for others; title has the zone.
export function time(value) {
  const at = new Date(value);
  return at.toDateString() === new Date().toDateString() ? clock.format(at) : day.format(at);
}
export const timeTitle = value => `${full.format(new Date(value))} (${zone})`;

export function bytes(n) {
  if (n == null) return "–";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let i = 0;
  for (; n >= 1024 && i < units.length - 1; i++) n /= 1024;
  return `${n < 10 && i > 0 ? digits[1].format(n) : whole.format(n)} ${units[i]}`;
}

export function duration(seconds) {
  const parts = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  const i = Math.max(0, parts.findIndex(([size], j) => seconds >= size || j === 3));
  const [size, unit] = parts[i];
  const first = `${whole.format(Math.floor(seconds / size))}\u00a0${unit}`;
  const rest = i < 2 ? Math.floor(seconds % size / parts[i + 1][0]) : 0;
  return rest ? `${first}\u00a0${rest}\u00a0${parts[i + 1][1]}` : first;
}

// millis is microseconds as milliseconds with three digits that count.
export function millis(us) {
  if (!us) return "–";
  const ms = us / 1000;
  return `${digits[ms < 10 ? 2 : ms < 100 ? 1 : 0].format(ms)} ms`;
}

// model is a model's name with its version, the digest left to a title.
export const model = m => m ? `${m.name} v${m.version}` : "–";
