// Earlier videos: search, filter, and pick two to see side by side.

import { get, query } from "./api.js";
import { announce, h, newId, put } from "./dom.js";
import { problemNotice } from "./failure.js";
import { duration, moment, titleOf } from "./format.js";
import { icon } from "./icons.js";
import { t } from "./language.js";
import { posterUrl } from "./player.js";
import { statusChip } from "./render.js";

const STATUSES = ["queued", "accepted", "running", "waiting", "done", "rejected", "failed", "cancelled", "purged"];
const GROUPS = {
  all: [],
  active: STATUSES.slice(0, 4),
  done: ["done"],
  failed: ["rejected", "failed"],
  cancelled: ["cancelled"],
};
const PAGE = 24;
const PAUSE_MS = 250;

/** A render as a tile; `choose` makes it selectable. */
export function tile(job, choose) {
  const id = newId("choose");
  const thumb = h(
    "div",
    { class: "thumb" },
    job.status === "done"
      ? h("img", {
          src: posterUrl(job.job_id),
          alt: "",
          loading: "lazy",
          onerror: (event) => event.target.replaceWith(icon("film")),
        })
      : icon(["rejected", "failed"].includes(job.status) ? "warning" : "film"),
  );
  const length = job.terminal_event?.duration_s;
  return h(
    "li",
    { class: "card tile" },
    thumb,
    h(
      "div",
      { class: "body" },
      h("a", { href: `#/renders/${job.job_id}` }, titleOf(job)),
      h(
        "div",
        { class: "row apart small quiet" },
        statusChip(job.status),
        h("span", {}, length ? duration(length) : ""),
      ),
      h("p", { class: "small quiet" }, moment(job.submitted_ms ?? job.first_ms)),
      choose &&
        job.status === "done" &&
        h(
          "div",
          { class: "choice small" },
          h("input", {
            type: "checkbox",
            id,
            checked: choose.has(job.job_id),
            onchange: (event) => choose.set(job.job_id, event.target.checked),
          }),
          h("label", { for: id }, t("history.choose"), h("span", { class: "sr-only" }, ` ${titleOf(job)}`)),
        ),
    ),
  );
}

export function historyView(main, { search: given }) {
  const list = h("ul", { class: "grid" });
  const below = h("div", { class: "submit" });
  const bar = h("div", { class: "notice", hidden: true });
  const picked = new Set([given.get("compare")].filter(Boolean));
  const [searchId, statusId] = [newId("search"), newId("status")];
  const search = h("input", {
    id: searchId,
    type: "search",
    maxlength: 64,
    autocomplete: "off",
    placeholder: t("history.search_example"),
    oninput: () => {
      clearTimeout(timer);
      timer = setTimeout(load, PAUSE_MS);
    },
  });
  const status = h(
    "select",
    { id: statusId, onchange: () => load() },
    Object.keys(GROUPS).map((name) => h("option", { value: name }, t(`history.${name}`))),
  );
  let timer = null;
  let asking = null;

  const choose = {
    has: (id) => picked.has(id),
    set(id, on) {
      if (on) picked.add(id);
      else picked.delete(id);
      drawBar();
    },
  };
  function drawBar() {
    const ids = [...picked];
    bar.hidden = ids.length === 0;
    put(
      bar,
      h(
        "div",
        { class: "row apart grow" },
        h("p", { role: "status" }, ids.length < 2 ? t("history.one_more") : t("history.chosen", { n: ids.length })),
        h(
          "div",
          { class: "row" },
          ids.length === 2 &&
            h("a", { class: "button primary small", href: `#/compare/${ids[0]}/${ids[1]}` }, t("history.compare")),
          h(
            "button",
            {
              type: "button",
              class: "button small",
              onclick: () => {
                picked.clear();
                drawBar();
                list.querySelectorAll("input").forEach((box) => {
                  box.checked = false;
                });
              },
            },
            t("cancel"),
          ),
        ),
      ),
    );
  }

  async function load(after) {
    asking?.abort();
    const mine = (asking = new AbortController());
    if (!after) put(below, h("p", { class: "quiet", role: "status" }, t("loading")));
    try {
      const words = search.value.trim();
      const { renders, next } = await get(
        `/v1/renders${query({ status: GROUPS[status.value], search: words, limit: PAGE, after })}`,
        { signal: mine.signal },
      );
      if (!after) put(list);
      list.append(...renders.map((job) => tile(job, choose)));
      put(
        below,
        next && h("button", { type: "button", class: "button", onclick: () => load(next) }, t("history.more")),
      );
      if (!list.children.length) {
        const filtered = words || status.value !== "all";
        put(
          below,
          h(
            "div",
            { class: "empty" },
            icon("film"),
            h("h2", {}, t(filtered ? "history.no_match" : "history.empty")),
            h("p", {}, t(filtered ? "history.no_match_text" : "history.empty_text")),
            !filtered && h("a", { class: "button primary", href: "#/" }, t("nav.new")),
          ),
        );
      }
      announce(t("history.count", { n: list.children.length }));
    } catch (error) {
      if (error.name !== "AbortError") put(below, problemNotice(error, { retry: () => load(after) }));
    }
  }

  put(
    main,
    h(
      "div",
      { class: "stack wide" },
      h("h1", { tabindex: -1 }, t("history.title")),
      h(
        "div",
        { class: "tools" },
        h("div", { class: "field" }, h("label", { for: searchId }, t("history.search")), search),
        h("div", { class: "field" }, h("label", { for: statusId }, t("history.status")), status),
      ),
      bar,
      list,
      below,
    ),
  );
  drawBar();
  load();
  return () => {
    clearTimeout(timer);
    asking?.abort();
  };
}
