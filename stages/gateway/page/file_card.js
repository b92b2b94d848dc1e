// The card of one file, a portrait or a speech: where it is dropped, pasted or picked, and what is said of it.

import { check } from "./check.js";
import { choose, chosen } from "./chosen.js";
import { announce, h, newId, put } from "./dom.js";
import { isOf, picker, takesDrops } from "./drop_zone.js";
import { problemNotice } from "./failure.js";
import { MEBIBYTE } from "./format.js";
import { icon } from "./icons.js";
import { t } from "./language.js";

const UNREADABLE = { portrait: "IMAGE_UNREADABLE", speech: "AUDIO_UNREADABLE" };

/**
 * The card of a role. `device` is where a file can be made, `{picture, label(filled), open}`, or false; `show(url)`
 * gives what is seen of the chosen file, and `look()` is called then; `onChange` is called after each new file,
 * `limits()` gives those of the gateway.
 *
 * The result: `zone` and `findings` to fill; `draw()`, once at the start; `take(file)`, `inspect(params)`, `close()`.
 */
export function fileCard(role, { step, device, show, look, onChange, limits }) {
  const heading = newId(role);
  const zone = h("div", { class: "drop" });
  const findings = h("div", { class: "findings" });
  const pick = picker(role, take, { label: t(`${role}.title`) });
  let url = null;
  let checking = null;

  function buttons() {
    const filled = Boolean(chosen[role]);
    const button = (onclick, picture, words) =>
      h("button", { type: "button", class: filled ? "button small" : "button", onclick }, icon(picture), words);
    return h(
      "div",
      { class: "row" },
      button(pick.open, "file", t(filled ? "other_file" : "choose_file")),
      device && button(device.open, device.picture, device.label(filled)),
    );
  }

  function take(file) {
    const most = limits()[`${role}_mb`];
    if (!isOf(file, role)) {
      put(findings, problemNotice({ code: UNREADABLE[role], detail: file.name }));
    } else if (most && file.size > most * MEBIBYTE) {
      put(findings, problemNotice({ code: "INPUT_TOO_LARGE", detail: t("at_most_mb", { n: most }) }));
    } else {
      choose(role, file);
      draw();
      onChange();
    }
  }

  /** Draw the place anew; the focus stays in it. */
  function draw() {
    const hadFocus = zone.contains(document.activeElement);
    const file = chosen[role];
    if (url) URL.revokeObjectURL(url);
    checking?.abort();
    url = file && URL.createObjectURL(file);
    zone.classList.toggle("filled", Boolean(file));
    put(findings);
    if (file) put(zone, show(url), h("p", { class: "quiet small breaks" }, file.name), buttons());
    else
      put(
        zone,
        icon(role),
        h("p", {}, t(`${role}.drop`)),
        buttons(),
        h("p", { class: "quiet small" }, t(`${role}.advice`)),
      );
    if (hadFocus) zone.querySelector("button")?.focus();
    if (file) look();
  }

  /** What the check says of the file, with these parameters; null where it says nothing, or what is wrong is shown. */
  async function inspect(params) {
    checking?.abort();
    const { signal } = (checking = new AbortController());
    const said = await check(role, chosen[role], params, signal).catch(() => null);
    if (!said || signal.aborted) return null;
    if (!said.result.error) return said;
    put(findings, problemNotice(said.result.error));
    announce(t(`${role}.bad`));
    return null;
  }

  takesDrops(zone, (files) => take(files.find((file) => isOf(file, role)) ?? files[0]));
  return {
    zone,
    findings,
    take,
    draw,
    inspect,
    element: h(
      "section",
      { class: "card", "aria-labelledby": heading },
      h(
        "div",
        { class: "input-head" },
        h("span", { class: "step", "aria-hidden": "true" }, step),
        h("h2", { id: heading }, t(`${role}.title`)),
      ),
      zone,
      pick.input,
      findings,
    ),
    close() {
      checking?.abort();
      if (url) URL.revokeObjectURL(url);
    },
  };
}
