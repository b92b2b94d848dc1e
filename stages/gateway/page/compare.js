// Two renders side by side, and what differs between them.

import { get } from "./api.js";
import { remembered } from "./chosen.js";
import { framedTable, h, put } from "./dom.js";
import { problemNotice } from "./failure.js";
import { titleOf } from "./format.js";
import { t } from "./language.js";
import { settingsInWords } from "./params_form.js";
import { pathOf, player } from "./player.js";
import { factsOf } from "./render.js";

export function compareView(main, { parts: ids }) {
  const screens = ids.map((id) => player(id));
  const titles = ids.map((id) => h("h2", {}, h("a", { href: `#/renders/${id}` }, id.slice(0, 8))));
  const table = h("div");
  const problem = h("div");

  function both(action) {
    for (const screen of screens) {
      const video = screen.element.querySelector("video");
      if (video) action(video);
    }
  }
  function rows(jobs) {
    const sides = jobs.map(
      (job) =>
        new Map([...settingsInWords(remembered(job.job_id)).map(([, name, value]) => [name, value]), ...factsOf(job)]),
    );
    const names = [...new Set(sides.flatMap((side) => [...side.keys()]))];
    return framedTable(
      t("compare.title"),
      "card table",
      h(
        "thead",
        {},
        h(
          "tr",
          {},
          h("td", {}),
          jobs.map((job) => h("th", { scope: "col" }, titleOf(job))),
        ),
      ),
      h(
        "tbody",
        {},
        names.map((name) => {
          const [a, b] = sides.map((side) => side.get(name) ?? t("compare.default"));
          return h(
            "tr",
            { class: a === b ? "" : "differs" },
            h("th", { scope: "row" }, name),
            h("td", { class: "breaks" }, a),
            h("td", { class: "breaks" }, b),
          );
        }),
      ),
    );
  }
  async function load() {
    put(problem);
    try {
      const jobs = await Promise.all(ids.map((id) => get(pathOf(id, "").slice(0, -1))));
      jobs.forEach((job, index) => {
        titles[index].firstChild.textContent = titleOf(job);
        screens[index].draw(job);
      });
      put(table, rows(jobs));
    } catch (error) {
      put(problem, problemNotice(error, { retry: load }));
    }
  }

  put(
    main,
    h(
      "div",
      { class: "stack wide" },
      h("h1", { tabindex: -1 }, t("compare.title")),
      problem,
      h(
        "div",
        { class: "compare" },
        ids.map((id, index) => h("section", { class: "stack" }, titles[index], screens[index].element)),
      ),
      h(
        "div",
        { class: "row" },
        h(
          "button",
          {
            type: "button",
            class: "button primary",
            onclick: () =>
              both((video) => {
                video.currentTime = 0;
                video.muted = video !== screens[0].element.querySelector("video");
                video.play();
              }),
          },
          t("compare.play"),
        ),
        h(
          "button",
          { type: "button", class: "button", onclick: () => both((video) => video.pause()) },
          t("compare.pause"),
        ),
        h("span", { class: "quiet small" }, t("compare.sound")),
      ),
      table,
    ),
  );
  load();
  return () => screens.forEach((screen) => screen.close());
}
