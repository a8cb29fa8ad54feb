// The page's one retry delay: doubled up to a cap, jittered so that many open
// pages do not come back at the same moment.

const first = 500, cap = 15000; // milliseconds

export class Backoff {
  #tries = 0;

  next() {
    const limit = Math.min(cap, first * 2 ** this.#tries++);
    return limit / 2 + Math.random() * limit / 2;
  }

  reset() { this.#tries = 0; }
}

// sleep ends after ms, or at once when the signal is aborted.
export function sleep(ms, signal) {
  return new Promise(resolve => {
    if (signal?.aborted) return resolve();
    const timer = setTimeout(resolve, ms);
    signal?.addEventListener("abort", () => { clearTimeout(timer); resolve(); }, { once: true });
  });
}
