// Metrics explorer: one metric over time, in total or by group, with quantile bands and incomplete data marked.

import { downloadCsv, get, getAll } from "../api.js";
import { announce, h } from "../dom.js";
import { pressed } from "../focus.js";
import { check, clearInvalid, form, input, markInvalid, segmented, select } from "../fields.js";
import { apiTime, duration, minute, plural, seconds, time } from "../format.js";
import { empty, failure, loading } from "../notices.js";
import { filled, signedOut } from "../panel.js";
import { rangeFields } from "../range_fields.js";
import { CUSTOM, moment, span } from "../ranges.js";
import { href, navigate } from "../router.js";
import { scoped } from "../scope.js";
import { STEPS } from "../steps.js";
import { figures } from "../table.js";
import { drawSeries, MEASURES, startOf, unitText } from "../metric_charts.js";

export const title = "Metrics";

const RANGE_NAMES = ["6h", "24h", "7d", "30d", "90d", "1y", "2y", "all"];
/** Before all records: older ones are rejected. */
const BEGINNING = "2000-01-01";
const RESOLUTIONS = { hourly: { text: "Hourly", seconds: STEPS.hour }, daily: { text: "Daily", seconds: STEPS.day }, monthly: { text: "Monthly", seconds: STEPS.month } };
/** From this lag on, the partitions that cause it are named. Seconds. */
const HELD_BACK_WORTH_A_WORD = 900;
/** Counters are computed in whole hours, so this much more lag is normal. Seconds. */
const HOUR = 3600;
const GROUPS = [["", "Nothing"], ["service_id", "Service"], ["plugin_id", "Plugin"], ["environment", "Environment"], ["team_id", "Team"]];
const FILTERS = ["service_id", "plugin_id", "environment", "team_id"];
/** With more rows a chart shows nothing more, and a download is better. */
const ROWS_MAX = 20_000;
/** All of them in one answer, which the service caches. */
const PAGE_ROWS = ROWS_MAX;
/** More names are too many to choose from. */
const NAMES_MAX = 1_000;
/** The measures to request: those that can be drawn. */
const MEASURED = "avg,min,max,sum,p50,p95,p99";

export async function mount(container, { parameters, signal }) {
  const asked = Object.fromEntries(parameters);
  const heading = h("div", { class: "view-head" }, h("h1", { tabindex: "-1" }, "Metrics"), h("p", { class: "break" }, asked.metric_name ?? ""));
  const waiting = loading("metrics");
  container.append(heading, waiting);
  const known = await knownMetrics(asked, signal).finally(() => waiting.remove());
  if (known.error && !asked.metric_name) throw known.error;
  const { names } = known;
  asked.show ??= names.find((row) => row.metric_name === asked.metric_name)?.metric_type === "counter" ? "rate" : "bands";
  const question = explorerForm(asked, names);
  container.append(h("section", { class: "panel", "aria-label": "Question" }, question));
  if (!asked.metric_name) {
    container.append(start(known));
    return null;
  }
  const view = filled({
    what: asked.metric_name,
    signal,
    load: (abort) => getAll(pathOf(asked), { ...parametersOf(asked), limit: PAGE_ROWS }, ROWS_MAX, abort),
    draw: (answer) => {
      clearInvalid(question);
      return draw(answer, asked);
    },
    onFailure: (error) => {
      const named = error.problem?.parameter;
      if (named) markInvalid(question, named, error.problem.detail);
      return false;
    },
  });
  container.append(view.place);
  return view.refresh();
}

const resolution = (asked) => (asked.by in RESOLUTIONS ? asked.by : "hourly");
const rangeName = (asked) => asked.range ?? (asked.from || asked.to ? CUSTOM : "24h");

function spanOf(asked) {
  return span(rangeName(asked), asked.from, asked.to, RESOLUTIONS[resolution(asked)].seconds === 3600 ? 3600 : 86400);
}

function parametersOf(asked) {
  const { from, to } = spanOf(asked);
  const filters = Object.fromEntries(FILTERS.map((name) => [name, asked[name]]));
  const told = ofCounters(asked) ? {} : { measures: MEASURED, fresh: asked.fresh ? "true" : undefined };
  return scoped({ metric_name: asked.metric_name, ...filters, group_by: asked.group_by ?? "", ...told, from: moment(from), to: moment(to) });
}

/** Increase and rate, which only counters have, have endpoints of their own. */
const ofCounters = (asked) => MEASURES[asked.show]?.counters === true;
const pathOf = (asked) => `/v1/metrics/${ofCounters(asked) ? "counters/" : ""}${resolution(asked)}`;

/** The names to choose from: those of the last days, or of all time if these are not enough. */
async function knownMetrics(asked, signal) {
  const answer = await metricNames(signal);
  const recent = answer.rows;
  const isRecent = (name) => recent.some((row) => row.metric_name === name);
  // Imported history may have no recent data.
  const ofAllTime = asked.names === "all" || recent.length === 0 || (asked.metric_name && !isRecent(asked.metric_name));
  const { rows: names, more, error } = ofAllTime && !answer.error ? await metricNames(signal, BEGINNING) : answer;
  return { names, more, error, isRecent, ofAllTime };
}

/** Names to suggest: those of the last days, or since a given day. Without them any name can still be typed. */
async function metricNames(signal, from) {
  try {
    return await get("/v1/metrics/names", scoped({ from, limit: NAMES_MAX }), signal);
  } catch (error) {
    if (signal.aborted || [401, 403].includes(error.status)) throw error;
    return { rows: [], more: false, error };
  }
}

function explorerForm(asked, names) {
  const submit = (given) => {
    const ends = given.range === CUSTOM ? { from: apiTime(given.from), to: apiTime(given.to) } : { from: "", to: "" };
    navigate(["metrics"], { ...given, ...ends });
  };
  const filter = (name, label) => input({ label, name, value: asked[name] ?? "" });
  return form(
    "Explore a metric",
    submit,
    h(
      "div",
      { class: "fields" },
      input({ label: "Metric", name: "metric_name", value: asked.metric_name ?? "", options: names.map((row) => row.metric_name), wide: true, required: true }),
      rangeFields({ names: RANGE_NAMES, value: rangeName(asked), from: asked.from, to: asked.to }),
      select({ label: "Group by", name: "group_by", value: asked.group_by ?? "", options: GROUPS }),
      select({ label: "Show", name: "show", value: asked.show, options: Object.entries(MEASURES).map(([key, { text }]) => [key, text]) }),
      segmented({ label: "Resolution", name: "by", value: resolution(asked), options: Object.entries(RESOLUTIONS).map(([key, { text }]) => [key, text]) }),
      filter("service_id", "Service"),
      filter("plugin_id", "Plugin"),
      filter("environment", "Environment"),
      filter("team_id", "Team"),
      check({ label: "Fresh: add records not aggregated yet", name: "fresh", value: asked.fresh, wide: true }),
    ),
    h("div", { class: "form-end" }, h("button", { class: "primary" }, "Show")),
  );
}

/** Shown before a metric is chosen. */
function start({ names, more, isRecent, ofAllTime }) {
  if (names.length === 0) return h("div", { class: "panel" }, empty("No metrics yet", "Metrics appear here a few seconds after their first records."));
  const place = (name) => href(["metrics"], { metric_name: name, range: isRecent(name) ? "" : "all" });
  const link = (row) => h("li", {}, h("a", { href: place(row.metric_name) }, row.metric_name), unitText(row.unit) && h("span", { class: "muted" }, ` ${row.unit}`));
  return h(
    "section",
    { class: "panel" },
    h("h2", {}, more && "The first ", plural(names.length, "metric"), ofAllTime ? "" : " of the last seven days"),
    more && h("p", { class: "notice warn" }, "There are more metrics than are listed and suggested: type the name of another one above."),
    h("ul", { class: "names" }, names.map(link)),
    !ofAllTime && h("p", {}, h("a", { href: href(["metrics"], { names: "all" }) }, "Metrics of all time")),
  );
}

function draw(answer, asked) {
  const { from, to } = spanOf(asked);
  const step = RESOLUTIONS[resolution(asked)].seconds;
  announce(`${plural(answer.rows.length, "row")} of ${asked.metric_name}`);
  const facts = completeness(answer, asked);
  if (answer.rows.length === 0) {
    const advice = ofCounters(asked) ? "Only counters have rates, once an hour is complete. Show something else, or widen the time." : "Widen the time or remove a filter.";
    const whole = rangeName(asked) !== "all" && h("p", {}, h("a", { href: href(["metrics"], { ...asked, range: "all", from: "", to: "" }) }, "Show all time"));
    return [facts, h("div", { class: "panel" }, empty("No values in this span", advice, whole))];
  }
  return [
    facts,
    answer.next_cursor && h("p", { class: "notice warn" }, `Only the first ${plural(answer.rows.length, "row")} are shown: narrow the span, choose a coarser resolution, or download them all.`),
    drawSeries({ answer, asked, span: [from ?? seconds(startOf(answer.rows[0])), to ?? seconds(startOf(answer.rows.at(-1))) + step], step }),
    downloads(asked),
  ];
}

/** Shown with every answer: through when nothing is missing, and what limits that. */
function completeness(answer, asked) {
  const through = answer.complete_through;
  const { held_back_by: lagging = [] } = answer;
  const now = new Date().toISOString();
  const behind = through ? seconds(now) - seconds(through) : null;
  return [
    figures([
      ["Complete through", through ? minute(through) : "not known", through ? `${duration(Math.max(behind, 0))} before this answer` : "some partitions have not been heard from"],
      ["As of", time(answer.as_of ?? now), source(asked)],
      ["Rows", plural(answer.rows.length, "row"), kind(answer.rows)],
    ]),
    lagging.length > 0 && (through === null || behind > HELD_BACK_WORTH_A_WORD + (ofCounters(asked) ? HOUR : 0)) && h("p", { class: "notice warn" }, heldBack(lagging)),
  ];
}

/** What the rows were made of. */
function source(asked) {
  if (ofCounters(asked)) return "computed from whole series";
  return asked.fresh ? "with records that are not aggregated yet" : "aggregated records only";
}

/** The partitions that hold completeness back, and why. */
function heldBack(lagging) {
  const unheard = lagging.filter((one) => one.watermark === null);
  const names = lagging.map((one) => one.partition).join(", ");
  const reason = unheard.length > 0 ? "no record has arrived there yet" : "later hours may still receive records on time";
  return `Held back by ${lagging.length === 1 ? "partition" : "partitions"} ${names}: ${reason}.`;
}

/** The types and units of the rows. */
const kind = (rows) => ["metric_type", "unit"].flatMap((name) => [...new Set(rows.map((row) => row[name]))]).map(unitText).filter(Boolean).join(", ");

function downloads(asked) {
  const outcome = h("div", {});
  const fetchCsv = async () => {
    try {
      await downloadCsv(pathOf(asked), { ...parametersOf(asked), limit: PAGE_ROWS }, `${asked.metric_name}-${resolution(asked)}.csv`);
    } catch (error) {
      if (error.status === 401) return signedOut(error);
      outcome.replaceChildren(failure(error));
    }
  };
  return h("div", { class: "no-print" }, h("button", { type: "button", onclick: (event) => pressed(event.currentTarget, fetchCsv) }, "Download as CSV"), outcome);
}
