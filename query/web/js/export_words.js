// Exports in words: their state, progress and contents.

import { h } from "./dom.js";
import { count, plural, time } from "./format.js";
import { tag } from "./table.js";

const STATES = { queued: "", running: "warn", complete: "good", failed: "bad", cancelled: "" };

/** The state as a coloured word. */
export const stateTag = (job) => tag(job.state, STATES[job.state] ?? "");

/** Whether the state is final. */
export const isFinal = (job) => ["complete", "failed", "cancelled"].includes(job.state);

/** The progress as a bar and as text. */
export function progress(job) {
  if (job.state === "complete") return plural(job.rows, "event");
  if (job.rows_planned === null || job.rows_planned === undefined) return isFinal(job) ? "–" : "being counted";
  const words = `${count(job.rows)} of ${count(job.rows_planned)}`;
  if (isFinal(job)) return words;
  const bar = h("progress", { class: "meter", max: Math.max(job.rows_planned, 1), value: null, "aria-label": `Progress of the export: ${words} events` });
  bar.value = job.rows;
  return [h("span", { class: "small" }, words), bar];
}

/** Later copies of events, which are not in the files; nothing if there are none. */
export function repeats(job) {
  if (!job.repeats) return null;
  const left = `${count(job.repeats)} later ${job.repeats === 1 ? "copy" : "copies"} of events left out`;
  return job.differing ? [`${left}, of which `, tag(`${count(job.differing)} with another content`, "warn"), " (the manifest names their events)"] : left;
}

/** The request in one line. */
export function filterText(job) {
  const { from, to, ...rest } = job.filter;
  const span = from || to ? `${from ? time(from) : "the beginning"} – ${to ? time(to) : "when it was requested"}` : "all time";
  const filters = Object.entries(rest).map(([name, value]) => `${name} = ${value}`);
  return [span, ...filters].join(", ");
}
