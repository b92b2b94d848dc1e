// The dry-run check of a portrait or a speech before anything is submitted; a gateway without it is no error.

import { call } from "./api.js";

let supported = true;

/** What `/v1/check` says of one file with these parameters: `{result, warnings}`; null where the gateway has no such check, or it failed. */
export async function check(role, file, params, signal) {
  if (!supported) return null;
  const form = new FormData();
  // The request comes first: who reads the form in order knows it when the file arrives.
  form.append("request", JSON.stringify({ params }));
  form.append(role, file, file.name || role);
  try {
    const answer = await call("POST", "/v1/check", form, { signal });
    return { result: answer?.[role] ?? {}, warnings: answer?.warnings ?? [] };
  } catch (error) {
    if (error.status === 404 || error.status === 405 || error.status === 501) supported = false;
    if (error.name === "AbortError") throw error;
    // A file that the check can't take would be refused by the render as well: say so now.
    return error.status >= 400 && error.status < 500 && error.status !== 404 && error.status !== 429
      ? { result: { error }, warnings: [] }
      : null;
  }
}
