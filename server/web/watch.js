// Follows a generation until it ends.

import * as api from "./api.js";

const LAST = ["succeeded", "failed", "cancelled"];
const NAMES = ["snapshot", "queued", "started", "step", "preview", "image", "shutdown", ...LAST];
const RETRY_MILLISECONDS = 2000;

/**
 * Calls `on(name, data)` for every event of generation `id`; the last one is `succeeded`, `failed`, `cancelled`, or `gone`
 * with a Problem when the server no longer knows it. `interrupted` says that the connection is being made again.
 * Returns a function that stops watching.
 */
export function watch(id, on) {
  let source;
  let timer;
  let stopped = false;
  const stop = () => {
    stopped = true;
    clearTimeout(timer);
    source?.close();
  };

  const connect = () => {
    source = api.events(id);
    for (const name of NAMES) {
      source.addEventListener(name, (event) => {
        if (LAST.includes(name)) stop();
        on(name, JSON.parse(event.data));
      });
    }
    source.addEventListener("error", () => {
      if (stopped) return;
      on("interrupted");
      // A broken connection is resumed by EventSource itself. After an answer that is no stream it gives up.
      if (source.readyState === EventSource.CLOSED) timer = setTimeout(askAgain, RETRY_MILLISECONDS);
    });
  };

  const askAgain = async () => {
    try {
      await api.record(id);
    } catch (problem) {
      if (stopped) return;
      if (problem.status === 404) {
        stop();
        on("gone", problem);
      } else {
        timer = setTimeout(askAgain, RETRY_MILLISECONDS);
      }
      return;
    }
    if (!stopped) connect();
  };

  connect();
  return stop;
}
