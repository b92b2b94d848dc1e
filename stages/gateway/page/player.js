// What is seen of a render: progress, a preview while it is rendered, and the finished video.

import { h, put } from "./dom.js";
import { percent } from "./format.js";
import { icon } from "./icons.js";
import { t } from "./language.js";
import { overall } from "./timeline.js";
import { ENDED } from "./watch.js";

const HLS = "application/vnd.apple.mpegurl";
export const pathOf = (jobId, part) => `/v1/renders/${encodeURIComponent(jobId)}/${part}`;
/** The gateway sends the file itself: the page may load nothing from other origins. */
export const videoUrl = (jobId) => `${pathOf(jobId, "video")}?delivery=stream`;
export const posterUrl = (jobId) => `${pathOf(jobId, "poster")}?delivery=stream`;

/** A screen that `draw(job)` keeps up to date. `hasPreview`: the render was asked for one. */
export function player(jobId, { hasPreview = false } = {}) {
  const element = h("div", { class: "screen" });
  let shows = "";
  let video = null;

  function showVideo(job) {
    const { width, height } = job.terminal_event ?? {};
    video = h("video", {
      controls: true,
      playsinline: true,
      preload: "metadata",
      width,
      height,
      poster: posterUrl(jobId),
      src: videoUrl(jobId),
      "aria-label": t("player.video"),
    });
    put(element, video);
  }
  async function showPreview() {
    const url = pathOf(jobId, "preview/index.m3u8");
    const found = await fetch(url, { method: "GET" }).then(
      (answer) => answer.ok,
      () => false,
    );
    if (!found || shows !== "progress") return;
    shows = "preview";
    video = h("video", {
      controls: true,
      autoplay: true,
      playsinline: true,
      src: url,
      "aria-label": t("player.preview"),
    });
    video.muted = true;
    video.onerror = () => {
      shows = "";
      hasPreview = false;
    };
    put(element, video);
  }

  const big = h("p", { class: "big" });
  const words = h("p", {});
  function draw(job) {
    if (job.status === "done") {
      if (shows !== "video") {
        shows = "video";
        showVideo(job);
      }
    } else if (ENDED.includes(job.status)) {
      if (shows !== job.status) {
        shows = job.status;
        put(element, h("div", { class: "placeholder" }, icon("film"), h("p", {}, t(`status.${job.status}`))));
      }
    } else if (shows !== "preview") {
      if (shows !== "progress") {
        shows = "progress";
        put(element, h("div", { class: "placeholder" }, big, words));
      }
      big.textContent = percent(overall(job));
      words.textContent = job.stage ? t(`stage.${job.stage}`) : t(`status.${job.status}`);
      if (hasPreview && job.stages?.encode?.state === "running" && document.createElement("video").canPlayType(HLS))
        showPreview();
    }
  }
  return {
    element,
    draw,
    close() {
      if (video) {
        video.pause();
        video.removeAttribute("src");
        video.load();
      }
    },
  };
}
