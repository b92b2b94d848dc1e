// What is seen of a render: progress, a preview while it is rendered, and the finished video.

import { h, put } from "./dom.js";
import { percent } from "./format.js";
import { icon } from "./icons.js";
import { t } from "./language.js";
import { playsPreviews, preview } from "./preview.js";
import { overall } from "./timeline.js";
import { ENDED } from "./watch.js";

/** A preview that fails so often is not tried again: the progress is shown in its place. */
const MOST_PREVIEWS = 3;
export const pathOf = (jobId, part) => `/v1/renders/${encodeURIComponent(jobId)}/${part}`;
/** The gateway sends the file itself: the page may load nothing from other origins. */
export const videoUrl = (jobId) => `${pathOf(jobId, "video")}?delivery=stream`;
export const posterUrl = (jobId) => `${pathOf(jobId, "poster")}?delivery=stream`;

/** A screen that `draw(job)` keeps up to date. `hasPreview`: the render was asked for one. */
export function player(jobId, { hasPreview = false } = {}) {
  const element = h("div", { class: "screen" });
  let shows = "";
  let video = null;
  let shown = null;
  let previews = hasPreview && playsPreviews() ? MOST_PREVIEWS : 0;

  /** The finished video goes on where the preview is: without sound where it plays by itself, as browsers demand. */
  function showVideo(job) {
    const { width, height } = job.terminal_event ?? {};
    const before = shows === "preview" ? shown.video : null;
    const plays = before !== null && !before.paused && !before.ended;
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
    video.muted = plays && before.muted;
    if (before && !before.ended) video.currentTime = before.currentTime;
    if (plays) video.play().catch(() => {});
    put(element, video);
  }
  function startPreview() {
    previews -= 1;
    shown = preview(
      pathOf(jobId, "preview/index.m3u8"),
      () => {
        shows = "preview";
        put(element, shown.video);
      },
      () => {
        endPreview();
        showProgress();
      },
    );
  }
  function endPreview() {
    shown?.close();
    shown = null;
  }

  const big = h("p", { class: "big" });
  const words = h("p", {});
  function showProgress() {
    shows = "progress";
    put(element, h("div", { class: "placeholder" }, big, words));
  }
  function draw(job) {
    if (job.status === "done") {
      if (shows !== "video") {
        showVideo(job);
        shows = "video";
        endPreview();
      }
    } else if (ENDED.includes(job.status)) {
      if (shows !== job.status) {
        shows = job.status;
        put(element, h("div", { class: "placeholder" }, icon("film"), h("p", {}, t(`status.${job.status}`))));
        endPreview();
      }
    } else {
      big.textContent = percent(overall(job));
      words.textContent = job.stage ? t(`stage.${job.stage}`) : t(`status.${job.status}`);
      if (!shows) showProgress();
      // The video is made while it is animated: its stage says so only when that is over.
      const isMade = ["infer", "encode"].some((stage) => job.stages?.[stage]?.state === "running");
      if (!shown && previews && isMade) startPreview();
    }
  }
  return {
    element,
    draw,
    close() {
      endPreview();
      if (video) {
        video.pause();
        video.removeAttribute("src");
        video.load();
      }
    },
  };
}
