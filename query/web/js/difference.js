// What an event changed, for display: the leaves that differ, each with its path. Pure.
//
// The server reports changes by JSON Pointer. A value that was added or removed as a whole is split here, so that each
// of its fields has a line of its own.

/** Values are split down to this depth, as deep as the server compares them. */
const DEPTH_MAX = 64;
const KINDS = { add: "added", remove: "removed", replace: "changed" };

/** `{ path, kind: "added" | "removed" | "changed", before, after }` for each leaf that differs. */
export function changesOf(difference) {
  const { changes } = difference;
  return changes.flatMap(({ op, path, old, new: after }) => {
    if (op === "replace") return [{ path: readable(path), kind: KINDS[op], before: old, after }];
    const side = op === "add" ? "after" : "before";
    return leaves(op === "add" ? after : old, path).map((leaf) => ({ path: readable(leaf.path), kind: KINDS[op], [side]: leaf.value }));
  });
}

/** A JSON value as one line; a string as its text, unless that is blank or reads as another value would. */
export function shown(value) {
  if (value === undefined) return "";
  return typeof value === "string" && isPlain(value) ? value : asJson(value);
}

/** Quotes tell a text from a number, and say where blanks begin and end. */
function isPlain(text) {
  return text !== "" && text === text.trim() && !/^(?:null|true|false|-?\d[\d.eE+-]*|[[{"].*)$/s.test(text);
}

/** A value as JSON, or why it has none: the engine of the browser writes it recursively. */
export function asJson(value, indent) {
  try {
    return JSON.stringify(value, null, indent);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    return "nested too deeply to be shown here; the API and exports have it";
  }
}

/** The parts of two texts: their common prefix and suffix, and what differs between. */
export function parts(before, after) {
  const shortest = Math.min(before.length, after.length);
  let head = 0;
  while (head < shortest && before[head] === after[head]) head += 1;
  if (isHalf(before, head) || isHalf(after, head)) head -= 1;
  let tail = 0;
  while (tail < shortest - head && before.at(-1 - tail) === after.at(-1 - tail)) tail += 1;
  if (isHalf(before, before.length - tail) || isHalf(after, after.length - tail)) tail -= 1;
  const cut = (text) => ({ head: text.slice(0, head), middle: text.slice(head, text.length - tail), tail: text.slice(text.length - tail) });
  return { before: cut(before), after: cut(after) };
}

/** Whether a place is within a character that takes two units of UTF-16. */
const isHalf = (text, at) => at > 0 && text.codePointAt(at - 1) > 0xffff;

/** The leaves of a value, each with its path. A number kept as it was written is a leaf. */
function leaves(value, path, depth = 0) {
  const isBranch = depth < DEPTH_MAX && typeof value === "object" && value !== null && !JSON.isRawJSON?.(value) && Object.keys(value).length > 0;
  if (!isBranch) return [{ path, value }];
  const escaped = (name) => name.replaceAll("~", "~0").replaceAll("/", "~1");
  return Object.entries(value).flatMap(([name, one]) => leaves(one, `${path}/${escaped(name)}`, depth + 1));
}

/** A JSON Pointer (RFC 6901) as people write paths: `owner.name`, `limits[2]`, `["a b"]`. */
function readable(pointer) {
  const names = pointer.split("/").slice(1).map((name) => name.replaceAll("~1", "/").replaceAll("~0", "~"));
  return names.reduce((path, name) => {
    if (/^\d+$/.test(name)) return `${path}[${name}]`;
    if (!/^[A-Za-z_$][\w$-]*$/.test(name)) return `${path}[${JSON.stringify(name)}]`;
    return path ? `${path}.${name}` : name;
  }, "");
}
