// The page's parsers, fed in pieces of every size; gives the first thing that
// is wrong, or nothing.
(async () => {
  const { PartParser } = await import("./stream.js");
  const { EventParser } = await import("./events.js");
  const same = (got, want, what) => {
    if (JSON.stringify(got) !== JSON.stringify(want)) throw new Error(`${what}: got ${JSON.stringify(got)}, want ${JSON.stringify(want)}`);
  };
  const fails = (f, what) => {
    try { f(); } catch { return; }
    throw new Error(`${what}: no error`);
  };
  const encode = text => new TextEncoder().encode(text), decode = bytes => new TextDecoder().decode(bytes);
  const type = "multipart/x-mixed-replace; boundary=egret";

  const stream = encode("--egret\r\nContent-Type: image/jpeg\r\nContent-Length: 6\r\nX-Egret-Prediction: {\"label\":\"Zürich: a\"}\r\n\r\nab\r\n\r\n\r\n"
    + "--egret\r\ncontent-length:0\r\n\r\n\r\n--egret\r\nContent-Length: 7\r\n\r\n--egret\r\n--egret--\r\n");
  for (let size = 1; size <= stream.length; size++) {
    const parser = new PartParser(type), parts = [];
    for (let at = 0; at < stream.length; at += size) parts.push(...parser.push(stream.subarray(at, at + size)));
    same(parts.map(p => decode(p.body)), ["ab\r\n\r\n", "", "--egret"], `bodies in pieces of ${size}`);
    same(parts[0].headers.get("x-egret-prediction"), "{\"label\":\"Zürich: a\"}", `a header in pieces of ${size}`);
  }
  new PartParser("multipart/x-mixed-replace;boundary=\"egret\"").push(stream);
  for (const bad of ["image/jpeg", "", null, "multipart/x-mixed-replace"]) fails(() => new PartParser(bad), `type ${bad}`);
  for (const bad of ["--other\r\nContent-Length: 1\r\n\r\n", "--egret\r\n\r\n", "--egret\r\nContent-Length: -1\r\n\r\n",
    "--egret\r\nContent-Length: 99999999\r\n\r\n", "--egret\r\nContent-Length: 1e3\r\n\r\n", "x".repeat(300 << 10)]) {
    fails(() => new PartParser(type).push(encode(bad)), `part ${bad.slice(0, 40)}`);
  }

  const text = ": hello\n\nretry: 1000\nevent: state\nid: 7\ndata: {\"a\":1}\n\ndata: one\r\ndata:two\r\n\r\nevent: nothing\n\ndata\n\n";
  const want = [{ type: "state", data: "{\"a\":1}" }, { type: "message", data: "one\ntwo" }, { type: "message", data: "" }];
  for (let size = 1; size <= text.length; size++) {
    const parser = new EventParser(), events = [];
    for (let at = 0; at < text.length; at += size) events.push(...parser.push(text.slice(at, at + size)));
    same(events, want, `events in pieces of ${size}`);
  }
  fails(() => new EventParser().push("x".repeat(5 << 20)), "an endless line");
  fails(() => {
    const parser = new EventParser();
    for (let i = 0; i < 100; i++) parser.push(`data: ${"x".repeat(100 << 10)}\n`);
  }, "an endless event");

  return "";
})().catch(error => error.message)
