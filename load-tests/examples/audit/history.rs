//! The events to measure with, created inside the engine: transfer over the network is not measured here.
//!
//! 10,000 users, 200,000 resources, 24 actions. Every second event is a change, with two JSON values of about eighty
//! bytes; names consist of two words out of thousands. The bytes per event are thus realistic, not those of constant
//! data.

use anyhow::Context;
use clickhouse::{Client, Row};
use horolog_load::local_stack::Running;
use serde::Deserialize;

/// The tenant of the events.
pub const TENANT: &str = "measured";
/// The time span, from 2024-01-01.
pub const MONTHS: u64 = 24;
/// A partition that the topic does not have, so that ingest does not take the rows for its own.
const PARTITION: u32 = 1_000;
/// Rows of an insert, and of a batch in the ledger.
const BATCH_ROWS: u64 = 500_000;
/// Derived from the offset, so that ids and events match.
const EVENT_ID: &str = "reinterpretAsUUID(sipHash128(number))";
/// 731 days.
const SPAN_S: u64 = 63_158_400;

/// The events that were created.
#[derive(Debug, Clone, Copy, Row, Deserialize)]
pub struct History {
    /// Compressed size on disk.
    pub bytes: u64,
    /// Number of parts.
    pub parts: u64,
}

impl History {
    /// Creates the events and merges each month into one part, as the engine does with months that no longer change.
    pub async fn write(running: &Running, events: u64) -> anyhow::Result<Self> {
        let client = Client::default()
            .with_url(running.status.clickhouse_url())
            .with_user("default")
            .with_password(running.status.clickhouse_password()?)
            .with_database("horolog");
        let mut first = 0;
        while first < events {
            let rows = BATCH_ROWS.min(events - first);
            for (what, statement) in [
                ("ids", announce(first, rows, events)),
                ("events", insert(first, rows, events)),
            ] {
                client.query(&statement).execute().await.context(what)?;
            }
            first += rows;
            eprint!("\r{first} events");
        }
        eprintln!();
        client.query(&vouch()).execute().await.context("ledger")?;
        for table in ["audit_logs", "audit_event_ids"] {
            let merge = format!("optimize table {table}");
            client.query(&merge).execute().await.context("merges")?;
        }
        let size = "select sum(data_compressed_bytes) as bytes, count() as parts from system.parts \
                    where database = currentDatabase() and table = 'audit_logs' and active";
        Ok(client.query(size).fetch_one().await?)
    }
}

/// Time rises with the offset, with up to a second of disorder; everything else follows from a hash of the offset.
fn insert(first: u64, rows: u64, events: u64) -> String {
    let (occurred_at, step_us) = (occurred_at(events), step_us(events));
    format!(
        "insert into audit_logs select {EVENT_ID}, '{TENANT}', {occurred_at}, \
         concat('user-', toString(h % 10000)), concat('team-', toString(h % 50)), concat('service-', toString(h % 20)), '', \
         ['ui', 'api', 'system', 'webhook'][1 + h % 4], concat(['doc', 'user', 'key', 'role'][1 + h % 4], '.', \
         ['create', 'read', 'update', 'delete', 'share', 'export'][1 + intDiv(h, 4) % 6]), \
         ['doc', 'user', 'key', 'role'][1 + h % 4], concat('res-', toString(intDiv(h, 7) % 200000)), \
         concat('word', toString(intDiv(h, 11) % 5000), ' name', toString(intDiv(h, 13) % 5000)), \
         if(h % 2 = 0, concat('{{\"title\": \"', hex(h), '\", \"owner\": \"user-', toString(h % 10000), '\", \"size\": ', \
         toString(h % 100000), '}}'), ''), \
         if(h % 2 = 0, concat('{{\"title\": \"', hex(h), '\", \"owner\": \"user-', toString(h % 9999), '\", \"size\": ', \
         toString(h % 99999), '}}'), ''), \
         concat('10.', toString(h % 8), '.', toString(intDiv(h, 8) % 256), '.', toString(intDiv(h, 2048) % 256)), \
         'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36', hex(intDiv(h, 1000)), hex(h), \
         if(h % 50 = 0, 'failure', 'success'), if(h % 50 = 0, 'permission denied', ''), map('region', 'eu-1'), \
         'audit-events', {PARTITION}, number, \
         toDateTime64('2024-01-01 00:00:00', 3, 'UTC') + toIntervalMicrosecond(toInt64(number * {step_us})), 1, now64(3) \
         from (select number, cityHash64(number) as h from numbers({first}, {rows}))"
    )
}

/// The ids of the events, which ingest stores before them.
fn announce(first: u64, rows: u64, events: u64) -> String {
    format!(
        "insert into audit_event_ids (tenant_id, event_id, occurred_at, inserted_at) \
         select '{TENANT}', {EVENT_ID}, {}, now64(3) from (select number, cityHash64(number) as h from numbers({first}, {rows}))",
        occurred_at(events)
    )
}

fn occurred_at(events: u64) -> String {
    let step_us = step_us(events);
    format!(
        "toDateTime64('2024-01-01 00:00:00', 6, 'UTC') + toIntervalMicrosecond(toInt64(number * {step_us}) + h % 1000000)"
    )
}

/// The time from one event to the next.
fn step_us(events: u64) -> f64 {
    SPAN_S as f64 * 1e6 / events as f64
}

/// The ledger rows that ingest would have written for these events.
fn vouch() -> String {
    format!(
        "insert into batch_ledger (stage, kafka_topic, kafka_partition, log_epoch, start_offset, end_offset, entry, records, rows, \
         hours, first_timestamp, last_timestamp, inserted_at) select 'ingest', 'audit-events', {PARTITION}, 1, min(kafka_offset), \
         max(kafka_offset) + 1, 'batch', count(), count(), \
         sumMap(map(toStartOfHour(toDateTime(occurred_at, 'UTC')), toUInt64(1))), min(kafka_timestamp), max(kafka_timestamp), \
         now64(3) from audit_logs where kafka_partition = {PARTITION} group by intDiv(kafka_offset, {BATCH_ROWS})"
    )
}
