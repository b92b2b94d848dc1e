// A new video: two files, some settings, one button.

import { randomHex, submit } from "./api.js";
import { chosen, remember } from "./chosen.js";
import { announce, h, newId, put } from "./dom.js";
import { isOf } from "./drop_zone.js";
import { problemNotice } from "./failure.js";
import { cleanTitle, uploadWords } from "./format.js";
import { t } from "./language.js";
import { loadParamsForm, requestFields, settingsInWords } from "./params_form.js";
import { portraitInput } from "./portrait_input.js";
import { playsPreviews } from "./preview.js";
import { speechInput } from "./speech_input.js";

export function createView(main, { me }) {
  let limits = {};
  const portrait = portraitInput(changed, () => limits);
  const speech = speechInput(changed, () => limits);
  const missing = h("p", { class: "quiet", id: newId("missing") });
  const button = h(
    "button",
    { type: "button", class: "button primary large", "aria-describedby": missing.id, onclick: send },
    t("create.button"),
  );
  const failed = h("div", { role: "alert" });
  const sending = h("div", { class: "submit", hidden: true });
  const summary = h("span", { class: "quiet" });
  const titleId = newId("title");
  const title = h("input", {
    id: titleId,
    type: "text",
    maxlength: 64,
    autocomplete: "off",
    value: chosen.title,
    placeholder: t("create.title_example"),
    oninput: () => {
      chosen.title = title.value;
      changed();
    },
  });
  const parameters = h("div", {}, h("p", { class: "quiet" }, t("loading")));
  const outputs = h("div");
  /** Alias of the output bucket that takes previews; null: there is none, or this browser can't show them. */
  let outputBucket = null;
  let upload = null;
  // One name for one wish: a second try of the same is the same render.
  let wish = null;

  function changed() {
    wish = null;
    const lacks = ["portrait", "speech"].filter((role) => !chosen[role]);
    if (lacks.length) button.setAttribute("aria-disabled", "true");
    else button.removeAttribute("aria-disabled");
    missing.textContent =
      lacks.length === 2 ? t("create.needs_both") : lacks.length ? t(`create.needs_${lacks[0]}`) : t("create.ready");
    put(failed);
    portrait.settingsChanged();
    const said = settingsInWords(chosen.settings);
    summary.textContent = ` · ${
      said.length
        ? said
            .slice(0, 3)
            .map(([, name, value]) => `${name} ${value}`)
            .join(", ") + (said.length > 3 ? " …" : "")
        : t("settings.defaults")
    }`;
  }

  const withPreview = () => chosen.preview && outputBucket !== null;

  function request() {
    const fields = requestFields(chosen.settings);
    if (chosen.face !== null) fields.params = { ...fields.params, face: chosen.face };
    const name = cleanTitle(chosen.title);
    if (name) fields.labels = { title: name };
    if (withPreview()) fields.output = { bucket: outputBucket, prefix: `${me.tenant}/page`, preview: true };
    return fields;
  }

  async function send() {
    if (button.getAttribute("aria-disabled") === "true") {
      announce(missing.textContent);
      if (!upload) (chosen.portrait ? speech : portrait).element.querySelector("button").focus();
      return;
    }
    const fields = request();
    const bar = h("progress", { max: 1, value: 0, "aria-label": t("create.uploading") });
    const words = h("p", { class: "number" }, t("create.uploading"));
    upload = new AbortController();
    put(failed);
    put(
      sending,
      words,
      bar,
      h("button", { type: "button", class: "button small", onclick: () => upload?.abort() }, t("cancel")),
    );
    sending.hidden = false;
    button.setAttribute("aria-disabled", "true");
    announce(t("create.uploading"));
    try {
      const answer = await submit(chosen.portrait, chosen.speech, fields, {
        signal: upload.signal,
        idempotencyKey: (wish ??= randomHex(16)),
        onProgress: (part) => {
          bar.value = part;
          words.textContent = uploadWords(part);
        },
      });
      remember(answer.job_id, { ...chosen.settings, preview: withPreview() });
      location.hash = `#/renders/${answer.job_id}`;
    } catch (error) {
      if (error.name !== "AbortError") put(failed, problemNotice(error, { retry: send }));
      sending.hidden = true;
    } finally {
      upload = null;
      if (button.isConnected && sending.hidden) {
        button.removeAttribute("aria-disabled");
        button.focus();
      }
    }
  }

  async function describe() {
    const described = await loadParamsForm(parameters, chosen.settings, changed);
    if (!described) return;
    limits = described.limits ?? {};
    if (described.output_buckets?.length && playsPreviews()) offerPreview(described.output_buckets[0]);
    changed();
  }

  /** Offered, not made by default: what is in an output bucket is kept until somebody deletes it. */
  function offerPreview(alias) {
    outputBucket = alias;
    const id = newId("preview");
    const box = h("input", {
      id,
      type: "checkbox",
      checked: chosen.preview,
      onchange: () => {
        chosen.preview = box.checked;
        changed();
      },
    });
    put(outputs, h("div", { class: "choice" }, box, h("label", { for: id }, t("create.preview"))));
  }

  function pasted(event) {
    const files = [...(event.clipboardData?.files ?? [])];
    const picture = files.find((file) => isOf(file, "portrait"));
    const sound = files.find((file) => isOf(file, "speech"));
    if (picture) portrait.take(picture);
    if (sound) speech.take(sound);
    if (picture || sound) event.preventDefault();
  }

  put(
    main,
    h(
      "div",
      { class: "stack wide" },
      h(
        "div",
        { class: "stack tight" },
        h("h1", { tabindex: -1 }, t("create.title")),
        h("p", { class: "lead" }, t("create.lead")),
      ),
      h("div", { class: "inputs" }, portrait.element, speech.element),
      h(
        "details",
        { class: "card" },
        h("summary", {}, t("settings.title"), summary),
        h(
          "div",
          { class: "parameters" },
          h("div", { class: "field" }, h("label", { for: titleId }, t("create.title_label")), title),
          outputs,
        ),
        parameters,
      ),
      h("div", { class: "submit" }, failed, button, missing, sending),
    ),
  );
  addEventListener("paste", pasted);
  changed();
  describe();
  return () => {
    removeEventListener("paste", pasted);
    upload?.abort();
    portrait.close();
    speech.close();
  };
}
