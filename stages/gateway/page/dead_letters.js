// Dead letters: records that a stage gave up. An operator looks at them, plans a replay, and sends them back.

import { get, post, query } from "./api.js";
import { announce, h, newId, put } from "./dom.js";
import { deadLetterRow } from "./dead_letter.js";
import { problemNotice } from "./failure.js";
import { icon } from "./icons.js";
import { t } from "./language.js";

const STATES = ["new", "replayed", "parked", "discarded"];
const STAGES = ["audio", "face", "infer", "encode", "relay"];
const PAGE = 50;

/** The section with its list; `load` reads it. */
export function deadLetters() {
  const picked = new Set();
  const list = h("div", { class: "stack" });
  const plan = h("div", { role: "status" });
  const [stageId, stateId, codeId, headingId] = [newId("stage"), newId("state"), newId("code"), newId("letters")];
  const option = (value, label) => h("option", { value }, label);
  const stage = h(
    "select",
    { id: stageId, onchange: load },
    option("", t("any")),
    STAGES.map((name) => option(name, name)),
  );
  const state = h(
    "select",
    { id: stateId, onchange: load },
    option("", t("any")),
    STATES.map((name) => option(name, t(`letter.${name}`))),
  );
  const code = h("input", {
    id: codeId,
    type: "text",
    autocomplete: "off",
    spellcheck: "false",
    placeholder: "STORE_UNAVAILABLE",
    onchange: load,
  });
  const replay = h("button", {
    type: "button",
    class: "button primary",
    "aria-disabled": "true",
    onclick: () => preview(),
  });

  function drawButton() {
    put(replay, t("letters.plan", { n: picked.size }));
    if (picked.size) replay.removeAttribute("aria-disabled");
    else replay.setAttribute("aria-disabled", "true");
  }

  function pick(id, on) {
    if (on) picked.add(id);
    else picked.delete(id);
    drawButton();
    put(plan);
  }

  async function preview(force = false) {
    if (!picked.size) return;
    put(plan, h("p", { class: "quiet" }, t("loading")));
    const ids = [...picked];
    try {
      const answer = await post("/v1/dead-letters/replay", { ids, force, go: false });
      const said = answer.plan;
      put(
        plan,
        h(
          "div",
          { class: "notice" },
          icon("wait"),
          h(
            "div",
            { class: "stack tight" },
            h(
              "p",
              {},
              h("strong", {}, t("letters.would_send", { n: said.to_send ?? 0, all: said.dead_letters ?? ids.length })),
            ),
            Object.entries(said.targets ?? {}).length > 0 &&
              h(
                "p",
                { class: "small" },
                Object.entries(said.targets)
                  .map(([topic, n]) => `${topic}: ${n}`)
                  .join(", "),
              ),
            said.refused > 0 && h("p", { class: "small" }, t("letters.refused", { n: said.refused })),
            (said.problems ?? []).map((line) => h("p", { class: "small breaks" }, line)),
            h(
              "div",
              { class: "row" },
              (said.to_send ?? 0) > 0 &&
                h(
                  "button",
                  { type: "button", class: "button primary small", onclick: () => go(ids, force) },
                  t("letters.go", { n: said.to_send }),
                ),
              said.refused > 0 &&
                !force &&
                h(
                  "button",
                  { type: "button", class: "button small", onclick: () => preview(true) },
                  t("letters.force"),
                ),
              h("button", { type: "button", class: "button small", onclick: () => put(plan) }, t("cancel")),
            ),
          ),
        ),
      );
      plan.querySelector("button")?.focus();
    } catch (error) {
      put(plan, problemNotice(error, { retry: () => preview(force) }));
    }
  }
  async function go(ids, force) {
    put(plan, h("p", { class: "quiet" }, t("letters.sending")));
    try {
      const answer = await post("/v1/dead-letters/replay", { ids, force, go: true });
      picked.clear();
      await load();
      put(
        plan,
        h(
          "div",
          { class: "notice" },
          icon("check"),
          h(
            "div",
            { class: "stack tight" },
            h("p", {}, t("letters.sent", { n: answer.sent ?? 0 })),
            (answer.errors ?? []).map((line) => h("p", { class: "small breaks" }, line)),
          ),
        ),
      );
    } catch (error) {
      put(plan, problemNotice(error));
    }
  }

  async function load() {
    picked.clear();
    put(plan);
    drawButton();
    try {
      const { dead_letters: letters, more } = await get(
        `/v1/dead-letters${query({ stage: stage.value, state: state.value, code: code.value.trim().toUpperCase(), limit: PAGE })}`,
      );
      replay.hidden = letters.length === 0;
      put(
        list,
        letters.length
          ? h(
              "ul",
              { class: "letters" },
              letters.map((letter) => deadLetterRow(letter, pick)),
            )
          : h(
              "div",
              { class: "empty" },
              icon("check"),
              h("h3", {}, t("letters.none")),
              h("p", {}, t("letters.none_text")),
            ),
        more && h("p", { class: "quiet small" }, t("letters.more", { n: PAGE })),
      );
      announce(t("letters.count", { n: letters.length }));
    } catch (error) {
      replay.hidden = true;
      put(list, problemNotice(error, { retry: load }));
    }
  }

  const field = (id, label, control) => h("div", { class: "field" }, h("label", { for: id }, label), control);
  const element = h(
    "section",
    { class: "card stack", "aria-labelledby": headingId },
    h("h2", { id: headingId }, t("letters.title")),
    h("p", { class: "quiet" }, t("letters.about")),
    h(
      "div",
      { class: "grid" },
      field(stageId, t("stages.stage"), stage),
      field(stateId, t("stages.state"), state),
      field(codeId, t("letters.code"), code),
    ),
    list,
    h("div", {}, replay),
    plan,
  );
  drawButton();
  return { element, load };
}
