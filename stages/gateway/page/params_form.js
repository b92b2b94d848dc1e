// Fields for the parameters that the gateway describes: range, default and advice come from there.

import { get } from "./api.js";
import { h, newId, put } from "./dom.js";
import { problemNotice } from "./failure.js";
import { number } from "./format.js";
import { known, t } from "./language.js";

const FIRST = ["inference_steps", "dynamic_scale", "expand_ratio", "min_resolution", "framing"];
/** Those that the page asks for in another way: the face by a click on the picture. */
const ELSEWHERE = ["face"];
const NOT_SET = [null, undefined, ""];
/** Beyond so many steps a slider can't be set exactly. */
const MOST_STEPS = 400;

const label = (name) => known(`param.${name}`) ?? name.replaceAll("_", " ").replace(/^./, (c) => c.toUpperCase());
const words = (choice) => known(`choice.${choice}`) ?? String(choice);
const isWhole = (about) => about.type === "integer";
const isNumber = (about) => isWhole(about) || about.type === "number";
const stepOf = (about) => about.multiple_of ?? (isWhole(about) ? 1 : 0.01);

/** One field: `{element, reset, read}`; `read` gives undefined for the default. */
function field(name, about, held, onChange) {
  const [id, described] = [newId("p"), newId("about")];
  const start = held[name] ?? about.default;
  const store = (value) => {
    if (value === about.default || NOT_SET.includes(value) || Number.isNaN(value)) delete held[name];
    else held[name] = value;
    onChange();
  };
  const meaning = known(`param.${name}.about`) ?? about.about;
  const warned = h("span", { class: "advice", role: "status" });
  const advise = (value) => {
    warned.textContent =
      about.advised_minimum && value < about.advised_minimum ? ` ${known(`param.${name}.advice`) ?? about.advice}` : "";
  };
  const note = (meaning || about.advice) && h("p", { class: "about", id: described }, meaning, warned);
  if (typeof start === "number") advise(start);
  const common = { id, "aria-describedby": note ? described : undefined };

  if (about.type === "boolean") {
    const box = h("input", {
      ...common,
      type: "checkbox",
      checked: Boolean(start),
      onchange: () => store(box.checked),
    });
    return h("div", { class: "field" }, h("div", { class: "choice" }, box, h("label", { for: id }, label(name))), note);
  }
  if (about.choices?.length) {
    const none = about.default === null || about.default === undefined;
    const list = h(
      "select",
      {
        ...common,
        onchange: () => store(list.value === "" ? null : about.choices.find((one) => String(one) === list.value)),
      },
      none && h("option", { value: "" }, t("choice.none")),
      about.choices.map((one) => h("option", { value: one, selected: one === start }, words(one))),
    );
    return h("div", { class: "field" }, h("label", { for: id }, label(name)), list, note);
  }
  if (isNumber(about)) {
    const step = stepOf(about);
    const bounded = ![about.minimum, about.maximum].some((end) => NOT_SET.includes(end));
    const slides = bounded && !NOT_SET.includes(start) && (about.maximum - about.minimum) / step <= MOST_STEPS;
    if (slides) {
      const shown = h("output", { class: "value", for: id }, number(start));
      const slider = h("input", {
        ...common,
        type: "range",
        min: about.minimum,
        max: about.maximum,
        step,
        oninput: () => {
          shown.textContent = number(slider.valueAsNumber);
          advise(slider.valueAsNumber);
          store(slider.valueAsNumber);
        },
      });
      slider.value = start;
      return h(
        "div",
        { class: "field" },
        h("div", { class: "row apart" }, h("label", { for: id }, label(name)), shown),
        slider,
        h(
          "div",
          { class: "row apart quiet small number", "aria-hidden": "true" },
          h("span", {}, number(about.minimum)),
          h("span", {}, number(about.maximum)),
        ),
        note,
      );
    }
    const input = h("input", {
      ...common,
      type: "number",
      min: about.minimum,
      max: about.maximum,
      step: isWhole(about) ? step : "any",
      value: start ?? "",
      placeholder: t("choice.none"),
      oninput: () => {
        input.setAttribute("aria-invalid", String(!input.checkValidity()));
        store(input.value === "" ? null : input.valueAsNumber);
      },
    });
    return h(
      "div",
      { class: "field" },
      h("label", { for: id }, label(name)),
      input,
      bounded &&
        h("p", { class: "about" }, t("allowed", { range: `${number(about.minimum)} – ${number(about.maximum)}` })),
      note,
    );
  }
  const input = h("input", { ...common, type: "text", value: start ?? "", oninput: () => store(input.value.trim()) });
  return h("div", { class: "field" }, h("label", { for: id }, label(name)), input, note);
}

/**
 * The form over `/v1/params`; what differs from the defaults is kept in `settings`: `{engine, params, engine_params}`.
 */
function paramsForm(described, settings, onChange = () => {}) {
  const engines = described.engines ?? [];
  if (!engines.includes(settings.engine)) settings.engine = "";
  const body = h("div", { class: "stack" });

  function draw() {
    const engine = settings.engine || engines[0];
    const entries = Object.entries(described.params ?? {}).filter(
      ([name, about]) => !ELSEWHERE.includes(name) && about.type !== "any",
    );
    const rank = (name) => FIRST.indexOf(name) + 1 || FIRST.length + 1;
    entries.sort(([a], [b]) => rank(a) - rank(b));
    const fields = (pairs, held, ...before) =>
      h(
        "div",
        { class: "parameters" },
        before,
        pairs.map(([name, about]) => field(name, about, held, onChange)),
      );
    const own = Object.entries(described.engine_params?.[engine] ?? {});
    const chooser = newId("engine");
    const list = h(
      "select",
      {
        id: chooser,
        onchange: () => {
          settings.engine = list.value;
          settings.engine_params = {};
          draw();
          onChange();
        },
      },
      engines.map((name) => h("option", { value: name, selected: name === engine }, known(`engine.${name}`) ?? name)),
    );
    put(
      body,
      fields(
        entries.filter(([name]) => FIRST.includes(name)),
        settings.params,
        engines.length > 1 && h("div", { class: "field" }, h("label", { for: chooser }, t("param.engine")), list),
      ),
      h(
        "details",
        {},
        h("summary", {}, t("settings.more")),
        fields([...entries.filter(([name]) => !FIRST.includes(name))], settings.params),
        own.length > 0 && fields(own, settings.engine_params),
      ),
      h(
        "div",
        {},
        h(
          "button",
          {
            type: "button",
            class: "button small",
            onclick: () => {
              Object.assign(settings, { engine: "", params: {}, engine_params: {} });
              draw();
              onChange();
            },
          },
          t("settings.reset"),
        ),
      ),
    );
  }
  draw();
  return body;
}

/**
 * Ask the gateway for its parameters, and put the form over them into `place`; returns what it has said, null where it
 * does not answer: then a sentence is there.
 */
export async function loadParamsForm(place, settings, onChange) {
  try {
    const described = await get("/v1/params");
    put(place, paramsForm(described, settings, onChange));
    return described;
  } catch (error) {
    if (error.status === 401) problemNotice(error);
    put(place, h("p", { class: "quiet" }, t("settings.away")));
    return null;
  }
}

/** What a request says about the settings: only what differs from the defaults. */
export function requestFields(settings) {
  const fields = {};
  if (settings.engine) fields.engine = settings.engine;
  if (Object.keys(settings.params).length) fields.params = { ...settings.params };
  if (Object.keys(settings.engine_params).length) fields.engine_params = { ...settings.engine_params };
  return fields;
}

/** Settings for people, name and value. */
export function settingsInWords(settings) {
  const said = {
    ...(settings?.engine ? { engine: settings.engine } : {}),
    ...settings?.params,
    ...settings?.engine_params,
  };
  return Object.entries(said).map(([name, value]) => [
    name,
    label(name),
    typeof value === "number" ? number(value) : Array.isArray(value) ? value.map(Math.round).join(", ") : words(value),
  ]);
}
