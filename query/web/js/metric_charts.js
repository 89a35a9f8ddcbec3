// Rows of metrics as charts and as a table, with the same numbers.

import { chart } from "./chart.js";
import { h } from "./dom.js";
import { count, minute, number, plural, seconds } from "./format.js";
import { everyStep, timesOf } from "./steps.js";
import { table } from "./table.js";

/** The charts that can be drawn. `lines` are columns; a band is between two of them. */
export const MEASURES = {
  bands: { text: "Median, p95, p99", lines: ["p50", "p95", "p99"] },
  extremes: { text: "Average, min, max", lines: ["avg", "min", "max"] },
  avg: { text: "Average", lines: ["avg"] },
  p50: { text: "Median", lines: ["p50"] },
  p95: { text: "95th percentile", lines: ["p95"] },
  p99: { text: "99th percentile", lines: ["p99"] },
  sum: { text: "Sum", lines: ["sum"] },
  count: { text: "Count", lines: ["count"] },
  rate: { text: "Rate of a counter", lines: ["rate"], counters: true },
  increase: { text: "Increase of a counter", lines: ["increase"], counters: true },
};

/** More charts or lines would not be readable. */
const GROUPS_MAX = 12;
const KEYS = ["service_id", "plugin_id", "environment", "team_id", "metric_type", "unit"];

/** Charts, then the table. */
export function drawSeries({ answer, asked, span, step }) {
  const groups = grouped(answer.rows);
  const measure = MEASURES[asked.show] ?? MEASURES.bands;
  const times = everyStep(timesOf(answer.rows, (row) => seconds(startOf(row))), step);
  const incompleteFrom = firstIncomplete(answer, step);
  const shared = { times, span: [Math.min(span[0], times[0]), Math.max(span[1], times[0] + step)], incompleteFrom, step };
  const drawn = groups.slice(0, GROUPS_MAX);
  // What has another unit has another axis.
  const byUnit = [...Map.groupBy(drawn, (group) => group.rows[0].unit).values()];
  const figures = measure.lines.length === 1
    ? byUnit.map((of) => together(of, measure.lines[0], { ...shared, unit: unitOf(of[0].rows[0], measure) }))
    : drawn.map((group) => banded(group, measure, { ...shared, unit: unitOf(group.rows[0], measure) }, groups.length > 1));
  return [
    h(
      "section",
      { class: "panel", "aria-label": "Charts" },
      h("div", { class: figures.length > 1 ? "charts" : "" }, figures),
      caption(answer, incompleteFrom, shared.span, groups.length),
      groups.length === 1 && measure.lines[0] !== "count" && counts(groups[0], shared),
    ),
    h("details", { class: "panel", open: answer.rows.length <= 48 }, h("summary", {}, "Values as a table"), dataTable(answer)),
  ];
}

/** The unit of a chart: a rate is per second, a count has none. */
function unitOf({ unit }, { lines }) {
  if (lines[0] === "count") return "";
  return lines[0] === "rate" ? `${unitText(unit) || "1"}/s` : unitText(unit);
}

/** `1` says that there is no unit. */
export const unitText = (unit) => (unit === "1" ? "" : (unit ?? ""));

/** Start of a row. */
export const startOf = (row) => row.start;

/** Rows by group; groups with the most records first. */
function grouped(rows) {
  const varying = KEYS.filter((key) => new Set(rows.map((row) => row[key])).size > 1);
  const name = (row) => varying.map((key) => row[key] || `no ${key.replace("_id", "")}`).join(" · ");
  const groups = [...Map.groupBy(rows, name)].map(([label, members]) => ({ label, rows: members, records: members.reduce((sum, row) => sum + row.count, 0) }));
  return groups.sort((one, other) => other.records - one.records);
}

function valuesAt(times, rows, column) {
  const by = new Map(rows.map((row) => [seconds(startOf(row)), row[column] ?? null]));
  return times.map((time) => by.get(time) ?? null);
}

/** One column of every group, in one chart. */
function together(groups, column, shared) {
  const series = groups.map((group, index) => ({ label: group.label || column, values: valuesAt(shared.times, group.rows, column), index }));
  return chart({ ...shared, series, sync: "metrics" });
}

/** Several columns of one group, with bands between them. */
function banded(group, { lines }, shared, titled) {
  const series = lines.map((column, at) => ({ label: column, values: valuesAt(shared.times, group.rows, column), index: 0, width: at === 0 ? 2 : 1.2, dash: [[], [6, 3], [2, 3]][at] }));
  const [middle, upper, outer] = [0, 1, 2];
  const bands = lines.includes("p99") ? [{ upper: upper, lower: middle, opacity: 0.3 }, { upper: outer, lower: upper, opacity: 0.14 }] : [{ upper: outer, lower: upper, opacity: 0.16 }];
  return chart({ ...shared, series, bands, title: titled ? group.label : undefined, sync: "metrics" });
}

function counts(group, shared) {
  const series = [{ label: "records", values: valuesAt(shared.times, group.rows, "count"), bars: true, index: 5 }];
  return chart({ ...shared, unit: "", series, sync: "metrics", height: 110, zero: true });
}

/** Start of the first step that may still get records on time. Steps are UTC hours and days, or as the rows say. */
function firstIncomplete(answer, step) {
  if (answer.complete_through === null) return -Infinity;
  const open = answer.rows.filter((row) => !row.complete).map((row) => seconds(startOf(row)));
  const through = seconds(answer.complete_through);
  return Math.min(...open, step > 86400 ? through : Math.floor(through / step) * step);
}

function caption(answer, incompleteFrom, [from, to], groups) {
  const shown = groups > GROUPS_MAX ? ` The ${GROUPS_MAX} groups with the most records of ${groups} are drawn; the table has all.` : "";
  const words = () => {
    if (answer.complete_through === null) return "Hatched: nothing is known to be complete yet.";
    if (incompleteFrom >= to) return "Everything shown is complete.";
    const which = incompleteFrom <= from ? "Everything shown, hatched," : `What begins at ${minute(incompleteFrom)} or later, hatched,`;
    return `${which} is not complete yet: more records may still arrive on time.`;
  };
  return h("p", { class: "small muted" }, words(), shown);
}

function dataTable(answer) {
  const present = KEYS.filter((key) => new Set(answer.rows.map((row) => row[key])).size > 1 || (key.endsWith("_id") && answer.rows[0][key]));
  const titles = { service_id: "Service", plugin_id: "Plugin", environment: "Environment", team_id: "Team", metric_type: "Type", unit: "Unit" };
  const numeric = ["avg", "min", "max", "p50", "p95", "p99", "sum", "increase", "rate", "resets"].filter((column) => answer.rows.some((row) => typeof row[column] === "number"));
  const late = answer.rows.some((row) => row.late_count > 0);
  const fresh = answer.rows.some((row) => row.fresh_count > 0);
  const TABLE_MAX = 2000;
  const rows = answer.rows.slice(0, TABLE_MAX);
  return table({
    caption: answer.rows.length > TABLE_MAX ? `The first ${plural(TABLE_MAX, "row")} of ${count(answer.rows.length)}; the download has all` : plural(rows.length, "row"),
    tall: true,
    rows,
    rowClass: (row) => (row.complete ? null : "incomplete"),
    columns: [
      { title: "From (UTC)", time: true, head: true, value: (row) => minute(startOf(row)) },
      ...present.map((key) => ({ title: titles[key], value: (row) => row[key] })),
      { title: "Count", num: true, value: (row) => count(row.count) },
      late && { title: "Late", num: true, value: (row) => count(row.late_count) },
      fresh && { title: "Fresh", num: true, value: (row) => count(row.fresh_count) },
      ...numeric.map((column) => ({ title: column, num: true, value: (row) => number(row[column]) })),
      { title: "State", value: (row) => (row.complete ? "complete" : "not complete yet") },
    ].filter(Boolean),
  });
}
