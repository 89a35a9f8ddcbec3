// Spans of time that readers choose: the last hours, days or months, or from one moment to another.

const HOUR = 3600;
const DAY = 24 * HOUR;

/** The spans that end now, and the one without ends, by their names in URLs. */
export const RANGES = {
  "6h": { text: "Last 6 hours", seconds: 6 * HOUR },
  "24h": { text: "Last 24 hours", seconds: DAY },
  "7d": { text: "Last 7 days", seconds: 7 * DAY },
  "30d": { text: "Last 30 days", seconds: 30 * DAY },
  "90d": { text: "Last 90 days", seconds: 90 * DAY },
  "1y": { text: "Last 12 months", seconds: 365 * DAY },
  "2y": { text: "Last 24 months", seconds: 730 * DAY },
  all: { text: "All time", seconds: null },
};

/** The name of a span given by its ends. */
export const CUSTOM = "custom";

/** Choices for a select field. */
export const choices = (names) => [...names.map((name) => [name, RANGES[name].text]), [CUSTOM, "From … to …"]];

/**
 * `{ from, to }` in seconds, for a named span or given ends. `step` widens it to whole steps. An open end is `null`.
 * A link can be mistyped: throws if an end is no time, since without it more would be asked for than was meant.
 */
export function span(name, from, to, step = 1, now = Date.now() / 1000) {
  if (name === "all") return { from: null, to: null };
  if (name in RANGES) {
    const end = Math.ceil(now / step) * step;
    return { from: Math.floor((end - RANGES[name].seconds) / step) * step, to: end };
  }
  return { from: parsed("from", from), to: parsed("to", to) };
}

/** Seconds as a time for the API; an open end is `undefined`. */
export const moment = (seconds) => (seconds === null ? undefined : new Date(seconds * 1000).toISOString().replace(".000Z", "Z"));

function parsed(parameter, text) {
  if (!text) return null;
  const time = Date.parse(text);
  if (!Number.isNaN(time)) return time / 1000;
  const detail = `“${text}” is no time: write one such as 2026-12-03T14:00Z`;
  throw Object.assign(new Error(detail), { status: 400, problem: { parameter, detail } });
}
