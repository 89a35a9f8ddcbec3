// The system: health of the stages, whether every record is accounted for, why some were rejected, progress by
// partition, use of storage, configuration. All of it spans all tenants.

import { get } from "../api.js";
import { h } from "../dom.js";
import { bytes, count, duration, plural, time } from "../format.js";
import { mayView, whoAmI } from "../identity.js";
import { empty } from "../notices.js";
import { filled } from "../panel.js";
import { stageHealth } from "../stage_health.js";
import { figures, table, tag } from "../table.js";

export const title = "System";

/** Refresh interval: four requests each time, of the thousand an hour that a key has. Milliseconds. */
const LOOK_INTERVAL = 30_000;
/** From this lag on it is pointed out: the allowed lateness is five minutes. Seconds. */
const BEHIND_WORTH_A_WORD = 900;
/** Stages store at different times, seconds apart; one that is minutes behind the other is slow or stopped. Seconds. */
const STAGES_APART_WORTH_A_WORD = 120;

export async function mount(container, { signal }) {
  container.append(h("div", { class: "view-head" }, h("h1", { tabindex: "-1" }, "System"), h("p", {}, "Refreshed every 30 seconds.")));
  // If the caller cannot be identified, the server refuses what they may not see.
  const who = await whoAmI().catch(() => null);
  if (signal.aborted) return;
  if (who && !mayView(who, "system")) return container.append(h("div", { class: "panel" }, empty("Your key may not see this", "The state of the system covers all tenants: sign in with an administrator's key for any tenant.")));
  const part = (what, path, draw) => filled({ what, signal, load: (abort) => get(path, {}, abort), draw, every: [LOOK_INTERVAL, LOOK_INTERVAL] });
  const ledger = part("the ledger", "/v1/system/ledger", drawLedger);
  const rejections = part("the rejected records", "/v1/system/rejections", drawRejections);
  const progress = part("the partitions", "/v1/system/progress", drawProgress);
  const storage = part("storage", "/v1/system/storage", drawStorage);
  const configuration = filled({ what: "the configuration", signal, load: (abort) => get("/v1/system/configuration", {}, abort), draw: drawConfiguration });
  container.append(
    progress.place,
    section("Ledger", ledger.place),
    section("Rejected records", rejections.place),
    section("Storage", storage.place),
    section("Configuration", configuration.place),
  );
  await Promise.all([ledger.refresh(), rejections.refresh(), progress.refresh(), storage.refresh(), configuration.refresh()]);
}

const section = (heading, place) => h("section", { class: "panel" }, h("h2", {}, heading), place);

function drawLedger({ rows }) {
  if (rows.length === 0) return empty("No batches yet", "No stage has processed a record.");
  const ingest = rows.filter((row) => row.stage === "ingest");
  const sum = (accounts, name) => accounts.reduce((total, row) => total + row[name], 0);
  const balanced = rows.every((row) => row.balanced);
  // Both stages of a topic may have missed the same lost offsets.
  const lost = [...Map.groupBy(rows, (row) => row.topic).values()].reduce((total, of) => total + Math.max(...of.map((row) => row.lost_offsets)), 0);
  return [
    figures([
      ["Records read", count(sum(ingest, "records")), "by ingest, from all topics"],
      ["Accounted for", balanced ? tag("all of them", "good") : tag("not all", "bad"), "rows and rejected records add up to the records, in every batch"],
      ["Rejected", count(sum(ingest, "rejected")), "set aside with a reason, below"],
      ["Gaps", lost === 0 ? tag("none", "good") : tag(plural(lost, "offset"), "bad"), "deleted from the log before they were read"],
    ]),
    table({
      caption: "Batches by stage and topic",
      rows,
      columns: [
        { title: "Stage", head: true, value: (row) => row.stage },
        { title: "Topic", value: (row) => row.topic },
        { title: "Batches", num: true, value: (row) => count(row.batches) },
        { title: "Recovered", num: true, value: (row) => count(row.recovered) },
        { title: "Records", num: true, value: (row) => count(row.records) },
        { title: "Rows", num: true, value: (row) => count(row.rows) },
        { title: "Rejected", num: true, value: (row) => count(row.rejected) },
        { title: "Late", num: true, value: (row) => count(row.late) },
        { title: "Expired", num: true, value: (row) => count(row.expired) },
        { title: "Lost", num: true, value: (row) => count(row.lost_offsets) },
        { title: "Balance", value: (row) => (row.balanced ? tag("even", "good") : tag("uneven", "bad")) },
      ],
    }),
  ];
}

function drawRejections({ rows }) {
  if (rows.length === 0) return empty("No rejected records", "None of the records that are kept was set aside.");
  return table({
    caption: "Why records were rejected, with the newest of each reason",
    rows,
    columns: [
      { title: "Topic", head: true, value: (row) => row.topic },
      { title: "Reason", value: (row) => h("code", {}, row.reason) },
      { title: "Records", num: true, value: (row) => count(row.records) },
      { title: "First (UTC)", time: true, value: (row) => time(row.first_at) },
      { title: "Newest (UTC)", time: true, value: (row) => time(row.newest_at) },
      { title: "Partition", num: true, value: (row) => row.newest_partition },
      { title: "Offset", num: true, value: (row) => count(row.newest_offset) },
      { title: "What is wrong with it", value: (row) => row.newest_detail ?? "ClickHouse refused the row; what it said is in the table rejected_records" },
    ],
  });
}

function drawProgress(answer) {
  if (answer.rows.length === 0) return empty("No partitions yet", "Nothing has been read from Kafka.");
  return [
    section("Services", h("div", { class: "stack" }, completeness(answer), stageTable(stageHealth(answer.rows)))),
    section("Partitions", partitionTable(answer.rows)),
  ];
}

function stageTable(rows) {
  return table({
    caption: "Stages by topic",
    rows,
    columns: [
      { title: "Stage", head: true, value: (row) => row.stage },
      { title: "Topic", value: (row) => row.topic },
      { title: "Partitions", num: true, value: (row) => count(row.partitions) },
      { title: "Newest batch (UTC)", time: true, value: (row) => time(row.newestBatch) },
      { title: "Age", value: (row) => ago(row.newestBatch) },
      { title: "Has everything sent before (UTC)", time: true, value: (row) => time(row.through) },
      { title: "Behind another stage", value: behind },
    ],
  });
}

/** An old batch is normal if nobody sends records; not having what another stage has is a fault. */
function behind({ behind: seconds }) {
  if (seconds === null) return "no other stage reads it";
  return seconds === 0 ? tag("no", "good") : tag(duration(seconds), seconds > STAGES_APART_WORTH_A_WORD ? "warn" : "good");
}

const ago = (moment) => duration(Math.max(0, (Date.now() - Date.parse(moment)) / 1000));

function partitionTable(rows) {
  const sent = (row) => tag(duration(row.behind_s), row.behind_s > BEHIND_WORTH_A_WORD ? "warn" : "good");
  return table({
    caption: "Progress of each stage by partition",
    rows,
    columns: [
      { title: "Topic", head: true, value: (row) => row.topic },
      { title: "Partition", num: true, value: (row) => row.partition },
      { title: "Stage", value: (row) => row.stage },
      { title: "Stored up to offset", num: true, value: (row) => count(row.end_offset) },
      { title: "Newest record (UTC)", time: true, value: (row) => time(row.last_record_at) },
      { title: "Last batch (UTC)", time: true, value: (row) => time(row.last_batch_at) },
      { title: "Newest record sent", value: (row) => [sent(row), " ago"] },
    ],
  });
}

function completeness({ complete_through: through, held_back_by: lagging }) {
  const names = lagging.map((one) => one.partition).join(", ");
  const partitions = `${lagging.length === 1 ? "partition" : "partitions"} ${names}`;
  if (through === null) return h("p", { class: "notice warn" }, lagging.length > 0 ? `Nothing is complete yet: no record has arrived in ${partitions}.` : "Nothing is complete yet: no partition has been heard from.");
  const due = lagging.length > 0 ? ` The slowest: ${partitions}.` : "";
  return h("p", {}, `Metrics are complete through ${time(through)}, ${ago(through)} ago.${due}`);
}

function drawStorage({ rows }) {
  if (rows.length === 0) return empty("Nothing is stored yet", "The tables have no parts.");
  const largest = Math.max(...rows.map((row) => row.bytes));
  const bar = (row) => {
    const meter = h("progress", { class: "meter", max: largest, "aria-label": `${row.table} on ${row.disk}: ${bytes(row.bytes)}` });
    meter.value = row.bytes;
    return meter;
  };
  return table({
    caption: "Tables by disk: where recent and older parts are stored",
    rows,
    columns: [
      { title: "Table", head: true, value: (row) => row.table },
      { title: "Disk", value: (row) => row.disk },
      { title: "Rows", num: true, value: (row) => count(row.rows) },
      { title: "Size", num: true, value: (row) => bytes(row.bytes) },
      { title: "Parts", num: true, value: (row) => count(row.parts) },
      { title: "Oldest", value: (row) => row.oldest_partition ?? "–" },
      { title: "Ratio", num: true, value: (row) => (row.bytes > 0 ? (row.uncompressed_bytes / row.bytes).toFixed(1) : "–") },
      { title: "Per row", num: true, value: (row) => (row.rows > 0 ? `${(row.bytes / row.rows).toFixed(1)} B` : "–") },
      { title: "Share", class: "bar-cell", value: bar },
    ],
  });
}

/** Changed settings come first; defaults are seldom looked for. */
function drawConfiguration({ version, rows }) {
  const settings = (caption, of) => table({
    caption,
    rows: of,
    columns: [
      { title: "Setting", head: true, value: (row) => row.setting },
      { title: "Value", value: (row) => (row.value === null ? "–" : h("code", {}, JSON.stringify(row.value))) },
    ],
  });
  const [set, byDefault] = [rows.filter((row) => !row.is_default), rows.filter((row) => row.is_default)];
  return [
    h("p", {}, `Settings of the process that answered, version ${version}. Secrets are not shown.`),
    set.length > 0 ? settings("Settings that differ from the defaults", set) : empty("Nothing is set", "All settings have their defaults."),
    h("details", {}, h("summary", {}, "Settings with their defaults"), settings("Settings with their defaults", byDefault)),
  ];
}
