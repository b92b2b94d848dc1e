// Where the time of a render went: a waterfall of its spans.

import { get } from "./api.js";
import { framedTable, h, put, svg } from "./dom.js";
import { problemNotice } from "./failure.js";
import { duration } from "./format.js";
import { t } from "./language.js";
import { pathOf } from "./player.js";

const ROW = 24;
const MOST = 200;

/** Spans with their depth, each below its parent; those whose parent is elsewhere begin a tree. */
function tree(spans) {
  const ids = new Set(spans.map((span) => span.span_id));
  const children = new Map();
  for (const span of [...spans].sort((a, b) => a.start_ms - b.start_ms)) {
    const parent = ids.has(span.parent_id) && span.parent_id !== span.span_id ? span.parent_id : null;
    children.set(parent, [...(children.get(parent) ?? []), span]);
  }
  const found = [];
  const waiting = (children.get(null) ?? []).map((span) => ({ ...span, depth: 0 })).reverse();
  while (waiting.length) {
    const span = waiting.pop();
    found.push(span);
    const below = children.get(span.span_id) ?? [];
    children.delete(span.span_id);
    waiting.push(...below.map((one) => ({ ...one, depth: span.depth + 1 })).reverse());
  }
  return found;
}

function waterfall(spans, width) {
  const names = Math.min(260, width * 0.4);
  const isNarrow = width < 500;
  const indent = (span) => Math.min(span.depth, 6) * (isNarrow ? 5 : 12);
  const numbers = 56;
  const begin = Math.min(...spans.map((span) => span.start_ms));
  const whole = Math.max(1, ...spans.map((span) => span.start_ms + span.duration_ms - begin));
  const scale = (width - names - numbers) / whole;
  const shorten = (text, room) => {
    const fits = Math.floor(room / 6.6);
    return text.length > fits ? `${text.slice(0, fits - 1)}…` : text;
  };
  return svg(
    "svg",
    {
      class: "waterfall",
      viewBox: `0 0 ${width} ${spans.length * ROW}`,
      role: "img",
      "aria-label": t("trace.picture", { n: spans.length, time: duration(whole / 1000) }),
    },
    spans.map((span, index) => {
      const y = index * ROW;
      const x = names + (span.start_ms - begin) * scale;
      return svg(
        "g",
        {},
        svg(
          "title",
          {},
          `${span.service} · ${span.name} · ${duration(span.duration_ms / 1000)}${span.error ? ` · ${span.error}` : ""}`,
        ),
        svg("line", { class: "rule", x1: 0, x2: width, y1: y + ROW - 0.5, y2: y + ROW - 0.5 }),
        svg(
          "text",
          { x: indent(span), y: y + 16 },
          shorten(isNarrow ? span.name : `${span.name} · ${span.service}`, names - indent(span)),
        ),
        svg("rect", {
          class: span.error ? "failed" : "bar",
          x,
          y: y + 6,
          width: Math.max(2, span.duration_ms * scale),
          height: 12,
          rx: 2,
        }),
        svg(
          "text",
          { class: "duration", x: width, y: y + 16, "text-anchor": "end" },
          duration(span.duration_ms / 1000),
        ),
      );
    }),
  );
}

function table(spans) {
  return framedTable(
    t("trace.title"),
    "table",
    h(
      "thead",
      {},
      h(
        "tr",
        {},
        ["service", "span", "duration"].map((name) => h("th", { scope: "col" }, t(`trace.${name}`))),
      ),
    ),
    h(
      "tbody",
      {},
      spans.map((span) =>
        h(
          "tr",
          {},
          h("td", {}, span.service),
          h("td", { class: "breaks" }, span.name, span.error && ` (${span.error})`),
          h("td", { class: "number" }, duration(span.duration_ms / 1000)),
        ),
      ),
    ),
  );
}

/** A section that loads the trace when it is opened. */
export function traceSection(jobId) {
  const body = h("div", { class: "stack" });
  async function load() {
    put(body, h("p", { class: "quiet", role: "status" }, t("loading")));
    try {
      const { spans = [], links = {}, trace_id: traceId } = await get(pathOf(jobId, "trace"));
      const shown = tree(spans).slice(0, MOST);
      put(
        body,
        shown.length
          ? waterfall(shown, Math.max(320, Math.min(1000, body.clientWidth || 640)))
          : h("p", { class: "quiet" }, t("trace.none")),
        spans.length > MOST && h("p", { class: "quiet small" }, t("trace.cut", { n: MOST, total: spans.length })),
        h(
          "div",
          { class: "row small" },
          traceId && h("code", { class: "breaks" }, traceId),
          Object.entries(links)
            .filter(([, url]) => /^https?:\/\//.test(url ?? ""))
            .map(([name, url]) =>
              h(
                "a",
                { href: url, target: "_blank", rel: "noopener noreferrer" },
                t("trace.open", { name: name[0].toUpperCase() + name.slice(1) }),
              ),
            ),
        ),
        shown.length > 0 && h("details", { class: "small" }, h("summary", {}, t("trace.as_table")), table(shown)),
      );
    } catch (error) {
      put(
        body,
        error.status === 404 ? h("p", { class: "quiet" }, t("trace.none")) : problemNotice(error, { retry: load }),
      );
    }
  }
  const details = h(
    "details",
    { class: "card", ontoggle: () => details.open && load() },
    h("summary", {}, t("trace.title")),
    body,
  );
  return details;
}
