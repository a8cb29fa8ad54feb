// Boxes over a picture.

// A label keeps its colour. Colours help to tell boxes apart that overlap; what
// each is, its words say.
const colours = ["#5fe3d2", "#ffd166", "#9db8ff", "#ff9d8a", "#b8e986", "#e3a8ff"];
const colour = label => colours[[...label].reduce((sum, c) => sum * 31 + c.codePointAt(0) >>> 0, 7) % colours.length];

// place is where a picture of width × height lies, as large as it can, in the
// middle of a canvas.
export function place(canvas, width, height) {
  const scale = Math.min(canvas.width / width, canvas.height / height);
  const w = width * scale, h = height * scale;
  return { x: (canvas.width - w) / 2, y: (canvas.height - h) / 2, w, h };
}

// boxes draws results that have one; unit is a CSS pixel in the canvas's.
export function boxes(context, results, area, unit) {
  context.font = `600 ${13 * unit}px system-ui, sans-serif`;
  context.textBaseline = "middle";
  // The best last, so that its label lies on top.
  for (const result of [...results].reverse()) if (result.box) box(context, result, area, unit);
}

function box(context, { box: [x0, y0, x1, y1], label, text }, area, unit) {
  const x = area.x + x0 * area.w, y = area.y + y0 * area.h;
  const w = (x1 - x0) * area.w, h = (y1 - y0) * area.h;
  // A dark line under the light one stands out from every picture.
  for (const [stroke, width] of [["#04211dcc", 4], [colour(label), 2]]) {
    context.strokeStyle = stroke;
    context.lineWidth = width * unit;
    context.strokeRect(x, y, w, h);
  }
  const words = `${label} ${text}`, height = 20 * unit;
  const width = context.measureText(words).width + 12 * unit;
  const left = Math.max(area.x, Math.min(x, area.x + area.w - width));
  const top = y - height < area.y ? Math.max(y, area.y) : y - height;
  context.fillStyle = "#04211de6";
  context.fillRect(left, top, width, height);
  context.fillStyle = colour(label);
  context.fillText(words, left + 6 * unit, top + height / 2 + unit);
}
