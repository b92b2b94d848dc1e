// A picture from the camera of the device.

import { h, newId, put } from "./dom.js";
import { problemNotice } from "./failure.js";
import { icon } from "./icons.js";
import { t } from "./language.js";

export const hasCamera = () => Boolean(navigator.mediaDevices?.getUserMedia);

/** Open the camera; resolves to a JPEG file, or null when the person leaves. */
export function takePicture() {
  return new Promise((resolve) => {
    const heading = newId("camera");
    const video = h("video", { autoplay: true, playsinline: true, "aria-label": t("camera.live") });
    video.muted = true;
    const body = h("div", { class: "screen" }, video);
    let stream = null;
    let picture = null;
    const shoot = h(
      "button",
      { type: "button", class: "button primary", "aria-disabled": "true", onclick: take },
      icon("camera"),
      t("camera.take"),
    );
    const dialog = h(
      "dialog",
      { "aria-labelledby": heading, onclose: end },
      h("h2", { id: heading }, t("camera.title")),
      body,
      h(
        "div",
        { class: "row end" },
        h("button", { type: "button", class: "button", onclick: () => dialog.close() }, t("cancel")),
        shoot,
      ),
    );

    function end() {
      stream?.getTracks().forEach((track) => track.stop());
      stream = "closed";
      dialog.remove();
      resolve(picture);
    }
    function take() {
      if (!video.videoWidth) return;
      const canvas = h("canvas", { width: video.videoWidth, height: video.videoHeight });
      canvas.getContext("2d").drawImage(video, 0, 0);
      canvas.toBlob(
        (blob) => {
          picture = blob && new File([blob], "camera.jpg", { type: "image/jpeg" });
          dialog.close();
        },
        "image/jpeg",
        0.92,
      );
    }
    document.body.append(dialog);
    dialog.showModal();
    navigator.mediaDevices.getUserMedia({ video: { facingMode: "user", width: { ideal: 1280 } } }).then(
      (got) => {
        if (stream === "closed") {
          got.getTracks().forEach((track) => track.stop());
          return;
        }
        stream = got;
        video.srcObject = got;
        video.onloadeddata = () => {
          shoot.removeAttribute("aria-disabled");
          shoot.focus();
        };
      },
      () => put(body, problemNotice({ code: "CAMERA_BLOCKED" })),
    );
  });
}
