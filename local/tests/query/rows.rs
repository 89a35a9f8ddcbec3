//! Rows written by SQL, as the stages would write them.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::bed::Bed;

/// `hours` hours from 2026-01-01 of two metrics, two services and two units for a tenant; the count is the number of the hour
/// plus 1, every sample has the value 1.5.
pub(crate) fn insert_hours(tenant: &str, hours: u32) {
    Bed::shared().execute(&format!(
        "insert into metrics_hourly select '{tenant}', m, toDateTime('2026-01-01 00:00:00', 'UTC') + 3600 * h, s, '', 'prod', '', \
         'gauge', u, 0, 0, 'metrics', h + 1, 0, 1.5 * (h + 1), 1.5, 1.5, (now64(6), 0, h, 1.5), map(toInt32(37), toUInt64(h + 1)), \
         map(), 0, now64(3) \
         from (select arrayJoin(['cpu', 'mem']) as m, arrayJoin(['api', 'web']) as s, arrayJoin(['', '%']) as u, \
         arrayJoin(range({hours})) as h)"
    ));
}

/// One series of an hour from 2026-01-01 of the counter `requests`, in a revision.
pub(crate) fn insert_counter_hour(
    tenant: &str,
    hour: u32,
    service: &str,
    team: &str,
    revision: u64,
    samples: u32,
    increase: f64,
) {
    Bed::shared().execute(&format!(
        "insert into counter_hourly (tenant_id, metric_name, hour, service_id, environment, team_id, unit, series_id, revision, \
         series, samples, increase, resets, inserted_at) select '{tenant}', 'requests', \
         toDateTime('2026-01-01 00:00:00', 'UTC') + 3600 * {hour}, '{service}', 'prod', '{team}', 'requests', \
         cityHash64('{service}'), {revision}, 1, {samples}, {increase}, 1, now64(3)"
    ));
}

/// Makes a revision of an hour effective from 2026-02-`day` on.
pub(crate) fn decide_counter_hour(tenant: &str, hour: u32, revision: u64, day: u32) {
    decide_counter_hour_of("", tenant, hour, revision, day);
}

/// The same for the counters of a topic.
pub(crate) fn decide_counter_hour_of(topic: &str, tenant: &str, hour: u32, revision: u64, day: u32) {
    Bed::shared().execute(&format!(
        "insert into counter_revisions (kafka_topic, tenant_id, hour, decided_at, revision, outcome, inserted_at) select '{topic}', \
         '{tenant}', toDateTime('2026-01-01 00:00:00', 'UTC') + 3600 * {hour}, toDateTime64('2026-02-{day:02} 00:00:00', 3, 'UTC'), {revision}, \
         'computed', now64(3)"
    ));
}

/// Inserts a record of `topic` that was rejected at `step` for `reason`, a second after the one before it.
pub(crate) fn insert_rejected(topic: &str, offset: u32, step: &str, reason: &str) {
    Bed::shared().execute(&format!(
        "insert into rejected_records (kafka_topic, kafka_partition, kafka_offset, kafka_timestamp, log_epoch, kind, step, reason, \
         detail, inserted_at) values ('{topic}', 0, {offset}, toDateTime64('2026-01-01 00:00:00', 3, 'UTC') + {offset}, 1, \
         'metric_sample', '{step}', '{reason}', 'in words, of {offset}', now64(3))"
    ));
}

/// One event for a tenant; `number` gives its id, time and coordinates apart from the columns in `set`.
pub(crate) fn insert_event(tenant: &str, number: u32, set: &[(&str, &str)]) {
    let id = format!("toUUID('00000000-0000-4000-8000-{number:012}')");
    let at = format!("toDateTime64('2026-01-01 00:00:00', 6, 'UTC') + {number}");
    let (tenant, number) = (format!("'{tenant}'"), number.to_string());
    let mut columns = BTreeMap::from([
        ("event_id", id.as_str()),
        ("tenant_id", &tenant),
        ("occurred_at", &at),
        ("user_id", "'ann'"),
        ("source", "'api'"),
        ("action", "'update'"),
        ("resource_type", "'doc'"),
        ("resource_id", "'d1'"),
        ("status", "'success'"),
        ("kafka_topic", "'audit-events'"),
        ("kafka_partition", "0"),
        ("kafka_offset", &number),
        ("kafka_timestamp", "toDateTime64('2026-01-01 00:00:00', 3, 'UTC')"),
        ("log_epoch", "1"),
        ("inserted_at", "now64(3)"),
    ]);
    columns.extend(set.iter().copied());
    let ids = ["tenant_id", "event_id", "occurred_at", "inserted_at"].map(|name| (name, columns[name]));
    insert_row("audit_event_ids", &ids.into());
    insert_row("audit_logs", &columns);
}

fn insert_row(table: &str, columns: &BTreeMap<&str, &str>) {
    let names = columns.keys().copied().collect::<Vec<_>>().join(", ");
    let values = columns.values().copied().collect::<Vec<_>>().join(", ");
    Bed::shared().execute(&format!("insert into {table} ({names}) select {values}"));
}

pub(crate) fn event_numbers(rows: &[Value]) -> Vec<u32> {
    let last_digits = |row: &Value| row["event_id"].as_str().unwrap()[24..].parse().unwrap();
    rows.iter().map(last_digits).collect()
}

/// A row of the ledger that covers the offsets of all events that [`insert_event`] makes: an export holds what the
/// ledger vouches for.
pub(crate) fn vouch_for_events() {
    Bed::shared().execute(
        "insert into batch_ledger (stage, kafka_topic, kafka_partition, log_epoch, start_offset, end_offset, entry, inserted_at) \
         values ('ingest', 'audit-events', 0, 1, 0, 1000000, 'batch', now64(3))",
    );
}
