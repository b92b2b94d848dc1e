// Signing in with an API key: the gateway keeps it in a cookie that no script can read.

import { del, post } from "./api.js";
import { h, newId, put } from "./dom.js";
import { problemNotice } from "./failure.js";
import { t } from "./language.js";

export async function signOut() {
  await del("/v1/session").catch(() => {});
}

/** The form; `onDone` gets who signed in. */
export function signInView(main, onDone) {
  const [id, about] = [newId("key"), newId("about")];
  const failed = h("div", { role: "alert" });
  const field = h("input", {
    id,
    type: "password",
    name: "key",
    autocomplete: "current-password",
    required: true,
    spellcheck: "false",
    "aria-describedby": about,
    placeholder: "lipstage_…",
  });
  const button = h("button", { class: "button primary large" }, t("sign_in.button"));
  async function send(event) {
    event.preventDefault();
    const key = field.value.trim();
    if (!key) return;
    button.setAttribute("aria-disabled", "true");
    put(failed);
    try {
      onDone(await post("/v1/session", { key }));
    } catch (error) {
      put(failed, problemNotice(error));
      field.setAttribute("aria-invalid", "true");
      field.focus();
    } finally {
      button.removeAttribute("aria-disabled");
    }
  }
  put(
    main,
    h(
      "div",
      { class: "card sign-in stack" },
      h("h1", { tabindex: -1 }, t("sign_in.title")),
      h("p", { class: "quiet", id: about }, t("sign_in.text")),
      h(
        "form",
        { class: "stack", onsubmit: send },
        h("div", { class: "field" }, h("label", { for: id }, t("sign_in.label")), field),
        failed,
        button,
      ),
    ),
  );
  field.focus();
}
