// The portrait: picked, dropped or taken, with the face that was found and the part of the picture around it.

import { hasCamera, takePicture } from "./camera.js";
import { chosen } from "./chosen.js";
import { announce, h, newId, put, svg } from "./dom.js";
import { warningNotice } from "./failure.js";
import { fileCard } from "./file_card.js";
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
  let picture = null;
  let checked = "";
  let timer = null;
  const card = fileCard("portrait", {
    step: "1",
    limits,
    device: hasCamera() && { picture: "camera", label: () => t("portrait.camera"), open: shoot },
    show,
    look,
    onChange,
  });

  async function shoot() {
    const file = await takePicture();
    if (file) card.take(file);
  }

  function show(url) {
    picture = h("div", { class: "picture" });
    const shown = h("img", {
      src: url,
      alt: t("portrait.alt", { name: chosen.portrait.name }),
      onerror: () => put(picture, h("p", { class: "quiet" }, t("portrait.no_preview"))),
    });
    return put(picture, shown);
  }

  /** Check the picture; `again`: with other parameters, which change the part of it and nothing that is told of it. */
  async function look({ again = false } = {}) {
    checked = JSON.stringify(params());
    const said = await card.inspect(params());
    if (!said) return;
    const { result, warnings } = said;
    picture.querySelector("svg")?.remove();
    if (result.width && picture.querySelector("img")) picture.append(overlay(result));
    if (again) return;
    put(
      card.findings,
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

  card.draw();
  return {
    take: card.take,
    element: card.element,
    settingsChanged,
    close() {
      clearTimeout(timer);
      card.close();
    },
  };
}
