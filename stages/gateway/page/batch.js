// Many videos at once: pairs of files are submitted one after the other, as one batch.

import { randomHex, submit } from "./api.js";
import { chosen, remember } from "./chosen.js";
import { announce, h, put } from "./dom.js";
import { picker, takesDrops } from "./drop_zone.js";
import { problemNotice } from "./failure.js";
import { cleanTitle, uploadWords } from "./format.js";
import { icon } from "./icons.js";
import { wordsOf, t } from "./language.js";
import { pairUp } from "./pairing.js";
import { loadParamsForm, requestFields } from "./params_form.js";

const AT_ONCE = 2;

export function batchView(main) {
  let files = [];
  let found = { pairs: [], alone: [], missing: [] };
  let limit = Infinity;
  let running = null;
  const zone = h("div", { class: "drop" });
  const list = h("ol", { class: "pairs" });
  const notes = h("div", { class: "findings" });
  const button = h("button", { type: "button", class: "button primary large", onclick: send });
  const overall = h("div", { class: "submit" });
  const pick = picker("batch", take, {
    multiple: true,
    accept: "image/*,audio/*,video/mp4,video/webm,.csv,.heic,.m4a",
    label: t("batch.choose"),
  });
  const parameters = h("div");

  async function take(more) {
    const names = new Set(more.map((file) => file.name));
    files = [...files.filter((file) => !names.has(file.name)), ...more];
    const sheet = files.find((file) => /\.csv$/i.test(file.name));
    found = pairUp(
      files.filter((file) => file !== sheet),
      sheet ? await sheet.text() : null,
    );
    draw();
    announce(t("batch.found", { n: found.pairs.length }));
  }
  function draw() {
    const { pairs, alone, missing } = found;
    put(
      list,
      pairs.map((pair) => {
        pair.state ??= h("span", { class: "small quiet" }, t("batch.ready"));
        return h(
          "li",
          {},
          h(
            "div",
            { class: "grow" },
            h("p", {}, h("strong", {}, pair.title)),
            h("p", { class: "small quiet" }, `${pair.portrait.name} + ${pair.speech.name}`),
          ),
          pair.state,
        );
      }),
    );
    put(
      notes,
      alone.length > 0 &&
        h(
          "div",
          { class: "notice warning small" },
          icon("warning"),
          h(
            "p",
            {},
            t("batch.alone", {
              names:
                alone
                  .slice(0, 8)
                  .map((file) => file.name)
                  .join(", ") + (alone.length > 8 ? " …" : ""),
            }),
          ),
        ),
      missing.length > 0 &&
        h(
          "div",
          { class: "notice warning small" },
          icon("warning"),
          h("p", {}, t("batch.missing", { names: missing.slice(0, 8).join(", ") })),
        ),
      pairs.length > limit && problemNotice({ code: "INVALID_REQUEST", detail: t("batch.too_many", { n: limit }) }),
    );
    button.hidden = pairs.length === 0;
    put(button, pairs.length === 1 ? t("batch.send_one") : t("batch.send", { n: pairs.length }));
    button.toggleAttribute("aria-disabled", false);
    if (pairs.length > limit) button.setAttribute("aria-disabled", "true");
  }

  async function sendOne(pair, place, signal) {
    const bar = (part) => put(pair.state, uploadWords(part));
    const common = requestFields(chosen.settings);
    const request = { ...common, ...pair.fields, batch: place, job_id: (pair.jobId ??= randomHex(16)) };
    for (const section of ["params", "engine_params", "labels"]) {
      const joined = { ...common[section], ...pair.fields[section] };
      if (Object.keys(joined).length) request[section] = joined;
    }
    request.labels = { title: cleanTitle(pair.title), ...request.labels };
    try {
      bar(0);
      const { job_id: jobId } = await submit(pair.portrait, pair.speech, request, { onProgress: bar, signal });
      remember(jobId, {
        engine: request.engine ?? "",
        params: request.params ?? {},
        engine_params: request.engine_params ?? {},
      });
      put(pair.state, h("a", { href: `#/renders/${jobId}` }, t("batch.sent")));
      pair.sent = true;
    } catch (error) {
      if (error.name === "AbortError") return;
      pair.state.title = `${error.code} ${error.detail ?? ""}`;
      put(pair.state, h("span", { class: "chip failed" }, wordsOf(error.code)?.what ?? (error.detail || error.code)));
      if (error.status === 401) problemNotice(error);
    }
  }
  async function send() {
    if (running || button.getAttribute("aria-disabled") === "true") return;
    running = new AbortController();
    const mine = running;
    button.setAttribute("aria-disabled", "true");
    const id = (found.id ??= `page-${randomHex(10)}`);
    const waiting = found.pairs
      .map((pair, index) => [pair, { id, index, total: found.pairs.length }])
      .filter(([pair]) => !pair.sent);
    const bar = h("progress", { max: waiting.length, value: 0, "aria-label": t("batch.progress") });
    put(
      overall,
      bar,
      h("button", { type: "button", class: "button small", onclick: () => running?.abort() }, t("cancel")),
    );
    const worker = async () => {
      while (waiting.length && !mine.signal.aborted) {
        const [pair, place] = waiting.shift();
        await sendOne(pair, place, mine.signal);
        bar.value += 1;
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, worker));
    running = null;
    const sent = found.pairs.filter((pair) => pair.sent).length;
    const rest = found.pairs.length - sent;
    announce(t("batch.result", { n: sent, total: found.pairs.length }));
    put(
      overall,
      h("p", {}, t("batch.result", { n: sent, total: found.pairs.length })),
      sent > 0 && h("a", { class: "button primary", href: `#/batches/${id}` }, t("batch.watch")),
    );
    button.hidden = rest === 0;
    button.removeAttribute("aria-disabled");
    put(button, t("batch.send_rest", { n: rest }));
  }

  put(
    zone,
    icon("film"),
    h("p", {}, t("batch.drop")),
    h("button", { type: "button", class: "button", onclick: pick.open }, icon("file"), t("batch.choose")),
    h("p", { class: "quiet small" }, t("batch.advice")),
  );
  takesDrops(zone, take);
  put(
    main,
    h(
      "div",
      { class: "stack wide" },
      h(
        "div",
        { class: "stack tight" },
        h("h1", { tabindex: -1 }, t("batch.title")),
        h("p", { class: "lead" }, t("batch.lead")),
      ),
      h("section", { class: "card" }, zone, pick.input, notes),
      list,
      h("details", { class: "card" }, h("summary", {}, t("settings.for_all")), parameters),
      h("div", { class: "submit" }, button, overall),
    ),
  );
  draw();
  loadParamsForm(parameters, chosen.settings).then((described) => {
    limit = described?.limits?.max_batch ?? Infinity;
    if (!running) draw();
  });
  return () => running?.abort();
}
