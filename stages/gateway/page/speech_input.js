// The speech: picked, dropped or recorded, with its length and what the check says of it.

import { check } from "./check.js";
import { chosen } from "./chosen.js";
import { announce, h, newId, put } from "./dom.js";
import { isOf, picker, takesDrops } from "./drop_zone.js";
import { problemNotice, warningNotice } from "./failure.js";
import { MEBIBYTE, duration } from "./format.js";
import { icon } from "./icons.js";
import { t } from "./language.js";
import { hasMicrophone, record } from "./recorder.js";

/** The card; `onChange` is called whenever the file changes. */
export function speechInput(onChange, limits) {
  const heading = newId("speech");
  const zone = h("div", { class: "drop" });
  const findings = h("div", { class: "findings" });
  const pick = picker("speech", take, { label: t("speech.title") });
  let url = null;
  let checking = null;
  let recording = null;

  function buttons(filled) {
    const size = filled ? "button small" : "button";
    return h(
      "div",
      { class: "row" },
      h(
        "button",
        { type: "button", class: size, onclick: pick.open },
        icon("file"),
        t(filled ? "other_file" : "choose_file"),
      ),
      hasMicrophone() &&
        h(
          "button",
          { type: "button", class: size, onclick: begin },
          icon("microphone"),
          t(filled ? "speech.record_again" : "speech.record"),
        ),
    );
  }

  async function begin() {
    const seconds = h("p", { class: "recording", "aria-hidden": "true" }, "0:00");
    const level = h("meter", { min: 0, max: 1, "aria-label": t("speech.level") });
    try {
      recording = await record((elapsed, loud) => {
        seconds.textContent = `${Math.floor(elapsed / 60)}:${String(Math.floor(elapsed % 60)).padStart(2, "0")}`;
        level.value = loud;
      });
    } catch {
      put(findings, problemNotice({ code: "MICROPHONE_BLOCKED" }));
      return;
    }
    put(findings);
    const stop = h(
      "button",
      {
        type: "button",
        class: "button primary",
        onclick: async () => {
          const file = await recording.stop();
          recording = null;
          take(file);
        },
      },
      t("speech.stop"),
    );
    put(zone, icon("microphone"), h("p", {}, t("speech.recording")), seconds, level, stop);
    announce(t("speech.recording"));
    stop.focus();
  }

  function take(file) {
    if (!isOf(file, "speech")) {
      put(findings, problemNotice({ code: "AUDIO_UNREADABLE", detail: file.name }));
      return;
    }
    if (limits().speech_mb && file.size > limits().speech_mb * MEBIBYTE) {
      put(findings, problemNotice({ code: "INPUT_TOO_LARGE", detail: t("at_most_mb", { n: limits().speech_mb }) }));
      return;
    }
    chosen.speech = file;
    draw();
    onChange();
  }

  /** Draw the place anew; the focus stays in it. */
  function draw() {
    const hadFocus = zone.contains(document.activeElement);
    show();
    if (hadFocus) zone.querySelector("button")?.focus();
  }

  function show() {
    if (url) URL.revokeObjectURL(url);
    checking?.abort();
    zone.classList.toggle("filled", Boolean(chosen.speech));
    put(findings);
    if (!chosen.speech) {
      put(
        zone,
        icon("speech"),
        h("p", {}, t("speech.drop")),
        buttons(false),
        h("p", { class: "quiet small" }, t("speech.advice")),
      );
      return;
    }
    url = URL.createObjectURL(chosen.speech);
    put(
      zone,
      icon("speech"),
      h("audio", {
        controls: true,
        src: url,
        preload: "metadata",
        "aria-label": t("speech.alt", { name: chosen.speech.name }),
      }),
      h("p", { class: "quiet small breaks" }, chosen.speech.name),
      buttons(true),
    );
    look();
  }

  async function look() {
    const mine = (checking = new AbortController());
    let said;
    try {
      said = await check("speech", chosen.speech, {}, mine.signal);
    } catch {
      return;
    }
    if (!said || mine.signal.aborted) return;
    if (said.result.error) {
      put(findings, problemNotice(said.result.error));
      announce(t("speech.bad"));
      return;
    }
    const length = said.result.duration_s;
    put(
      findings,
      length && h("p", { class: "small row" }, icon("check"), t("speech.length", { length: duration(length) })),
      said.warnings.map(warningNotice),
    );
  }

  takesDrops(zone, (files) => take(files.find((file) => isOf(file, "speech")) ?? files[0]));
  draw();
  return {
    take,
    element: h(
      "section",
      { class: "card", "aria-labelledby": heading },
      h(
        "div",
        { class: "input-head" },
        h("span", { class: "step", "aria-hidden": "true" }, "2"),
        h("h2", { id: heading }, t("speech.title")),
      ),
      zone,
      pick.input,
      findings,
    ),
    close() {
      checking?.abort();
      recording?.stop();
      if (url) URL.revokeObjectURL(url);
    },
  };
}
