// The API, as the page uses it. Enters: a path and parameters. Leaves: parsed JSON, or an `ApiError` with the problem
// details (RFC 9457) that the server gave. The key goes into a header, never into an address.

import * as session from "./session.js";

/** Why there is no answer. `status` is 0 where the server was not reached. */
export class ApiError extends Error {
  constructor(status, problem, requestId, retryAfterSeconds) {
    super(problem.detail || problem.title);
    this.status = status;
    this.problem = problem;
    this.requestId = requestId;
    this.retryAfterSeconds = retryAfterSeconds;
  }
}

const UNREACHED = { title: "the server is not reached", detail: "check the connection and that the service is running" };
const NO_KEY = { title: "this is not a key", detail: "a key has letters, digits and signs of ASCII alone: paste it once more" };
const UNREADABLE = { title: "the answer is not what this page expects", detail: "an older page may be open: load it anew" };

/** Sends one request; the response where it went well. */
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

/** The JSON at a path, in which a number that JavaScript would round or write otherwise is kept as it was written. */
export async function getAsWritten(path, parameters, signal) {
  const response = await request("GET", path, { parameters, signal });
  const kept = (_, value, { source } = {}) => (typeof value === "number" && source && JSON.rawJSON && String(value) !== source ? JSON.rawJSON(source) : value);
  return JSON.parse(await response.text(), kept);
}

/** Sends JSON, gets JSON or nothing. */
export async function send(method, path, body, headers) {
  const response = await request(method, path, { body, headers });
  return response.status === 204 ? null : json(response);
}

/** Rows of all pages up to `rowsMax`, the first page's other members, and the cursor of what was left. */
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

/** From this size on a download is streamed to disk, where the browser can. Bytes. */
const STREAMED_FROM = 32e6;

/**
 * Puts a file of the API into the reader's downloads. A large one is streamed to disk where the browser can do that, so that
 * an export of gigabytes does not have to fit in memory. `size`: its bytes, where known; `onBytes` hears how many came.
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

/** Puts all pages of a table into one file of the reader's downloads. */
export async function downloadCsv(path, parameters, name) {
  const parts = [];
  let cursor;
  do {
    const response = await request("GET", path, { parameters: { ...parameters, cursor, format: "csv" } });
    const text = await response.text();
    // Each page begins with the line of names.
    parts.push(parts.length === 0 ? text : text.slice(text.indexOf("\n") + 1));
    cursor = response.headers.get("x-next-cursor");
  } while (cursor);
  save(new Blob(parts, { type: "text/csv" }), name);
}

/** Offers bytes that are here already as a download. */
export function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

/** A path with parameters. One that is `undefined` or `null` is left out; one that is empty is given, and means the empty value. */
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
  return new ApiError(response.status, problem, problem.request_id ?? id, Number.isNaN(retryAfter) ? null : retryAfter);
}
