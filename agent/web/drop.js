// A picture of one's own, asked of a model.
import { call } from "./client.js";
import { bars, byId, options, setAttr, setText, show } from "./element.js";
import { percent } from "./numbers.js";
import { boxes } from "./overlay.js";

const large = 1 << 20; // bytes; above, a picture is scaled down before it is sent
const side = 1280, small = 320; // pixels: more than any model's input, and for an agent that takes little

export class Drop {
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
      if (run !== this.#run) return bitmap.close();
      this.#show(bitmap, results);
      this.#say(`${results.length ? "" : "Nothing found. "}${name} answered in ${Math.round(performance.now() - began)} ms.`);
    } catch (error) {
      if (run === this.#run) this.#say(error.status || error.plain ? error.message : "The agent does not answer. Try again when it is back.", true);
    }
  }

  async #ask(name, file, bitmap) {
    const plain = /^image\/(jpeg|png)$/.test(file.type) && file.size <= large;
    const picture = plain ? file : await scaled(bitmap, side);
    try {
      return await ask(name, picture);
    } catch (error) {
      if (error.status !== 413) throw error;
      return ask(name, await scaled(bitmap, small));
    }
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

async function ask(name, picture) {
  const response = await call(`/api/models/${encodeURIComponent(name)}/predict`, {
    method: "POST", headers: { "Content-Type": picture.type }, body: picture,
  });
  return (await response.json()).results ?? [];
}
