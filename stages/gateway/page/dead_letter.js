// One dead letter: what it is in a line, and everything about it when it is opened.

import { get } from "./api.js";
import { h, newId, put } from "./dom.js";
import { problemNotice } from "./failure.js";
import { moment } from "./format.js";
import { icon } from "./icons.js";
import { t, wordsOf } from "./language.js";

async function show(id, into) {
  put(into, h("p", { class: "quiet" }, t("loading")));
  try {
    const letter = await get(`/v1/dead-letters/${encodeURIComponent(id)}`);
    put(
      into,
      h(
        "div",
        { class: "stack" },
        h("p", { class: "breaks" }, letter.message || letter.exception || ""),
        letter.would_fail_the_same_way &&
          h("div", { class: "notice warning" }, icon("warning"), h("p", {}, t("letters.same_way"))),
        letter.objects?.length > 0 &&
          h(
            "ul",
            {},
            letter.objects.map((one) =>
              h("li", { class: "breaks" }, `${one.role}: ${one.available} · ${one.bucket}/${one.key}`),
            ),
          ),
        h("h3", {}, t("letters.record")),
        h(
          "pre",
          { tabindex: 0, "aria-label": t("letters.record") },
          typeof letter.value === "string" ? letter.value : JSON.stringify(letter.value, null, 2),
        ),
        h("h3", {}, t("letters.errors")),
        h("pre", { tabindex: 0, "aria-label": t("letters.errors") }, JSON.stringify(letter.errors ?? {}, null, 2)),
      ),
    );
  } catch (error) {
    put(into, problemNotice(error, { retry: () => show(id, into) }));
  }
}

/** A row that can be chosen: `onPick` gets its id and whether it is. */
export function deadLetterRow(letter, onPick) {
  const id = newId("letter");
  const said = wordsOf(letter.code);
  const detail = h("div", {});
  const box = h("input", {
    type: "checkbox",
    id,
    onchange: () => onPick(letter.id, box.checked),
  });
  const more = h(
    "details",
    { class: "small", ontoggle: () => more.open && !detail.children.length && show(letter.id, detail) },
    h("summary", {}, t("details"), h("span", { class: "sr-only" }, ` ${letter.id}`)),
    detail,
  );
  return h(
    "li",
    {},
    h(
      "div",
      { class: "choice" },
      box,
      h(
        "label",
        { for: id },
        h("strong", {}, said?.what ?? letter.code ?? "?"),
        h("span", { class: "sr-only" }, ` ${letter.id}`),
      ),
    ),
    h(
      "div",
      { class: "meta small quiet" },
      h("span", { class: `chip ${letter.state === "new" ? "failed" : ""}` }, t(`letter.${letter.state}`)),
      h("code", {}, letter.code),
      h("span", {}, letter.stage),
      h("span", {}, moment(letter.time_ms)),
      letter.tenant && h("span", {}, letter.tenant),
      letter.job_id && h("code", { class: "breaks" }, letter.job_id),
    ),
    more,
  );
}
