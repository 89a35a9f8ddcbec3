// The session: an API key in this tab's session storage and nowhere else. It is gone when the tab closes.

const KEY = "horolog-key";
const TENANT = "horolog-tenant";

let memory = {};

function read(name) {
  try {
    return sessionStorage.getItem(name) ?? memory[name] ?? "";
  } catch {
    return memory[name] ?? "";
  }
}

function write(name, value) {
  memory[name] = value;
  try {
    if (value) sessionStorage.setItem(name, value);
    else sessionStorage.removeItem(name);
  } catch {
    // Storage may be disabled; the session then lasts until the page is left.
  }
}

/** The key, or the empty string. */
export const key = () => read(KEY);

/** The tenant to ask about if the key is for any tenant. */
export const tenant = () => read(TENANT);

/** Signs in. */
export function start(newKey, newTenant) {
  write(KEY, newKey);
  write(TENANT, newTenant);
}

/** Signs out. */
export function end() {
  memory = {};
  write(KEY, "");
  write(TENANT, "");
}
