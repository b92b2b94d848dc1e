// One render: watch it, see it, keep it or delete it.

import { del, post } from "./api.js";
import { chosen, forget, remembered } from "./chosen.js";
import { announce, confirmed, h, put } from "./dom.js";
import { problemNotice, warningNotice } from "./failure.js";
import { duration, megabytes, moment, number, titleOf } from "./format.js";
import { icon } from "./icons.js";
import { t } from "./language.js";
import { settingsInWords } from "./params_form.js";
import { pathOf, player, videoUrl } from "./player.js";
import { timeline } from "./timeline.js";
import { traceSection } from "./trace.js";
import { ENDED, watch } from "./watch.js";

export const statusChip = (status) => h("span", { class: `chip ${status}` }, t(`status.${status}`));

/** What is known of a finished render, for people. */
export function factsOf(job) {
  const end = job.terminal_event?.type === "done" ? job.terminal_event : null;
  return [
    [t("fact.submitted"), moment(job.submitted_ms ?? job.first_ms)],
    job.engine && [t("fact.engine"), job.engine],
    end && [t("fact.length"), duration(end.duration_s)],
    end && [t("fact.size"), `${end.width} × ${end.height}`],
    end && [t("fact.took"), duration(end.total_s)],
    end?.quality !== undefined && end?.quality !== null && [t("fact.quality"), number(end.quality)],
    end && [t("fact.drift"), `${number(end.audio_drift_ms ?? 0, 0)} ms`],
    end?.video?.size && [t("fact.file"), megabytes(end.video.size)],
  ].filter(Boolean);
}

const facts = (pairs) =>
  h(
    "dl",
    { class: "facts" },
    pairs.map(([name, value]) =>
      h("div", { class: value instanceof Node ? "wide" : null }, h("dt", {}, name), h("dd", {}, value)),
    ),
  );

export function renderView(main, { parts: [jobId] }) {
  const settings = remembered(jobId);
  const screen = player(jobId, { hasPreview: settings?.preview });
  const stages = timeline();
  const heading = h("h1", { tabindex: -1 }, t("render.title"));
  const chip = h("span", {});
  const about = h("div", {});
  const warnings = h("div", { class: "findings" });
  const actions = h("div", { class: "row" });
  const problem = h("div");
  const more = h("div");
  const trace = traceSection(jobId);
  let job = null;
  let status = "";
  let watching = null;

  async function act(action, words) {
    put(problem);
    try {
      await action();
      announce(words);
      return true;
    } catch (error) {
      put(problem, problemNotice(error));
      return false;
    }
  }
  async function cancel() {
    await act(() => post(pathOf(jobId, "cancel")), t("render.cancelling"));
  }
  async function remove() {
    const agreed = await confirmed({
      title: t("delete.title"),
      text: t("delete.text"),
      yes: t("delete.yes"),
      no: t("delete.no"),
    });
    if (agreed && (await act(() => del(`/v1/renders/${encodeURIComponent(jobId)}`), t("status.purged")))) {
      forget(jobId);
      location.hash = "#/renders";
    }
  }
  async function share(event) {
    const button = event.currentTarget;
    try {
      await navigator.clipboard.writeText(location.href);
      button.lastChild.textContent = t("render.copied");
      announce(t("render.copied"));
    } catch {
      prompt(t("render.share"), location.href);
    }
  }
  function again() {
    if (settings)
      chosen.settings = structuredClone({
        engine: settings.engine ?? "",
        params: settings.params ?? {},
        engine_params: settings.engine_params ?? {},
      });
    location.hash = "#/";
  }

  function drawActions() {
    const button = (label, onclick, kind = "") =>
      h("button", { type: "button", class: `button ${kind}`, onclick }, label);
    put(
      actions,
      job.status === "done" &&
        h(
          "a",
          {
            class: "button primary",
            href: videoUrl(jobId),
            download: `${titleOf(job).replace(/[^\p{L}\p{N} ._-]/gu, "_")}.mp4`,
          },
          icon("download"),
          t("render.download"),
        ),
      job.status === "done" &&
        h(
          "button",
          { type: "button", class: "button", onclick: share },
          icon("link"),
          h("span", {}, t("render.share")),
        ),
      job.status === "done" && button(t("render.again"), again),
      ENDED.includes(job.status) && job.status !== "done" && button(t("render.retry"), again, "primary"),
      job.status === "done" &&
        h("a", { class: "button", href: `#/renders?compare=${encodeURIComponent(jobId)}` }, t("render.compare")),
      !ENDED.includes(job.status) && button(t("render.cancel"), cancel),
      ENDED.includes(job.status) && job.status !== "purged" && button(t("render.delete"), remove, "plain"),
    );
  }

  function draw(state) {
    job = state;
    heading.textContent = titleOf(job);
    document.title = `${titleOf(job)} · lipstage`;
    screen.draw(job);
    stages.draw(job);
    if (job.status !== status) {
      put(chip, statusChip(job.status));
      drawActions();
      const end = job.terminal_event;
      screen.element.hidden = ENDED.includes(job.status) && job.status !== "done";
      put(
        about,
        end && end.type !== "done" && job.status !== "cancelled" && job.status !== "purged" && problemNotice(end),
      );
      announce(t(`status.${job.status}`));
      status = job.status;
      const said = settingsInWords(settings);
      put(
        more,
        job.status !== "queued" &&
          h(
            "section",
            { class: "card stack" },
            h("h2", {}, t("render.details")),
            facts([
              ...factsOf(job),
              ...said.map(([, name, value]) => [name, value]),
              [t("fact.id"), h("code", {}, job.job_id)],
            ]),
          ),
      );
    }
    if (warnings.children.length !== job.warnings.length) put(warnings, job.warnings.map(warningNotice));
  }

  put(
    main,
    h(
      "div",
      { class: "stack wide" },
      h(
        "div",
        { class: "stack tight" },
        h("div", { class: "row" }, heading, chip),
        h("p", {}, h("a", { href: "#/renders" }, t("render.all"))),
      ),
      h(
        "div",
        { class: "render" },
        h("div", { class: "stack" }, screen.element, about, actions, problem, warnings),
        h("section", { class: "card stack" }, h("h2", {}, t("timeline.label")), stages.element),
      ),
      more,
      trace,
    ),
  );
  stages.draw({ status: "queued", stages: {} });
  watching = watch(jobId, draw, (error) => {
    if (error?.code === "JOB_NOT_FOUND")
      put(
        main,
        h(
          "div",
          { class: "empty" },
          icon("film"),
          h("h1", { tabindex: -1 }, t("render.unknown")),
          h("p", {}, t("render.unknown_text")),
          h("a", { class: "button", href: "#/renders" }, t("render.all")),
        ),
      );
    else put(problem, error && problemNotice(error));
  });
  return () => {
    watching.close();
    screen.close();
  };
}
