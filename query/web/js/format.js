// Numbers, sizes and times for display. All times are UTC, which the footer says once.

const NUMBER = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const COMPACT = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 4 });
/** The prefixes of the SI: beside a unit, "B" reads as bytes. */
const PREFIXES = { K: "k", B: "G" };

/** A count: 1,234,567. */
export const count = (value) => (value === null || value === undefined ? "–" : NUMBER.format(value));

/** A measurement: five significant digits or all those of the whole part; very large and very small ones in scientific notation. */
export function number(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  const size = Math.abs(value);
  if (size !== 0 && (size >= 1e15 || size < 1e-4)) return value.toExponential(3);
  return new Intl.NumberFormat("en", size >= 1e4 ? { maximumFractionDigits: size >= 1e6 ? 0 : 1 } : { maximumSignificantDigits: 5 }).format(value);
}

/** A compact measurement: 1.2M, 3.4G. */
export function shortNumber(value) {
  if (value === null || value === undefined) return "";
  const size = Math.abs(value);
  if (size >= 1e4 && size < 1e15) return COMPACT.format(value).replace(/[KB]$/, (prefix) => PREFIXES[prefix]);
  return number(value);
}

/** Values along an axis: as short as they can be told apart. */
export function ticksText(ticks) {
  const short = ticks.map(shortNumber);
  return new Set(short).size === ticks.length ? short : ticks.map((tick) => (Math.abs(tick) < 1e15 ? tick.toLocaleString("en", { maximumFractionDigits: 12 }) : String(tick)));
}

/** Bytes: 12.3 MB. */
export function bytes(value) {
  if (value === null || value === undefined) return "–";
  const units = ["B", "kB", "MB", "GB", "TB", "PB"];
  let size = value;
  let unit = 0;
  while (size >= 1000 && unit < units.length - 1) {
    size /= 1000;
    unit += 1;
  }
  return `${unit === 0 ? size : size.toFixed(size < 10 ? 2 : 1)} ${units[unit]}`;
}

/** A duration in seconds: 2 h 5 min. */
export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 0) return `-${duration(-seconds)}`;
  if (seconds < 0.9995) return `${Math.round(seconds * 1000)} ms`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 2880) return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
  return `${Math.round(seconds / 86400)} days`;
}

/** Seconds since 1970 from a time of the API, or `null`. */
export const seconds = (moment) => (moment ? Date.parse(moment) / 1000 : null);

/** A time to the second, `2026-01-31 12:00:05`; with `precise`, with all digits of the API. */
export function time(moment, precise = false) {
  if (!moment) return "–";
  const [date, clock] = (typeof moment === "number" ? new Date(moment * 1000).toISOString() : moment).split("T");
  if (!clock) return date;
  const bare = clock.replace("Z", "");
  return `${date} ${precise ? bare : bare.slice(0, 8)}`;
}

/** A time to the minute. */
export const minute = (moment) => (moment ? time(moment).slice(0, 16) : "–");

/** A value for `<input type="datetime-local">`, to the minute. */
export const inputTime = (moment) => (moment && !Number.isNaN(Date.parse(moment)) ? new Date(moment).toISOString().slice(0, 16) : "");

/** The value of such an input for the API. */
export const apiTime = (input) => (input ? `${input.length === 16 ? `${input}:00` : input}Z` : "");

/** `1 row`, `2 rows`. */
export const plural = (amount, noun) => `${count(amount)} ${noun}${amount === 1 ? "" : "s"}`;
