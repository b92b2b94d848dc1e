// The speech: picked, dropped or recorded, with its length and what the check says of it.

import { chosen } from "./chosen.js";
import { announce, h, put } from "./dom.js";
import { problemNotice, warningNotice } from "./failure.js";
import { fileCard } from "./file_card.js";
import { duration } from "./format.js";
import { icon } from "./icons.js";
import { t } from "./language.js";
import { hasMicrophone, record } from "./recorder.js";

/** The card; `onChange` is called whenever the file changes. */
export function speechInput(onChange, limits) {
  let recording = null;
  const card = fileCard("speech", {
    step: "2",
    limits,
    device: hasMicrophone() && {
      picture: "microphone",
      label: (filled) => t(filled ? "speech.record_again" : "speech.record"),
      open: begin,
    },
    show,
    look,
    onChange,
  });

  async function begin() {
    const seconds = h("p", { class: "recording", "aria-hidden": "true" }, "0:00");
    const level = h("meter", { min: 0, max: 1, "aria-label": t("speech.level") });
    try {
      recording = await record((elapsed, loud) => {
        seconds.textContent = `${Math.floor(elapsed / 60)}:${String(Math.floor(elapsed % 60)).padStart(2, "0")}`;
        level.value = loud;
      });
    } catch {
      put(card.findings, problemNotice({ code: "MICROPHONE_BLOCKED" }));
      return;
    }
    put(card.findings);
    const stop = h(
      "button",
      {
        type: "button",
        class: "button primary",
        onclick: async () => {
          const file = await recording.stop();
          recording = null;
          card.take(file);
        },
      },
      t("speech.stop"),
    );
    put(card.zone, icon("microphone"), h("p", {}, t("speech.recording")), seconds, level, stop);
    announce(t("speech.recording"));
    stop.focus();
  }

  function show(url) {
    const label = t("speech.alt", { name: chosen.speech.name });
    return [icon("speech"), h("audio", { controls: true, src: url, preload: "metadata", "aria-label": label })];
  }

  async function look() {
    const said = await card.inspect({});
    if (!said) return;
    const length = said.result.duration_s;
    put(
      card.findings,
      length && h("p", { class: "small row" }, icon("check"), t("speech.length", { length: duration(length) })),
      said.warnings.map(warningNotice),
    );
  }

  card.draw();
  return {
    take: card.take,
    element: card.element,
    close() {
      recording?.stop();
      card.close();
    },
  };
}
