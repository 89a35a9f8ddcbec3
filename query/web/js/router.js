// Routing by the fragment of the URL: views can be linked and bookmarked, the server needs no rule for them, and
// filters, which may name people, never appear in its logs or in a Referer.

/** The view and its parameters: `#/audit/events/ID?x=1` is `{ path: ["audit", "events", "ID"], parameters }`. */
export function current() {
  const fragment = location.hash.startsWith("#/") ? location.hash.slice(2) : "metrics";
  const [path, query = ""] = fragment.split("?", 2);
  return { path: path.split("/").map(decode), parameters: new URLSearchParams(query) };
}

/** The URL of a view. Empty parameters are left out. */
export function href(path, parameters = {}) {
  const query = new URLSearchParams();
  const entries = parameters instanceof URLSearchParams ? parameters : Object.entries(parameters);
  for (const [name, value] of entries) {
    if (value !== "" && value !== null && value !== undefined && value !== false) query.append(name, value);
  }
  const text = query.toString();
  return `#/${path.map(encodeURIComponent).join("/")}${text ? `?${text}` : ""}`;
}

/** Goes there, with a new entry in the history. */
export function navigate(path, parameters) {
  const target = href(path, parameters);
  if (target === location.hash) window.dispatchEvent(new HashChangeEvent("hashchange"));
  else location.hash = target;
}

function decode(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
