// A place for one file: dropped, pasted or picked.

import { h } from "./dom.js";

/** Whether a file may be of a kind; browsers know no type for some. */
export const isOf = (file, role) => {
  const kinds = { portrait: /^image\//, speech: /^(audio|video)\// };
  const names = {
    portrait: /\.(jpe?g|png|webp|avif|hei[cf]|gif|bmp)$/i,
    speech: /\.(wav|mp3|m4a|aac|ogg|oga|opus|flac|webm|mp4|mov)$/i,
  };
  return kinds[role].test(file.type) || (!file.type && names[role].test(file.name)) || names[role].test(file.name);
};
export const ACCEPT = {
  portrait: "image/*,.heic,.heif,.avif",
  speech: "audio/*,video/mp4,video/webm,.m4a,.opus,.flac",
};

/** A hidden file input and what opens it. */
export function picker(role, onFile, { multiple = false, accept = ACCEPT[role], label } = {}) {
  const input = h("input", {
    type: "file",
    accept,
    multiple,
    hidden: true,
    "data-role": role,
    "aria-label": label,
    onchange: () => {
      const files = [...input.files];
      input.value = "";
      if (files.length) onFile(multiple ? files : files[0]);
    },
  });
  return { input, open: () => input.click() };
}

/** Let `element` take files that are dropped on it. */
export function takesDrops(element, onFiles) {
  let depth = 0;
  const over = (on) => element.classList.toggle("over", on);
  element.addEventListener("dragenter", (event) => {
    event.preventDefault();
    depth += 1;
    over(true);
  });
  element.addEventListener("dragleave", () => {
    depth -= 1;
    if (depth <= 0) {
      depth = 0;
      over(false);
    }
  });
  element.addEventListener("dragover", (event) => event.preventDefault());
  element.addEventListener("drop", (event) => {
    event.preventDefault();
    event.stopPropagation();
    depth = 0;
    over(false);
    const files = [...event.dataTransfer.files];
    if (files.length) onFiles(files);
  });
}
