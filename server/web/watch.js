// Follows a generation until it ends.

import * as api from "./api.js";

const LAST = ["succeeded", "failed", "cancelled"];
/** Statuses after which asking again is of no use: the generation is not known any more, or the key is not. */
const FINAL = [401, 403, 404];
const RETRY_MILLISECONDS = 2000;

/**
 * Calls `on(name, data)` for every event of generation `id`; the last one is `succeeded`, `failed`, `cancelled`, or `gone`
 * with a Problem when the server no longer knows it. `interrupted` says that the connection is being made again.
 * Returns a function that stops watching.
 */
export function watch(id, on) {
  const stop = new AbortController();
  let lastId = "";

  /** Follows one connection to its end; true when nothing more will come. */
  const follow = async () => {
    for await (const { id: eventId, name, data } of api.events(id, lastId, stop.signal)) {
      if (stop.signal.aborted) return true;
      lastId = eventId || lastId;
      on(name, data);
      if (LAST.includes(name)) return true;
    }
    return false;
  };

  const watching = async () => {
    for (;;) {
      const ended = await follow().catch((problem) => {
        if (FINAL.includes(problem.status) && !stop.signal.aborted) on("gone", problem);
        return FINAL.includes(problem.status);
      });
      if (ended || stop.signal.aborted) return;
      on("interrupted");
      await new Promise((resolve) => setTimeout(resolve, RETRY_MILLISECONDS));
      if (stop.signal.aborted) return;
    }
  };

  watching();
  return () => stop.abort();
}
