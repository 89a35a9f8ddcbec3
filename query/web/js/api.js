// The client of the API. Enters: a path and parameters. Leaves: parsed JSON, or an `ApiError` with the problem details
// (RFC 9457) of the server. The key is sent in a header, never in a URL.

import * as session from "./session.js";

/** A failed request. `status` is 0 if the server was not reached. */
export class ApiError extends Error {
  constructor(status, problem, requestId, retryAfterSeconds) {
    super(problem.detail || problem.title);
    this.status = status;
    this.problem = problem;
    this.requestId = requestId;
    this.retryAfterSeconds = retryAfterSeconds;
  }
}

const UNREACHED = { title: "the server cannot be reached", detail: "check the connection and that the service is running" };
const NO_KEY = { title: "this is not a key", detail: "a key has only ASCII letters, digits and signs: paste it again" };
const UNREADABLE = { title: "the answer is not what this page expects", detail: "this page may be out of date: reload it" };

/** Sends one request; returns the response if it succeeded. */
export async function request(method, path, { parameters = {}, body, headers = {}, signal } = {}) {
  const init = { method, signal, headers: { ...headers }, cache: "no-store", redirect: "error", credentials: "omit" };
  const key = session.key();
  if (key && !/^[\x21-\x7e]+$/.test(key)) throw new ApiError(401, NO_KEY, "", null);
  if (key) init.headers.authorization = `Bearer ${key}`;
  if (body !== undefined) {
    init.headers["content-type"] = "application/json";
    init.body = JSON.stringify(body);
  }
  let response;
  try {
    response = await fetch(address(path, parameters), init);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, UNREACHED, "", null);
  }
  if (response.ok) return response;
  throw await problemOf(response);
}

/** The JSON at a path. */
export async function get(path, parameters, signal) {
  return json(await request("GET", path, { parameters, signal }));
}

/**
 * The JSON at a path; a number that JavaScript would round or format differently is kept as it was written, unless values
 * are nested too deeply for a reviver, which is called recursively.
 */
export async function getAsWritten(path, parameters, signal) {
  const response = await request("GET", path, { parameters, signal });
  const kept = (_, value, { source } = {}) => (typeof value === "number" && source && JSON.rawJSON && String(value) !== source ? JSON.rawJSON(source) : value);
  const text = await response.text();
  try {
    return JSON.parse(text, kept);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    return JSON.parse(text);
  }
}

/** Sends JSON; returns JSON or nothing. */
export async function send(method, path, body, headers) {
  const response = await request(method, path, { body, headers });
  return response.status === 204 ? null : json(response);
}

/** Rows of all pages up to `rowsMax`, the first page's other members, and the cursor of the rest. */
export async function getAll(path, parameters, rowsMax, signal) {
  const first = await get(path, parameters, signal);
  const rows = first.rows;
  let cursor = first.next_cursor;
  while (cursor && rows.length < rowsMax) {
    const page = await get(path, { ...parameters, cursor }, signal);
    rows.push(...page.rows);
    cursor = page.next_cursor;
  }
  return { ...first, rows, next_cursor: cursor };
}

/** From this size on a download is streamed to disk, if the browser supports it. Bytes. */
const STREAMED_FROM = 32e6;

/**
 * Downloads a file of the API. A large one is streamed to disk if the browser supports it, so that an export of
 * gigabytes does not have to fit in memory. `size`: its bytes, if known; `onBytes` is called with the bytes received.
 */
export async function download(path, parameters, name, { size = 0, headers, onBytes = () => {} } = {}) {
  const streamed = size >= STREAMED_FROM && window.showSaveFilePicker;
  const target = streamed ? await window.showSaveFilePicker({ suggestedName: name }) : null;
  const response = await request("GET", path, { parameters, headers });
  let received = 0;
  const counting = new TransformStream({
    transform(chunk, controller) {
      received += chunk.byteLength;
      onBytes(received);
      controller.enqueue(chunk);
    },
  });
  const stream = response.body.pipeThrough(counting);
  if (target) return stream.pipeTo(await target.createWritable());
  save(await new Response(stream).blob(), name);
}

/** Downloads all pages of a table as one file. */
export async function downloadCsv(path, parameters, name) {
  const parts = [];
  let cursor;
  do {
    const response = await request("GET", path, { parameters: { ...parameters, cursor, format: "csv" } });
    const text = await response.text();
    // Each page begins with the header line.
    parts.push(parts.length === 0 ? text : text.slice(text.indexOf("\n") + 1));
    cursor = response.headers.get("x-next-cursor");
  } while (cursor);
  save(new Blob(parts, { type: "text/csv" }), name);
}

/** Offers bytes in memory as a download. */
export function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

/** A path with parameters. `undefined` and `null` are left out; an empty one is sent, and means the empty value. */
export function address(path, parameters) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== undefined && one !== null) query.append(name, one);
    }
  }
  const text = query.toString();
  return text ? `${path}?${text}` : path;
}

async function json(response) {
  try {
    return await response.json();
  } catch {
    throw new ApiError(response.status, UNREADABLE, response.headers.get("x-request-id") ?? "", null);
  }
}

async function problemOf(response) {
  const id = response.headers.get("x-request-id") ?? "";
  const retryAfter = Number.parseInt(response.headers.get("retry-after") ?? "", 10);
  let problem;
  try {
    problem = await response.json();
  } catch {
    problem = { title: response.statusText || "the request failed", detail: "" };
  }
  // What the API says to programs is no help to whoever pasted a key.
  if (response.status === 401) problem.detail = "this key is not in force: it is mistyped, has expired or was revoked";
  return new ApiError(response.status, problem, problem.request_id ?? id, Number.isNaN(retryAfter) ? null : retryAfter);
}
