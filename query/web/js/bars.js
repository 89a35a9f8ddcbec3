// Stacked counts over time, with the same numbers in a table for readers who cannot see the bars.

import { chart } from "./chart.js";
import { h } from "./dom.js";
import { count, minute, seconds } from "./format.js";
import { everyStep, next, timesOf } from "./steps.js";
import { table } from "./table.js";

/** `rows` of counts; `at(row)` is the time, `kind(row)` the part of the bar, `step` its seconds. `kinds`: `{ name, colour }`. */
export function barChart({ caption, rows, at, kind, kinds, span, step }) {
  const known = timesOf(rows, (row) => seconds(at(row)));
  // Two steps that are neighbours tell how wide a bar is.
  const times = everyStep([...known, next(known.at(-1), step)], step);
  const by = new Map(rows.map((row) => [`${seconds(at(row))} ${kind(row)}`, row.count]));
  const counts = kinds.map(({ name }) => times.map((time) => by.get(`${time} ${name}`) ?? 0));
  // The tallest bar is drawn first: each is the sum of its own count and those below.
  const stacked = counts.map((_, index) => times.map((_, at) => counts.slice(0, index + 1).reduce((sum, part) => sum + part[at], 0)));
  const series = kinds.map(({ name, colour }, index) => ({ label: name, values: stacked[index], bars: true, index: colour })).reverse();
  const first = span[0] ?? times[0];
  const last = Math.max(span[1] ?? 0, known.at(-1) ?? 0);
  const list = table({
    caption,
    quietCaption: true,
    tall: true,
    rows: times.map((time, index) => ({ time, index })).filter(({ time }) => known.includes(time)),
    columns: [
      { title: "From (UTC)", time: true, head: true, value: (row) => minute(row.time) },
      ...kinds.map(({ name }, index) => ({ title: name, num: true, value: (row) => count(counts[index][row.index]) })),
    ],
  });
  const figure = chart({ times, series, span: [first, last], step, incompleteFrom: Infinity, height: 120, zero: true });
  figure.append(h("figcaption", {}, caption));
  return [figure, h("details", {}, h("summary", {}, "Counts as a table"), list)];
}
