// For operators: how the stages are, and what could not be processed.

import { get } from "./api.js";
import { deadLetters } from "./dead_letters.js";
import { framedTable, h, put } from "./dom.js";
import { problemNotice } from "./failure.js";
import { number } from "./format.js";
import { known, t } from "./language.js";

const ASK_MS = 10_000;

/** How a stage is: a class of its chip and a key of its words. */
function healthOf(stage) {
  if (stage.members === null || stage.members === undefined) return ["", "unknown"];
  if (!stage.members) return stage.lag ? ["failed", "stopped"] : ["waiting", "asleep"];
  return ["done", stage.lag ? "working" : "idle"];
}

function stageTable(stages) {
  return framedTable(
    t("stages.title"),
    "table",
    h(
      "thead",
      {},
      h(
        "tr",
        {},
        h("th", { scope: "col" }, t("stages.stage")),
        h("th", { scope: "col" }, t("stages.state")),
        h("th", { scope: "col", class: "number" }, t("stages.lag")),
        h("th", { scope: "col", class: "number" }, t("stages.members")),
      ),
    ),
    h(
      "tbody",
      {},
      stages.map((stage) => {
        const [kind, words] = healthOf(stage);
        return h(
          "tr",
          {},
          h(
            "th",
            { scope: "row" },
            known(`service.${stage.stage}`) ?? stage.stage,
            stage.engine && h("span", { class: "quiet" }, ` ${stage.engine}`),
          ),
          h("td", {}, h("span", { class: `chip ${kind}` }, t(`stages.${words}`))),
          h("td", { class: "number" }, stage.lag === null || stage.lag === undefined ? "–" : number(stage.lag, 0)),
          h(
            "td",
            { class: "number" },
            stage.members === null || stage.members === undefined ? "–" : number(stage.members, 0),
          ),
        );
      }),
    ),
  );
}

export function operationsView(main, context) {
  const health = h("div", {}, h("p", { class: "quiet", role: "status" }, t("loading")));
  const letters = deadLetters(context);
  let timer = null;
  let closed = false;

  async function load() {
    try {
      const { stages } = await get("/v1/stages");
      if (!closed) put(health, stages.length ? stageTable(stages) : h("p", { class: "quiet" }, t("stages.none")));
    } catch (error) {
      if (closed) return;
      put(health, problemNotice(error));
      if (error.status && error.status < 500) return;
    }
    timer = setTimeout(load, ASK_MS);
  }

  put(
    main,
    h(
      "div",
      { class: "stack wide" },
      h("h1", { tabindex: -1 }, t("operations.title")),
      h("section", { class: "card stack" }, h("h2", {}, t("stages.title")), health),
      letters.element,
    ),
  );
  load();
  letters.load();
  return () => {
    closed = true;
    clearTimeout(timer);
  };
}
