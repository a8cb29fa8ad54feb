// The live picture's bytes: multipart/x-mixed-replace, each part a JPEG with
// its length and, when it was inferred, its prediction.
import { call } from "./client.js";

const maxHead = 256 << 10, maxBody = 16 << 20; // bytes

// PartParser takes bytes as they come and gives the parts that are complete:
// {headers: Map of lower-case names, body: Uint8Array}.
export class PartParser {
  #boundary;
  #head = [];
  #headers = null;
  #body = null;
  #filled = 0;

  constructor(contentType) {
    const found = /^multipart\/x-mixed-replace\s*;.*\bboundary="?([^";]+)"?/i.exec(contentType ?? "");
    if (!found) throw new Error("the live picture has no multipart boundary");
    this.#boundary = found[1];
  }

  push(chunk) {
    const parts = [];
    for (let at = 0; at < chunk.length;) {
      at = this.#body ? this.#copy(chunk, at) : this.#read(chunk, at);
      if (this.#body && this.#filled === this.#body.length) {
        parts.push({ headers: this.#headers, body: this.#body });
        this.#body = null;
      }
    }
    return parts;
  }

  #copy(chunk, at) {
    const n = Math.min(chunk.length - at, this.#body.length - this.#filled);
    this.#body.set(chunk.subarray(at, at + n), this.#filled);
    this.#filled += n;
    return at + n;
  }

  // read collects a part's head up to its empty line.
  #read(chunk, at) {
    const head = this.#head;
    while (at < chunk.length) {
      const byte = chunk[at++];
      head.push(byte);
      const n = head.length;
      if (byte === 10 && head[n - 2] === 13 && head[n - 3] === 10 && head[n - 4] === 13 && n > 4) {
        this.#begin(new TextDecoder().decode(Uint8Array.from(head)));
        this.#head = [];
        return at;
      }
      if (n > maxHead) throw new Error("a part's head is too large");
    }
    return at;
  }

  #begin(text) {
    const [line, ...fields] = text.trim().split("\r\n");
    if (line !== `--${this.#boundary}`) throw new Error("a part does not begin with the boundary");
    this.#headers = new Map(fields.map(field => {
      const colon = field.indexOf(":");
      return [field.slice(0, colon).trim().toLowerCase(), field.slice(colon + 1).trim()];
    }));
    const length = this.#headers.get("content-length") ?? "";
    if (!/^\d{1,9}$/.test(length) || Number(length) > maxBody) throw new Error("a part's length is missing or too large");
    this.#body = new Uint8Array(Number(length));
    this.#filled = 0;
  }
}

// watch calls each with the pictures of a camera, {jpeg: Blob, prediction},
// until the signal is aborted or the agent ends the stream.
export async function watch(camera, fps, signal, each) {
  const response = await call(`/api/cameras/${encodeURIComponent(camera)}/stream.mjpeg?fps=${fps}`, { signal });
  const parser = new PartParser(response.headers.get("Content-Type"));
  const reader = response.body.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      // After a pause of the tab several may have come: only the newest counts.
      const part = parser.push(value).at(-1);
      if (part) each(picture(part));
    }
  } finally {
    reader.cancel().catch(() => { /* it is over anyway */ });
  }
}

function picture({ headers, body }) {
  const said = headers.get("x-egret-prediction");
  return {
    jpeg: new Blob([body], { type: "image/jpeg" }),
    prediction: said ? JSON.parse(said) : null,
  };
}
