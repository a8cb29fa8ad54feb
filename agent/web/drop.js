// A picture of one's own, asked of a model.
import { call } from "./client.js";
import { bars, byId, options, setAttr, setText, show } from "./element.js";
import { percent } from "./numbers.js";
import { boxes } from "./overlay.js";

const large = 1 << 20; // bytes; above, a picture is scaled down before it is sent
const least = .5; // score of a box that is shown: the answer has those below too
const side = 1280, small = 320; // pixels: more than any model's input, and for an agent that takes little

export class Drop {
  #tasks = new Map(); // by model
  #run = 0;

  constructor() {
    const zone = byId("zone"), file = byId("file");
    byId("choose").onclick = () => file.click();
    file.onchange = () => { this.#take(file.files[0]); file.value = ""; };
    const over = yes => event => { event.preventDefault(); zone.classList.toggle("over", yes); };
    zone.ondragover = zone.ondragenter = over(true);
    zone.ondragleave = over(false);
    zone.ondrop = event => { over(false)(event); this.#take(event.dataTransfer.files[0]); };
    // A picture that misses the zone must not replace the page.
    addEventListener("dragover", event => event.preventDefault());
    addEventListener("drop", event => event.preventDefault());
    addEventListener("paste", event => {
      const picture = [...event.clipboardData.files].find(f => f.type.startsWith("image/"));
      if (picture) this.#take(picture);
    });
  }

  models(list) {
    this.#tasks = new Map(list.map(m => [m.name, m.task]));
    // Classifiers first: they answer in words, whatever the picture.
    const sorted = list.toSorted((a, b) => (a.task === "detect") - (b.task === "detect"));
    options(byId("drop-model"), sorted.map(m => [m.name, `${m.name} (${m.task})`]));
  }

  async #take(file) {
    const run = ++this.#run, name = byId("drop-model").value;
    if (!file) return;
    if (!name) return this.#say("There is no model to ask.", true);
    this.#say("Asking…");
    bars(byId("drop-bars"), []);
    show(byId("drop-picture"), false);
    try {
      const bitmap = await open(file), began = performance.now();
      const results = await this.#ask(name, file, bitmap);
      if (run !== this.#run) return;
      this.#show(bitmap, results);
      const numbers = results.some(r => r.box) ? " A detector's own answer has numbers for its classes." : "";
      this.#say(`${results.length ? "" : "Nothing found. "}${name} answered in ${Math.round(performance.now() - began)} ms.${numbers}`);
    } catch (error) {
      if (run === this.#run) this.#say(error.status || error.plain ? error.message : "The agent does not answer. Try again when it is back.", true);
    }
  }

  async #ask(name, file, bitmap) {
    const plain = /^image\/(jpeg|png)$/.test(file.type) && file.size <= large;
    const picture = plain ? file : await scaled(bitmap, side);
    try {
      return await this.#send(name, picture);
    } catch (error) {
      if (error.status !== 413) throw error;
      return this.#send(name, await scaled(bitmap, small));
    }
  }

  #send(name, picture) {
    return this.#tasks.get(name) === "detect" ? detect(name, picture) : classify(name, picture);
  }

  #show(bitmap, results) {
    const canvas = byId("drop-picture"), scale = Math.min(1, 720 / Math.max(bitmap.width, bitmap.height));
    const list = results.map(r => ({ ...r, text: percent(r.score) }));
    Object.assign(canvas, { width: Math.round(bitmap.width * scale), height: Math.round(bitmap.height * scale) });
    const context = canvas.getContext("2d"), area = { x: 0, y: 0, w: canvas.width, h: canvas.height };
    context.drawImage(bitmap, 0, 0, area.w, area.h);
    show(canvas, true);
    boxes(context, list, area, canvas.width / Math.max(1, canvas.clientWidth));
    bars(byId("drop-bars"), list.slice(0, 5));
    bitmap.close();
  }

  #say(text, bad = false) {
    setText(byId("drop-note"), text);
    setAttr(byId("drop-note"), "class", bad ? "error" : "muted");
  }
}

function problem(message) {
  return Object.assign(new Error(message), { plain: true });
}

async function open(file) {
  try {
    return await createImageBitmap(file);
  } catch {
    throw problem("This is no picture that your browser can read. Try a JPEG or a PNG.");
  }
}

// scaled is the picture as JPEG, no side longer than longest.
async function scaled(bitmap, longest) {
  const scale = Math.min(1, longest / Math.max(bitmap.width, bitmap.height));
  const canvas = new OffscreenCanvas(Math.max(1, Math.round(bitmap.width * scale)), Math.max(1, Math.round(bitmap.height * scale)));
  canvas.getContext("2d").drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  return canvas.convertToBlob({ type: "image/jpeg", quality: .9 });
}

const address = (name, call) => `/v1/models/${encodeURIComponent(name)}${call}`;

async function classify(name, picture) {
  const { metadata } = await (await call(address(name, "/metadata"))).json();
  const [input] = Object.keys(metadata.signature_def.signature_def.serving_default.inputs);
  const response = await call(address(name, ":classify"), {
    method: "POST", headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ examples: [{ [input]: { b64: await base64(picture) } }] }),
  });
  // TensorFlow Serving documents one name and answers with the other.
  const { results, result } = await response.json();
  return ((results ?? result)?.[0] ?? []).map(([label, score]) => ({ label, score }));
}

async function detect(name, picture) {
  const response = await call(address(name, ":predict"), { method: "POST", headers: { "Content-Type": picture.type }, body: picture });
  return objects((await response.json()).predictions?.[0]).filter(r => r.score >= least);
}

function base64(blob) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result.slice(reader.result.indexOf(",") + 1));
    reader.onerror = () => reject(problem("The picture cannot be read."));
    reader.readAsDataURL(blob);
  });
}

// objects makes sense of an SSD's outputs, whose names differ between models:
// boxes [ymin, xmin, ymax, xmax], classes and scores, which are named so or
// come in that order. Classes are numbers: the model's words for them are not in
// this answer, and a detector has no :classify.
export function objects(outputs) {
  const named = Object.entries(outputs ?? {}).sort(([a], [b]) => a < b ? -1 : 1);
  const boxes = named.find(([, v]) => Array.isArray(v?.[0]) && v[0].length === 4)?.[1];
  const lists = named.filter(([, v]) => Array.isArray(v) && !Array.isArray(v[0]) && v.length === boxes?.length);
  const pick = (word, i) => (lists.find(([n]) => n.toLowerCase().includes(word)) ?? lists[i])?.[1];
  const classes = pick("class", 0), scores = pick("score", 1);
  if (!boxes || !scores) throw problem("This detector's answer has no boxes, classes and scores that this page knows.");
  return boxes.map(([y0, x0, y1, x1], i) => ({ label: `class ${classes[i]}`, score: scores[i], box: [x0, y0, x1, y1] }))
    .sort((a, b) => b.score - a.score);
}
