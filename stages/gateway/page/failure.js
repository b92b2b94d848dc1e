// Errors in plain words: what happened, and what to do.

import { h } from "./dom.js";
import { icon } from "./icons.js";
import { t, wordsOf } from "./language.js";

/** The words for a problem of the gateway or a terminal event: `{code, detail|message, hint, field, allowed}`. */
function words(problem) {
  const detail = problem.detail || problem.message || "";
  const found = wordsOf(problem.code);
  // The range of a field is worth more than a sentence that holds for every field.
  if (found && problem.code === "INVALID_REQUEST" && detail) {
    return {
      what: detail,
      todo: problem.hint || (problem.allowed ? t("allowed", { range: problem.allowed }) : found.todo),
      detail: "",
    };
  }
  if (found) return { ...found, detail };
  return { what: detail || t("unknown_problem"), todo: problem.hint || "", detail: "" };
}

/** A notice about an error, with its code for those who look it up. */
export function problemNotice(problem, { retry, kind = "error" } = {}) {
  if (problem.status === 401) dispatchEvent(new Event("signed-out"));
  const { what, todo, detail } = words(problem);
  const code = [problem.code, problem.requestId && t("request_id", { id: problem.requestId })]
    .filter(Boolean)
    .join(" · ");
  return h(
    "div",
    { class: `notice ${kind}` },
    icon(kind === "error" ? "cross" : "warning"),
    h(
      "div",
      { class: "stack tight" },
      h("p", {}, h("strong", {}, what)),
      todo && h("p", {}, todo),
      (code || detail) &&
        h(
          "details",
          { class: "small" },
          h("summary", {}, t("details")),
          detail && h("p", { class: "quiet breaks" }, detail),
          h("p", { class: "quiet" }, h("code", { class: "breaks" }, code)),
        ),
      retry &&
        h(
          "div",
          { class: "row" },
          h("button", { type: "button", class: "button small", onclick: retry }, t("try_again")),
        ),
    ),
  );
}

/** Warnings of a render or of a check, `{code, message}`. */
export function warningNotice(warning) {
  const found = wordsOf(warning.code);
  return h(
    "div",
    { class: "notice warning small" },
    icon("warning"),
    h("div", {}, h("p", {}, h("strong", {}, found?.what ?? warning.message)), found?.todo && h("p", {}, found.todo)),
  );
}
