// The state of a render as it changes: from the event stream, or by asking where there is none.

import { get } from "./api.js";

const KINDS = [
  "state",
  "accepted",
  "started",
  "progress",
  "finished",
  "waiting",
  "retrying",
  "warning",
  "replayed",
  "done",
  "rejected",
  "failed",
  "purged",
];
export const ENDED = ["done", "rejected", "failed", "cancelled", "purged"];
const ASK_MS = 2000;

/** Call `onState` with each state until the render ends or `close` of the result is called. `onProblem` gets errors. */
export function watch(jobId, onState, onProblem = () => {}) {
  const path = `/v1/renders/${encodeURIComponent(jobId)}`;
  let closed = false;
  let timer = null;
  let source = new EventSource(`${path}/events`);

  function close() {
    closed = true;
    clearTimeout(timer);
    source?.close();
  }
  function take(state) {
    if (closed || !state) return;
    if (ENDED.includes(state.status)) close();
    onState(state);
  }
  async function ask() {
    if (closed) return;
    try {
      take(await get(path));
      onProblem(null);
    } catch (error) {
      onProblem(error);
      // Only an absent service comes back; what is forbidden or unknown stays so.
      if (error.status && error.status < 500 && error.status !== 429) return close();
    }
    timer = setTimeout(ask, ASK_MS);
  }

  for (const kind of KINDS) {
    source.addEventListener(kind, (message) => {
      onProblem(null);
      take(JSON.parse(message.data).render);
    });
  }
  // The browser connects again by itself and names the last event; it gives up only where the answer is no stream.
  source.onerror = () => {
    if (!closed && source?.readyState === EventSource.CLOSED) {
      source = null;
      ask();
    }
  };
  return { close };
}
