// The portrait: picked, dropped or taken, with the face that was found and the part of the picture around it.

import { hasCamera, takePicture } from "./camera.js";
import { check } from "./check.js";
import { chosen } from "./chosen.js";
import { announce, h, newId, put, svg } from "./dom.js";
import { isOf, picker, takesDrops } from "./drop_zone.js";
import { problemNotice, warningNotice } from "./failure.js";
import { MEBIBYTE } from "./format.js";
import { icon } from "./icons.js";
import { t } from "./language.js";

const box = ([x0, y0, x1, y1]) => ({ x: x0, y: y0, width: x1 - x0, height: y1 - y0 });

/** The parameters that decide which part of the picture is animated. */
const SHAPING = ["expand_ratio", "framing", "min_resolution"];
const PAUSE_MS = 400;

function overlay({ width, height, faces = [], crop }) {
  const shown = faces[chosen.face ?? 0]?.box;
  const frame = crop && box(crop);
  return svg(
    "svg",
    { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", "aria-hidden": "true" },
    frame &&
      svg("path", {
        class: "shade",
        d: `M0 0H${width}V${height}H0zM${frame.x} ${frame.y}h${frame.width}v${frame.height}h${-frame.width}z`,
      }),
    frame && svg("rect", { class: "crop", ...frame }),
    shown && svg("rect", { class: "face", rx: width / 60, ...box(shown) }),
  );
}

function params() {
  const shaping = SHAPING.filter((name) => name in chosen.settings.params);
  const found = Object.fromEntries(shaping.map((name) => [name, chosen.settings.params[name]]));
  return chosen.face === null ? found : { ...found, face: chosen.face };
}

/** The card; `onChange` is called whenever the file or the chosen face changes. */
export function portraitInput(onChange, limits) {
  const heading = newId("portrait");
  const zone = h("div", { class: "drop" });
  const findings = h("div", { class: "findings" });
  const pick = picker("portrait", take, { label: t("portrait.title") });
  let url = null;
  let checking = null;
  let picture = null;
  let checked = "";
  let timer = null;

  function buttons(filled) {
    return h(
      "div",
      { class: "row" },
      h(
        "button",
        { type: "button", class: filled ? "button small" : "button", onclick: pick.open },
        icon("file"),
        t(filled ? "other_file" : "choose_file"),
      ),
      hasCamera() &&
        h(
          "button",
          {
            type: "button",
            class: filled ? "button small" : "button",
            onclick: async () => {
              const file = await takePicture();
              if (file) take(file);
            },
          },
          icon("camera"),
          t("portrait.camera"),
        ),
    );
  }

  function take(file) {
    if (!isOf(file, "portrait")) {
      put(findings, problemNotice({ code: "IMAGE_UNREADABLE", detail: file.name }));
      return;
    }
    if (limits().portrait_mb && file.size > limits().portrait_mb * MEBIBYTE) {
      put(findings, problemNotice({ code: "INPUT_TOO_LARGE", detail: t("at_most_mb", { n: limits().portrait_mb }) }));
      return;
    }
    chosen.portrait = file;
    chosen.face = null;
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
    zone.classList.toggle("filled", Boolean(chosen.portrait));
    put(findings);
    if (!chosen.portrait) {
      put(
        zone,
        icon("portrait"),
        h("p", {}, t("portrait.drop")),
        buttons(false),
        h("p", { class: "quiet small" }, t("portrait.advice")),
      );
      return;
    }
    url = URL.createObjectURL(chosen.portrait);
    picture = h("div", { class: "picture" });
    const shown = h("img", {
      src: url,
      alt: t("portrait.alt", { name: chosen.portrait.name }),
      onerror: () => put(picture, h("p", { class: "quiet" }, t("portrait.no_preview"))),
    });
    put(zone, put(picture, shown), h("p", { class: "quiet small breaks" }, chosen.portrait.name), buttons(true));
    look();
  }

  /** Check the picture; `again`: with other parameters, which change the part of it and nothing that is told of it. */
  async function look({ again = false } = {}) {
    checking?.abort();
    const mine = (checking = new AbortController());
    checked = JSON.stringify(params());
    let said;
    try {
      said = await check("portrait", chosen.portrait, params(), mine.signal);
    } catch {
      return;
    }
    if (!said || mine.signal.aborted) return;
    const { result, warnings } = said;
    if (result.error) {
      put(findings, problemNotice(result.error));
      announce(t("portrait.bad"));
      return;
    }
    picture.querySelector("svg")?.remove();
    if (result.width && picture.querySelector("img")) picture.append(overlay(result));
    if (again) return;
    put(
      findings,
      result.faces?.length === 1 && h("p", { class: "small row" }, icon("check"), t("portrait.found")),
      result.faces?.length > 1 && faceChoice(result.faces),
      warnings.filter((one) => one.code !== "MULTIPLE_FACES").map(warningNotice),
    );
    announce(t("portrait.found"));
  }

  /** Check again where the settings show another part of the picture. */
  function settingsChanged() {
    if (!chosen.portrait || JSON.stringify(params()) === checked) return;
    clearTimeout(timer);
    timer = setTimeout(() => look({ again: true }), PAUSE_MS);
  }

  function faceChoice(faces) {
    const name = newId("face");
    return h(
      "fieldset",
      { class: "stack tight" },
      h("legend", {}, t("portrait.which")),
      h(
        "div",
        { class: "row" },
        faces.slice(0, 6).map((_, index) => {
          const id = newId("face");
          return h(
            "span",
            { class: "choice" },
            h("input", {
              type: "radio",
              id,
              name,
              checked: index === (chosen.face ?? 0),
              onchange: () => {
                chosen.face = index || null;
                look({ again: true });
                onChange();
              },
            }),
            h("label", { for: id }, t("portrait.face", { n: index + 1 })),
          );
        }),
      ),
    );
  }

  takesDrops(zone, (files) => take(files.find((file) => isOf(file, "portrait")) ?? files[0]));
  draw();
  return {
    take,
    element: h(
      "section",
      { class: "card", "aria-labelledby": heading },
      h(
        "div",
        { class: "input-head" },
        h("span", { class: "step", "aria-hidden": "true" }, "1"),
        h("h2", { id: heading }, t("portrait.title")),
      ),
      zone,
      pick.input,
      findings,
    ),
    settingsChanged,
    close() {
      clearTimeout(timer);
      checking?.abort();
      if (url) URL.revokeObjectURL(url);
    },
  };
}
