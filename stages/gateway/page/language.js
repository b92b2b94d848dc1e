// The words of the page in the language of the person.

import { text as en } from "./text_en.js";
import { text as zh } from "./text_zh.js";
import { problems as enProblems } from "./problems_en.js";
import { problems as zhProblems } from "./problems_zh.js";

const CATALOGUES = { en: { ...en, problems: enProblems }, zh: { ...zh, problems: zhProblems } };
export const LANGUAGES = { en: "English", zh: "中文" };
const KEPT = "lipstage.language";

function chosen() {
  const wanted = [localStorage.getItem(KEPT), ...(navigator.languages ?? [navigator.language])].filter(Boolean);
  return wanted.map((tag) => tag.slice(0, 2).toLowerCase()).find((tag) => tag in CATALOGUES) ?? "en";
}

let current = chosen();
export const language = () => current;

export function setLanguage(tag) {
  current = tag;
  localStorage.setItem(KEPT, tag);
}

/** The tag for dates and for the document. */
export const locale = () => (current === "zh" ? "zh-CN" : "en");

/** A text by its key, with `{name}` replaced. */
export function t(key, values = {}) {
  const found = CATALOGUES[current][key] ?? en[key] ?? key;
  return found.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? String(values[name]) : whole));
}

/** A text by its key, or null where the catalogue has none. */
export const known = (key) => CATALOGUES[current][key] ?? null;

/** What happened and what to do, in plain words, of a public code; null for a code that is not in the catalogue. */
export function wordsOf(code) {
  const found = CATALOGUES[current].problems[code];
  return found ? { what: found[0], todo: found[1] } : null;
}
