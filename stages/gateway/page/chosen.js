// The two files that are chosen, and what was said about them; they stay while the page is open, so that a second
// video with other settings needs no second choice.

export const chosen = {
  portrait: null,
  speech: null,
  title: "",
  preview: false,
  settings: { engine: "", params: {}, engine_params: {} },
  face: null,
};

/** Choose a file; who speaks is chosen anew in another picture. */
export function choose(role, file) {
  chosen[role] = file;
  if (role === "portrait") chosen.face = null;
}

const KEPT = "lipstage.settings";
const MOST = 200;

function all() {
  try {
    return JSON.parse(localStorage.getItem(KEPT)) ?? {};
  } catch {
    return {};
  }
}

/** Keep the settings of a submitted render in this browser: the gateway does not tell them again. */
export function remember(jobId, settings) {
  const kept = Object.entries({ ...all(), [jobId]: { ...settings, at: Date.now() } })
    .sort((a, b) => b[1].at - a[1].at)
    .slice(0, MOST);
  localStorage.setItem(KEPT, JSON.stringify(Object.fromEntries(kept)));
}

/** The settings of a render that this browser submitted; null for others. */
export const remembered = (jobId) => all()[jobId] ?? null;

export function forget(jobId) {
  const kept = all();
  delete kept[jobId];
  localStorage.setItem(KEPT, JSON.stringify(kept));
}
