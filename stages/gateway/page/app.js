// The frame of the page: who is here, where they are, and one view at a time.

import { get } from "./api.js";
import { batchView } from "./batch.js";
import { batchProgressView } from "./batch_progress.js";
import { compareView } from "./compare.js";
import { createView } from "./create.js";
import { announce, announcer, h, put } from "./dom.js";
import { problemNotice } from "./failure.js";
import { historyView } from "./history.js";
import { LANGUAGES, language, locale, setLanguage, t } from "./language.js";
import { operationsView } from "./operations.js";
import { renderView } from "./render.js";
import { signInView, signOut } from "./session.js";

const ROUTES = [
  [/^\/$/, createView, "new"],
  [/^\/renders$/, historyView, "history"],
  [/^\/renders\/([A-Za-z0-9_-]+)$/, renderView, "history"],
  [/^\/compare\/([A-Za-z0-9_-]+)\/([A-Za-z0-9_-]+)$/, compareView, "history"],
  [/^\/batch$/, batchView, "batch"],
  [/^\/batches\/([A-Za-z0-9_-]+)$/, batchProgressView, "batch"],
  [/^\/operations$/, operationsView, "operations"],
];
const LINKS = [
  ["new", "#/"],
  ["history", "#/renders"],
  ["batch", "#/batch"],
  ["operations", "#/operations"],
];

const root = document.querySelector("#app");
let me = null;
let leave = () => {};
let shown = 0;

function place() {
  const [path, search = ""] = (location.hash.slice(1) || "/").split("?");
  for (const [pattern, view, section] of ROUTES) {
    const found = pattern.exec(path);
    if (found) return { view, section, parts: found.slice(1), search: new URLSearchParams(search) };
  }
  return { view: lostView, section: null, parts: [], search: new URLSearchParams() };
}

function lostView(main) {
  put(
    main,
    h(
      "div",
      { class: "empty" },
      h("h1", { tabindex: -1 }, t("lost.title")),
      h("p", {}, t("lost.text")),
      h("a", { class: "button", href: "#/" }, t("nav.new")),
    ),
  );
}

function languageSwitch() {
  const other = Object.keys(LANGUAGES).find((tag) => tag !== language());
  return h(
    "button",
    {
      type: "button",
      class: "button plain small",
      lang: other,
      onclick: () => {
        setLanguage(other);
        show();
      },
    },
    LANGUAGES[other],
  );
}

function header(section) {
  const links = LINKS.filter(([name]) => name !== "operations" || me?.role === "operator");
  return h(
    "header",
    { class: "top" },
    h(
      "a",
      { class: "brand", href: "#/" },
      h("img", { src: "/page/icon.svg", alt: "", width: 29, height: 29 }),
      "lipstage",
    ),
    me &&
      h(
        "nav",
        { "aria-label": t("nav.label") },
        h(
          "ul",
          {},
          links.map(([name, href]) =>
            h("li", {}, h("a", { href, "aria-current": name === section && "page" }, t(`nav.${name}`))),
          ),
        ),
      ),
    h(
      "div",
      { class: "account" },
      languageSwitch(),
      me?.keys &&
        h(
          "button",
          {
            type: "button",
            class: "button plain small",
            onclick: async () => {
              await signOut();
              me = null;
              show();
            },
          },
          t("sign_out"),
        ),
    ),
  );
}

/** Draw the view of the address; the one before is left. */
async function show({ focus = false } = {}) {
  leave();
  leave = () => {};
  const mine = ++shown;
  document.documentElement.lang = locale();
  const { view, section, parts, search } = place();
  const main = h("main", { id: "main", tabindex: -1 });
  put(
    root,
    h(
      "div",
      { class: "shell" },
      h(
        "a",
        {
          class: "skip",
          href: "#main",
          onclick: (event) => {
            event.preventDefault();
            main.focus();
          },
        },
        t("skip"),
      ),
      header(section),
      main,
      h("footer", { class: "bottom" }, me?.version ? `lipstage ${me.version}` : "lipstage"),
      announcer(),
    ),
  );
  if (me === null) {
    put(main, h("p", { class: "quiet", role: "status" }, t("loading")));
    try {
      me = await get("/v1/me");
    } catch (error) {
      if (mine !== shown) return;
      if (error.status === 401) {
        leave =
          signInView(main, (caller) => {
            me = caller;
            show({ focus: true });
          }) ?? (() => {});
        document.title = `${t("sign_in.title")} · lipstage`;
      } else if (error.status === 404) {
        me = { role: "user", keys: false };
      } else {
        put(main, problemNotice(error, { retry: () => show() }));
      }
      if (me === null) return;
    }
    if (mine === shown) show({ focus });
    return;
  }
  leave =
    view(main, {
      parts,
      search,
      me,
      signedOut: () => {
        me = null;
        show();
      },
    }) ?? (() => {});
  const heading = main.querySelector("h1");
  document.title = heading ? `${heading.textContent} · lipstage` : "lipstage";
  if (focus) {
    scrollTo(0, 0);
    (heading ?? main).focus({ preventScroll: true });
    announce(heading?.textContent ?? "");
  }
}

addEventListener("hashchange", () => show({ focus: true }));
// A file that is dropped beside its place must not replace the page.
for (const kind of ["dragover", "drop"]) addEventListener(kind, (event) => event.preventDefault());
// The cookie may end while the page is open: whoever meets 401 asks for the key again.
addEventListener("signed-out", () => {
  if (me) {
    me = null;
    show();
  }
});
show();
