// Numbers, lengths and times as people read them.

import { locale, t } from "./language.js";

/** `4.2 s`, `1:05`, `1:02:03`. */
export function duration(seconds) {
  if (seconds === null || seconds === undefined || !Number.isFinite(seconds)) return "–";
  if (seconds > 0 && seconds < 0.1) return t("milliseconds", { n: number(seconds * 1000, 0) });
  if (seconds < 60) return t("seconds", { n: number(seconds, seconds < 10 ? 1 : 0) });
  const whole = Math.round(seconds);
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor((whole % 3600) / 60), whole % 60];
  const two = (value) => String(value).padStart(2, "0");
  return h ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

export const number = (value, digits = 2) =>
  new Intl.NumberFormat(locale(), { maximumFractionDigits: digits }).format(value);
export const percent = (value) => `${Math.floor(value)} %`;
export const MEBIBYTE = 1 << 20;
export const megabytes = (bytes) => `${number(bytes / 1e6, 1)} MB`;

/** A moment of today as time, an earlier one with its date. */
export function moment(ms) {
  if (!ms) return "–";
  const date = new Date(ms);
  const today = date.toDateString() === new Date().toDateString();
  return new Intl.DateTimeFormat(
    locale(),
    today ? { timeStyle: "short" } : { dateStyle: "medium", timeStyle: "short" },
  ).format(date);
}

/** The title that a person gave, else a name made of the beginning of the id. */
export const titleOf = (job) =>
  job.labels?.title || t("untitled", { id: job.job_id.length > 12 ? job.job_id.slice(0, 8) : job.job_id });

/** A title that the services accept: no control characters, at most 64 characters. */
export const cleanTitle = (text) =>
  text
    .replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, "")
    .trim()
    .slice(0, 64);

/** How far an upload is; `part` is what was sent of it, 0 to 1. */
export const uploadWords = (part) =>
  part < 1 ? `${t("create.uploading")} ${percent(part * 100)}` : t("create.submitting");
