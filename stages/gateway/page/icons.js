// Line icons, 24 by 24, drawn with the colour of the text around them.

import { svg } from "./dom.js";

const PATHS = {
  portrait: ["M12 12.500a4 4 0 1 0 0-8 4 4 0 0 0 0 8z", "M4.5 20c1-3.6 4-5.5 7.5-5.500s6.5 1.9 7.5 5.5"],
  speech: ["M4 10v4", "M8 7v10", "M12 4v16", "M16 8v8", "M20 10.500v3"],
  camera: ["M4 8h3.500L9 5.500h6L16.5 8H20v11H4z", "M12 16.500a3.2 3.2 0 1 0 0-6.4 3.2 3.2 0 0 0 0 6.400z"],
  microphone: [
    "M12 14.500a3 3 0 0 0 3-3v-5a3 3 0 0 0-6 0v5a3 3 0 0 0 3 3z",
    "M6 11.500a6 6 0 0 0 12 0",
    "M12 17.500V21",
  ],
  file: ["M12 16V5", "M7.5 9 12 4.5 16.5 9", "M4.5 15.500V19.500h15V15.5"],
  check: ["M5 12.5 10 17.5 19.5 7"],
  cross: ["M6.5 6.500l11 11", "M17.5 6.500l-11 11"],
  warning: ["M12 4 21 19.500H3z", "M12 10v4.5", "M12 17v.2"],
  wait: ["M12 7.500V12l3 2", "M12 20.500a8.5 8.5 0 1 0 0-17 8.5 8.5 0 0 0 0 17z"],
  download: ["M12 4.500V16", "M7.5 11.5 12 16l4.5-4.5", "M4.5 19.500h15"],
  link: ["M10 14a4 4 0 0 0 5.7 0l3-3A4 4 0 0 0 13 5.300l-1 1", "M14 10a4 4 0 0 0-5.7 0l-3 3a4 4 0 0 0 5.7 5.700l1-1"],
  film: ["M4 5.500h16v13H4z", "M10 9.500v5l4.5-2.500z"],
};

/** A decorative icon: the text beside it says what it means. */
export function icon(name) {
  return svg(
    "svg",
    {
      class: "icon",
      viewBox: "0 0 24 24",
      "aria-hidden": "true",
      fill: "none",
      stroke: "currentColor",
      "stroke-width": "1.7",
      "stroke-linecap": "round",
      "stroke-linejoin": "round",
    },
    PATHS[name].map((d) => svg("path", { d })),
  );
}
