// Audit search: every filter of the API, counts over time, and pages of events, newest first.

import { FILTERS, filtersIn } from "../audit_filters.js";
import { barChart } from "../bars.js";
import { announce, h } from "../dom.js";
import { clearInvalid, form, input, markInvalid, select } from "../fields.js";
import { apiTime, plural } from "../format.js";
import { get } from "../api.js";
import { empty } from "../notices.js";
import { filled } from "../panel.js";
import { rangeFields } from "../range_fields.js";
import { CUSTOM, moment as apiMoment, span } from "../ranges.js";
import { href, navigate } from "../router.js";
import { scoped } from "../scope.js";
import { STEPS } from "../steps.js";
import { table } from "../table.js";
import * as words from "../audit_words.js";

export const title = "Audit search";

const FREQUENT = 6;
const RANGE_NAMES = ["24h", "7d", "30d", "90d", "1y", "2y", "all"];
const RANGE_DEFAULT = "30d";
const PAGE_ROWS = 100;

/** The newest search in this tab, to which its events lead back. */
let newest = href(["audit"]);
export const back = () => newest;

export function mount(container, { parameters, signal }) {
  newest = href(["audit"], parameters);
  const asked = Object.fromEntries(parameters);
  const range = asked.range ?? (asked.from || asked.to ? CUSTOM : RANGE_DEFAULT);
  const filters = filtersIn(asked);
  const fields = searchForm(asked, range);
  container.append(
    h(
      "div",
      { class: "view-head" },
      h("h1", { tabindex: "-1" }, "Audit search"),
      h("div", { class: "actions" }, h("a", { class: "button", href: href(["exports"], { ...filters, range, from: asked.from, to: asked.to, new: 1 }) }, "Export these events")),
    ),
    h("section", { class: "panel", "aria-label": "Filters" }, fields),
  );
  const { from, to } = span(range, asked.from, asked.to);
  const question = scoped({ ...filters, from: apiMoment(from), to: range === CUSTOM ? apiMoment(to) : undefined });
  const results = resultList(question, fields, signal);
  const counts = filled({
    what: "counts",
    signal,
    load: (abort) => get("/v1/audit/counts", { ...question, to: apiMoment(to), bucket: bucket(from, to), by: "status", limit: 10_000 }, abort),
    draw: (answer) => drawCounts(answer, from, to, STEPS[bucket(from, to)]),
    // Counts are secondary to a search, which continues without them.
    onFailure: (error) => error.status !== 401,
  });
  container.append(counts.place, results.place);
  counts.refresh();
  return results.refresh();
}

function searchForm(asked, range) {
  const field = (name, label, more = {}) => input({ label, name, value: asked[name] ?? "", ...more });
  const frequent = [
    field("user_id", "User"),
    field("action", "Action"),
    field("resource_type", "Resource type"),
    field("resource_id", "Resource id"),
    field("text", "Words"),
    select({ label: "Status", name: "status", value: asked.status ?? "", options: [["", "Any"], "success", "failure", "error"] }),
    ...rangeFields({ names: RANGE_NAMES, value: range, from: asked.from, to: asked.to }),
  ];
  const rare = [
    select({ label: "Source", name: "source", value: asked.source ?? "", options: [["", "Any"], "ui", "api", "system", "webhook"] }),
    field("ip_address", "Address or network", { placeholder: "10.0.0.0/8" }),
    field("service_id", "Service"),
    field("team_id", "Team"),
    field("plugin_id", "Plugin"),
    field("session_id", "Session"),
    field("request_id", "Request"),
    field("event_id", "Event id"),
  ];
  const open = FILTERS.slice(FREQUENT).some((name) => asked[name]);
  const submit = (given) => {
    const ends = given.range === CUSTOM ? { from: apiTime(given.from), to: apiTime(given.to) } : { from: "", to: "" };
    navigate(["audit"], { ...given, ...ends });
  };
  return form(
    "Search audit events",
    submit,
    h("div", { class: "fields" }, frequent),
    h("details", { open, class: "more" }, h("summary", {}, "More filters"), h("div", { class: "fields" }, rare)),
    h(
      "div",
      { class: "form-end" },
      h("button", { class: "primary" }, "Search"),
      h("a", { class: "button", href: href(["audit"]) }, "Clear"),
    ),
  );
}

/** Pages below each other; a button loads the next one. */
function resultList(question, fields, signal) {
  const rows = [];
  let cursor;
  const view = filled({
    what: "events",
    signal,
    load: async (abort) => {
      const page = await get("/v1/audit/events", { ...question, limit: PAGE_ROWS, cursor }, abort);
      rows.push(...page.rows);
      cursor = page.next_cursor;
    },
    draw: () => {
      clearInvalid(fields);
      announce(rows.length === 0 ? "No events" : `${plural(rows.length, "event")} shown`);
      if (rows.length === 0 && !cursor) return h("div", { class: "panel" }, empty("No events match", "Widen the time or remove a filter."));
      return [eventTable(rows, cursor), cursor && h("p", {}, h("button", { type: "button", onclick: more }, "Show older events"))];
    },
    onFailure: (error) => {
      const named = error.problem?.parameter;
      if (named) markInvalid(fields, named, error.problem.detail);
      return false;
    },
  });
  const more = async () => {
    const known = rows.length;
    await view.refresh({ quiet: true });
    view.place.querySelectorAll("tbody th a")[known]?.focus();
  };
  return view;
}

function eventTable(rows, cursor) {
  const userLink = (event) => event.user_id && h("a", { href: href(["audit", "timeline"], { user_id: event.user_id }) }, event.user_id);
  return table({
    caption: `${plural(rows.length, "event")}, newest first${cursor ? "; older ones follow" : ""}`,
    rows,
    columns: [
      { title: "Time (UTC)", time: true, value: (event) => words.moment(event) },
      { title: "Event", head: true, value: (event) => h("a", { href: words.eventHref(event) }, event.action || "event") },
      { title: "Resource", class: "break", value: words.resourceText },
      { title: "User", class: "break", value: userLink },
      { title: "Status", value: (event) => words.statusTag(event.status) },
      { title: "Source", value: (event) => event.source },
      { title: "Address", value: (event) => event.ip_address },
      { title: "Service", value: (event) => event.service_id },
    ],
  });
}

/** Bucket size for about a hundred bars at most. */
function bucket(from, to) {
  const days = ((to ?? Date.now() / 1000) - (from ?? 0)) / 86400;
  if (days <= 4) return "hour";
  return days <= 120 ? "day" : "month";
}

const SERIES = { success: 2, failure: 1, error: 4 };

function drawCounts(answer, from, to, step) {
  const statuses = Object.keys(SERIES).filter((status) => answer.rows.some((row) => row.value === status));
  if (statuses.length === 0) return null;
  const total = answer.rows.reduce((sum, row) => sum + row.count, 0);
  return h("section", { class: "panel", "aria-label": "Counts over time" }, barChart({
    caption: `${plural(total, "event")} in the span, by status`,
    rows: answer.rows,
    at: (row) => row.time,
    kind: (row) => row.value,
    kinds: statuses.map((status) => ({ name: status, colour: SERIES[status] })),
    span: [from, to ?? Date.now() / 1000],
    step,
  }));
}
