// The four stages of a render: what is done, what runs and for how long.

import { h, put } from "./dom.js";
import { wordsOf, t } from "./language.js";
import { duration, percent } from "./format.js";
import { icon } from "./icons.js";
import { ENDED } from "./watch.js";

const ORDER = ["audio", "face", "infer", "encode"];
/** Weight of each stage in the whole, as its usual part of the time. */
const WEIGHT = { audio: 8, face: 7, infer: 65, encode: 20 };

function mark(state) {
  if (state === "finished") return icon("check");
  if (state === "stopped") return icon("cross");
  if (state === "held") return icon("wait");
  return null;
}

/** How far a render is, 0 to 100. */
export function overall(job) {
  if (job.status === "done") return 100;
  const sum = ORDER.reduce(
    (total, name) =>
      total + WEIGHT[name] * (job.stages?.[name]?.state === "finished" ? 100 : (job.stages?.[name]?.percent ?? 0)),
    0,
  );
  return Math.min(99, sum / 100);
}

/** Estimates the rest of the running stage by its pace since it was first seen. */
export function paceMeter() {
  const seen = new Map();
  return (name, stage) => {
    const now = performance.now();
    const first = seen.get(name);
    if (!first || stage.percent < first.percent) {
      seen.set(name, { percent: stage.percent, at: now });
      return null;
    }
    const gained = stage.percent - first.percent;
    return gained >= 3 ? (((now - first.at) / 1000) * (100 - stage.percent)) / gained : null;
  };
}

/** A list that `draw(job)` keeps up to date. */
export function timeline() {
  const list = h("ol", { class: "timeline", "aria-label": t("timeline.label") });
  const pace = paceMeter();

  function row(job, name) {
    const stage = job.stages?.[name] ?? { state: "waiting", percent: 0 };
    const terminal = job.terminal_event;
    const over = ENDED.includes(job.status);
    let state = { finished: "finished", running: "running" }[stage.state] ?? "pending";
    if (job.status === "done") state = "finished";
    if (job.waiting?.stage === name) state = "held";
    if (over && job.status !== "done" && terminal?.stage === name && state !== "finished") state = "stopped";
    else if (over && state === "running") state = "pending";
    const more = [];
    if (state === "running") {
      const left = pace(name, stage);
      more.push(
        h("progress", { max: 100, value: stage.percent, "aria-label": t(`stage.${name}`) }),
        h(
          "span",
          { class: "quiet small number" },
          [percent(stage.percent), left !== null && t("left", { time: duration(Math.max(1, left)) })]
            .filter(Boolean)
            .join(" · "),
        ),
      );
    }
    if (state === "held") {
      const said = wordsOf(job.waiting.code);
      more.push(h("span", { class: "small" }, said?.what ?? job.waiting.message));
      if (job.waiting.due_ms)
        more.push(
          h(
            "span",
            { class: "quiet small number" },
            t("next_attempt", { time: duration(Math.max(0, (job.waiting.due_ms - Date.now()) / 1000)) }),
          ),
        );
    }
    const spent = stage.cached
      ? t("cached")
      : stage.seconds !== null && stage.seconds !== undefined
        ? duration(stage.seconds)
        : "";
    return h(
      "li",
      { class: state },
      h("span", { class: "dot", "aria-hidden": "true" }, mark(state)),
      h("span", { class: "name" }, t(`stage.${name}`), h("span", { class: "sr-only" }, `: ${t(`state.${state}`)}`)),
      h("span", { class: "quiet small number" }, spent),
      h("div", { class: "more" }, more),
    );
  }

  return {
    element: list,
    draw: (job) =>
      put(
        list,
        ORDER.map((name) => row(job, name)),
      ),
  };
}
