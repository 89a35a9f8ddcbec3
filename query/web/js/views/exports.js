// Exports: a list with their progress, and a form for a new one.

import { address, get, send } from "../api.js";
import { filtersIn } from "../audit_filters.js";
import { announce, h } from "../dom.js";
import { pressed } from "../focus.js";
import { clearInvalid, form, input, markInvalid, select } from "../fields.js";
import { apiTime, bytes, plural, time } from "../format.js";
import { empty, failure } from "../notices.js";
import { filled, signedOut } from "../panel.js";
import { rangeFields } from "../range_fields.js";
import { CUSTOM, moment, span } from "../ranges.js";
import { href, navigate } from "../router.js";
import { scoped } from "../scope.js";
import { table } from "../table.js";
import * as words from "../export_words.js";

export const title = "Exports";

const RANGE_NAMES = ["30d", "90d", "1y", "2y", "all"];
/** Polling interval of unfinished exports, at first and at most. Milliseconds. */
export const LOOK_INTERVALS = [2_000, 10_000];

export function mount(container, { parameters, signal }) {
  const asked = Object.fromEntries(parameters);
  const list = filled({
    what: "exports",
    signal,
    load: (abort) => get("/v1/audit/exports", scoped(), abort),
    draw: (answer) => {
      const jobs = answer.rows;
      if (jobs.length === 0) return h("div", { class: "panel" }, empty("No exports yet", "Create one with the form above."));
      return [jobTable(jobs), answer.next_cursor && h("p", { class: "notice warn" }, `Only the newest ${plural(jobs.length, "export")} are listed; “horolog-query exports list” lists more.`)];
    },
    every: LOOK_INTERVALS,
    until: (answer) => answer.rows.every(words.isFinal),
  });
  const creation = h("details", { class: "panel", open: asked.new !== undefined }, h("summary", {}, "New export"), creationForm(asked, signal));
  container.append(
    h("div", { class: "view-head" }, h("h1", { tabindex: "-1" }, "Exports"), h("p", {}, "Audit events as files that anyone can verify.")),
    creation,
    list.place,
  );
  return list.refresh();
}

function jobTable(jobs) {
  return table({
    caption: "Exports, newest first",
    rows: jobs,
    columns: [
      { title: "Requested (UTC)", time: true, head: true, value: (job) => h("a", { href: href(["exports", job.id]) }, time(job.requested_at)) },
      { title: "State", value: words.stateTag },
      { title: "Progress", class: "bar-cell", value: words.progress },
      { title: "Filter", class: "break", value: words.filterText },
      { title: "Format", value: (job) => `${job.format}${job.compression === "none" ? "" : `, ${job.compression}`}` },
      { title: "Size", num: true, value: (job) => bytes(job.bytes) },
      { title: "By", class: "break", value: (job) => job.requested_by },
    ],
  });
}

function creationForm(asked, signal) {
  const range = asked.range ?? (asked.from || asked.to ? CUSTOM : "2y");
  const outcome = h("div", {});
  const field = (name, label) => input({ label, name, value: asked[name] ?? "" });
  const submit = async (given) => {
    clearInvalid(fields);
    outcome.replaceChildren();
    try {
      const job = await send("POST", address("/v1/audit/exports", scoped()), body(given));
      announce("The export is queued");
      if (!signal.aborted) navigate(["exports", job.id]);
    } catch (error) {
      if (error.status === 401) return signedOut(error);
      const named = error.problem?.parameter?.replace("filter.", "");
      if (!named || !markInvalid(fields, named, error.problem.detail)) outcome.replaceChildren(failure(error));
    }
  };
  const fields = form(
    "New export",
    (given, submitter) => pressed(submitter, () => submit(given)),
    h(
      "div",
      { class: "fields" },
      rangeFields({ names: RANGE_NAMES, value: RANGE_NAMES.includes(range) ? range : CUSTOM, ...ends(asked, range) }),
      select({ label: "Format", name: "format", options: [["parquet", "Parquet"], ["ndjson", "NDJSON"], ["csv", "CSV"]] }),
      select({ label: "Compression", name: "compression", options: [["zstd", "Zstandard"], ["gzip", "gzip"], ["none", "none"]] }),
      field("user_id", "User"),
      field("action", "Action"),
      field("resource_type", "Resource type"),
      field("resource_id", "Resource id"),
      field("text", "Words"),
      select({ label: "Status", name: "status", value: asked.status ?? "", options: [["", "Any"], "success", "failure", "error"] }),
      select({ label: "Source", name: "source", value: asked.source ?? "", options: [["", "Any"], "ui", "api", "system", "webhook"] }),
      field("ip_address", "Address or network"),
      field("service_id", "Service"),
      field("team_id", "Team"),
      field("plugin_id", "Plugin"),
      field("session_id", "Session"),
      field("request_id", "Request"),
      field("event_id", "Event id"),
    ),
    h("div", { class: "form-end" }, h("button", { class: "primary" }, "Create export"), h("span", { class: "small muted" }, "The request is itself recorded as an audit event.")),
    outcome,
  );
  return fields;
}

/** A span that is not in the list of choices is given by its ends. */
function ends(asked, range) {
  if (range === CUSTOM) return { from: asked.from, to: asked.to };
  const { from, to } = span(range, "", "", 60);
  return { from: moment(from), to: moment(to) };
}

function body(given) {
  const filters = filtersIn(given);
  const custom = given.range === CUSTOM;
  const { from } = span(given.range, "", "", 60);
  const ends = custom ? { from: apiTime(given.from) || undefined, to: apiTime(given.to) || undefined } : { from: moment(from) };
  return { filter: { ...filters, ...ends }, format: given.format, compression: given.compression };
}
