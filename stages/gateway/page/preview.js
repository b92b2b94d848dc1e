// A video while it is rendered: its playlist grows, by a segment of two seconds at a time. Browsers that play no HLS get
// the segments by Media Source Extensions.

import { h } from "./dom.js";
import { t } from "./language.js";

const HLS = "application/vnd.apple.mpegurl";
const ASK_MS = 1000;
/** Until the playlist is there: soon at first, since a short video takes seconds, then ever less often. */
const FIRST_ASK_MS = 250;
const LAST_ASK_MS = 4000;
/** No more is read than this ahead of what is seen: a browser keeps some minutes of a video. */
const AHEAD_S = 60;

/** Whether this browser can show previews. */
export const playsPreviews = () => "MediaSource" in globalThis || h("video").canPlayType(HLS) !== "";

/** What a playlist names: the initialisation segment, the segments, and whether it is complete. */
export function partsOf(playlist) {
  const lines = playlist.split(/\r?\n/);
  return {
    init: /^#EXT-X-MAP:URI="([^"]+)"/m.exec(playlist)?.[1],
    segments: lines.filter((line) => line && !line.startsWith("#")),
    isComplete: lines.includes("#EXT-X-ENDLIST"),
  };
}

/** The media type of a video by its initialisation segment: H.264, whose `avcC` box has profile and level, with AAC. */
export function mediaType(init) {
  const at = new TextDecoder("latin1").decode(init).indexOf("avcC");
  if (at < 0) throw new Error("the preview is no H.264");
  // The box's type is followed by its version.
  const level = [...init.subarray(at + 5, at + 8)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return `video/mp4; codecs="avc1.${level}, mp4a.40.2"`;
}

const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const once = (target, name) => new Promise((resolve) => target.addEventListener(name, resolve, { once: true }));

async function append(buffer, bytes) {
  const over = once(buffer, "updateend");
  const failed = once(buffer, "error").then(() => Promise.reject(new Error("a segment can't be decoded")));
  buffer.appendBuffer(bytes);
  await Promise.race([over, failed]);
}

/** Seconds that are there beyond what is seen. */
function ahead(video) {
  const { buffered, currentTime } = video;
  return buffered.length ? buffered.end(buffered.length - 1) - currentTime : 0;
}

/** What the playlist names, once it is published; null when the signal comes first. A gateway that is away comes back. */
async function published(url, signal) {
  for (let pause = FIRST_ASK_MS; !signal.aborted; pause = Math.min(pause * 1.5, LAST_ASK_MS)) {
    const answer = await fetch(url, { signal }).catch(() => null);
    if (answer?.ok) return partsOf(await answer.text());
    await wait(pause);
  }
  return null;
}

/** Feed the video with the segments of the playlist as they are published, until the playlist is complete. */
async function feed(video, url, signal) {
  let parts = await published(url, signal);
  const read = async (name) => {
    const answer = await fetch(new URL(name, new URL(url, location.href)), { signal });
    if (!answer.ok) throw new Error(`a segment is not there: ${answer.status}`);
    return new Uint8Array(await answer.arrayBuffer());
  };
  if (!parts) return;
  const begun = parts.init;
  const init = await read(begun);
  const source = new MediaSource();
  const opened = once(source, "sourceopen");
  const address = (video.src = URL.createObjectURL(source));
  await opened;
  URL.revokeObjectURL(address);
  const buffer = source.addSourceBuffer(mediaType(init));
  await append(buffer, init);
  for (let count = 0; parts; parts = await published(url, signal)) {
    if (parts.init !== begun) throw new Error("another attempt renders the video");
    while (count < parts.segments.length && ahead(video) < AHEAD_S) {
      await append(buffer, await read(parts.segments[count]));
      count += 1;
    }
    if (parts.isComplete && count === parts.segments.length) {
      source.endOfStream();
      return;
    }
    await wait(ASK_MS);
  }
}

/**
 * Play the playlist at `url`, also one that is not there yet: `{video, close}`. `onPicture` is called when there is
 * something to see, `onFailure` when it does not go on.
 */
export function preview(url, onPicture, onFailure) {
  const ending = new AbortController();
  const { signal } = ending;
  const video = h("video", { controls: true, autoplay: true, playsinline: true, "aria-label": t("player.preview") });
  // Browsers start by themselves what makes no sound.
  video.muted = true;
  function fail() {
    if (!signal.aborted) onFailure();
  }
  video.addEventListener("loadeddata", () => signal.aborted || onPicture(), { once: true });
  video.addEventListener("error", fail);
  if ("MediaSource" in globalThis) feed(video, url, signal).catch(fail);
  else published(url, signal).then((parts) => parts && (video.src = url));
  return {
    video,
    close() {
      ending.abort();
      video.pause();
      video.removeAttribute("src");
      video.load();
    },
  };
}
