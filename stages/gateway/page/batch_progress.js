// A batch that was submitted: how many of its renders are done, and each of them.

import { get, post } from "./api.js";
import { announce, h, newId, put } from "./dom.js";
import { problemNotice } from "./failure.js";
import { tile } from "./history.js";
import { t } from "./language.js";

const ASK_MS = 2500;

/** One batch: how many are done, and each of its renders. */
export function batchProgressView(main, { parts: [id] }) {
  const bar = h("progress", { max: 1, value: 0, "aria-label": t("batch.progress") });
  const words = h("p", { class: "quiet number", role: "status" }, t("loading"));
  const problem = h("div");
  const list = h("ul", { class: "grid" });
  const stop = h("button", { type: "button", class: "button", hidden: true, onclick: cancel }, t("batch.cancel"));
  const ids = newId("batch");
  let timer = null;
  let closed = false;
  let before = "";

  async function cancel() {
    try {
      await post(`/v1/batches/${encodeURIComponent(id)}/cancel`);
      announce(t("render.cancelling"));
    } catch (error) {
      put(problem, problemNotice(error));
    }
  }
  async function load() {
    try {
      const batch = await get(`/v1/batches/${encodeURIComponent(id)}`);
      if (closed) return;
      const { renders } = batch;
      const over = batch.ended;
      const done = batch.counts.done ?? 0;
      bar.max = batch.total || renders.length || 1;
      bar.value = over;
      words.textContent = t("batch.counts", { done, total: batch.total || renders.length, failed: over - done });
      const now = JSON.stringify(renders.map((job) => [job.job_id, job.status]));
      if (now !== before)
        put(
          list,
          renders.filter((job) => job.job_id).map((job) => tile(job)),
        );
      before = now;
      stop.hidden = batch.has_ended;
      put(problem);
      if (batch.has_ended) return;
    } catch (error) {
      if (closed) return;
      put(problem, problemNotice(error));
      words.textContent = "";
      if (error.status && error.status < 500 && error.status !== 404) return;
    }
    timer = setTimeout(load, ASK_MS);
  }

  put(
    main,
    h(
      "div",
      { class: "stack wide" },
      h(
        "div",
        { class: "stack tight" },
        h("h1", { tabindex: -1, id: ids }, t("batch.one")),
        h("p", { class: "quiet small breaks" }, id),
      ),
      h("section", { class: "card stack", "aria-labelledby": ids }, bar, h("div", { class: "row apart" }, words, stop)),
      problem,
      list,
    ),
  );
  load();
  return () => {
    closed = true;
    clearTimeout(timer);
  };
}
