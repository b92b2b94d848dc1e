// Requests to the gateway, at its own origin. Errors are problem details (RFC 9457) with a stable code.

/** What the gateway, or the way to it, says went wrong. */
export class Problem extends Error {
  constructor(body, status) {
    super(body.detail ?? body.title ?? body.code ?? String(status));
    this.status = status;
    this.code = body.code ?? `HTTP_${status}`;
    this.detail = body.detail ?? "";
    this.hint = body.hint ?? "";
    this.field = body.field ?? "";
    this.allowed = body.allowed ?? "";
    this.requestId = body.request_id ?? "";
  }
}

const away = () => new Problem({ code: "GATEWAY_UNREACHABLE" }, 0);

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function result(status, text) {
  const body = parsed(text);
  if (status >= 200 && status < 300) return body;
  throw new Problem(body && typeof body === "object" ? body : {}, status);
}

/** Random bytes as hex digits. */
export const randomHex = (bytes) =>
  [...crypto.getRandomValues(new Uint8Array(bytes))].map((byte) => byte.toString(16).padStart(2, "0")).join("");

/** A new W3C trace context: the trace of a render begins with the click that submits it. */
export function traceparent() {
  return `00-${randomHex(16)}-${randomHex(8)}-01`;
}

/** The JSON of an answer. Raises Problem. */
export async function call(method, path, body, { signal } = {}) {
  const headers = { accept: "application/json" };
  const form = body instanceof FormData;
  if (body !== undefined && !form) headers["content-type"] = "application/json";
  let answer, text;
  try {
    answer = await fetch(path, {
      method,
      headers,
      signal,
      body: body === undefined || form ? body : JSON.stringify(body),
    });
    text = await answer.text();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw away();
  }
  return result(answer.status, text);
}

export const get = (path, options) => call("GET", path, undefined, options);
export const post = (path, body, options) => call("POST", path, body, options);
export const del = (path) => call("DELETE", path);

/** A query string of the fields that have a value. */
export function query(fields) {
  const pairs = Object.entries(fields).flatMap(([name, value]) =>
    (Array.isArray(value) ? value : [value]).map((one) => [name, one]),
  );
  const text = new URLSearchParams(
    pairs.filter(([, value]) => value !== undefined && value !== null && value !== ""),
  ).toString();
  return text ? `?${text}` : "";
}

/** Submit a render; `onProgress` gets the part of the bytes that were sent, 0 to 1. Raises Problem. */
export function submit(portrait, speech, request, { onProgress = () => {}, signal, idempotencyKey } = {}) {
  const form = new FormData();
  form.append("request", JSON.stringify(request));
  form.append("portrait", portrait, portrait.name || "portrait");
  form.append("speech", speech, speech.name || "speech");
  return new Promise((resolve, reject) => {
    // fetch tells nothing of an upload's progress.
    const sending = new XMLHttpRequest();
    sending.open("POST", "/v1/renders");
    sending.setRequestHeader("accept", "application/json");
    sending.setRequestHeader("traceparent", traceparent());
    if (idempotencyKey) sending.setRequestHeader("idempotency-key", idempotencyKey);
    sending.upload.onprogress = (event) => event.lengthComputable && onProgress(event.loaded / event.total);
    sending.onload = () => {
      try {
        resolve(result(sending.status, sending.responseText));
      } catch (error) {
        reject(error);
      }
    };
    sending.onerror = () => reject(away());
    sending.onabort = () => reject(new DOMException("aborted", "AbortError"));
    signal?.addEventListener("abort", () => sending.abort());
    sending.send(form);
  });
}
