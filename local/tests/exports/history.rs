//! Histories of audit events, written by SQL as ingest would write them, with their rows of the ledger.

use crate::bed::Bed;

/// `rows` events of a tenant over the 24 months from 2024-01-01, in a partition of its own, with texts that break naive
/// writers.
pub(crate) fn insert_history(tenant: &str, partition: i32, rows: u32) {
    let bed = Bed::shared();
    bed.execute(&format!(
        "insert into audit_logs select generateUUIDv4(number), '{tenant}', \
         toDateTime64('2024-01-01 00:00:00', 6, 'UTC') + toIntervalMicrosecond(intDiv(63158400000000, {rows}) * number), \
         concat('user', toString(number % 50)), 'team', 'web', '', 'api', \
         ['doc.update', 'doc.delete'][1 + number % 2], 'doc', toString(number % 100), \
         ['a, b', 'say \"no\"', 'two\\nlines', 'tab\\there', 'ünïcode – 東京', '', 'back\\\\slash', 'null'][1 + number % 8], \
         if(number % 2 = 0, concat('{{\"n\": 12345678901234567890123, \"i\": ', toString(number), '}}'), ''), \
         if(number % 3 = 0, '{{\"a\":[1,null]}}', ''), concat('10.0.', toString(number % 256), '.1'), 'curl', '', \
         toString(number), ['success', 'failure'][1 + (number % 10 = 0)], '', \
         if(number % 4 = 0, map('k', 'v \"1\"', 'e', ''), map()), 'audit-events', {partition}, number, \
         toDateTime64('2026-01-01 00:00:00', 3, 'UTC'), 1, now64(3) from numbers({rows})"
    ));
    announce(partition);
    vouch(partition, 0);
}

/// Announces the ids of all events of a partition; ids that are there are added once more.
pub(crate) fn announce(partition: i32) {
    Bed::shared().execute(&format!(
        "insert into audit_event_ids (tenant_id, event_id, occurred_at, inserted_at) \
         select tenant_id, event_id, occurred_at, now64(3) from audit_logs where kafka_partition = {partition}"
    ));
}

/// Repeats those events of a partition for which a condition holds, behind its `rows` rows.
pub(crate) fn insert_again(partition: i32, rows: u32, which: &str) {
    Bed::shared().execute(&format!(
        "insert into audit_logs select * replace (kafka_offset + {rows} as kafka_offset, now64(3) as inserted_at) \
         from (select * from audit_logs where kafka_partition = {partition} and {which})"
    ));
    vouch(partition, rows.into());
    announce(partition);
}

/// Adds a row of the ledger for all rows of a partition from an offset on.
pub(crate) fn vouch(partition: i32, start: i64) {
    Bed::shared().execute(&format!(
        "insert into batch_ledger (stage, kafka_topic, kafka_partition, log_epoch, start_offset, end_offset, entry, records, rows, \
         hours, last_timestamp, inserted_at) \
         select 'ingest', 'audit-events', {partition}, 1, {start}, max(kafka_offset) + 1, 'batch', count(), count(), \
         sumMap(map(toStartOfHour(toDateTime(occurred_at, 'UTC')), toUInt64(1))), max(kafka_timestamp), now64(3) \
         from audit_logs where kafka_partition = {partition} and kafka_offset >= {start}"
    ));
}

/// `rows` events of more than 3 KB each, twelve minutes apart from 2024-01-01 on: files of them are sent in several parts.
pub(crate) fn insert_wide_history(tenant: &str, partition: i32, rows: u32) {
    Bed::shared().execute(&format!(
        "insert into audit_logs (event_id, tenant_id, occurred_at, user_id, source, action, status, old_value, kafka_topic, \
         kafka_partition, kafka_offset, kafka_timestamp, log_epoch, inserted_at) select generateUUIDv4(number), '{tenant}', \
         toDateTime64('2024-01-01 00:00:00', 6, 'UTC') + toIntervalMinute(12 * number), 'ann', 'api', 'doc.update', 'success', \
         repeat(hex(cityHash64(number)), 200), 'audit-events', {partition}, number, \
         toDateTime64('2026-01-01 00:00:00', 3, 'UTC'), 1, now64(3) from numbers({rows})"
    ));
    announce(partition);
    vouch(partition, 0);
}

/// `rows` events of `bytes` bytes each, a second apart from 2024-01-01 on: within one month, if they are few enough.
pub(crate) fn insert_large_events(tenant: &str, partition: i32, rows: u32, bytes: usize) {
    insert_large_events_from("2024-01-01", tenant, partition, rows, bytes);
}

/// Likewise from another day on.
pub(crate) fn insert_large_events_from(day: &str, tenant: &str, partition: i32, rows: u32, bytes: usize) {
    Bed::shared().execute(&format!(
        "insert into audit_logs (event_id, tenant_id, occurred_at, user_id, source, action, status, old_value, kafka_topic, \
         kafka_partition, kafka_offset, kafka_timestamp, log_epoch, inserted_at) select generateUUIDv4(number), '{tenant}', \
         toDateTime64('{day} 00:00:00', 6, 'UTC') + toIntervalSecond(number), 'ann', 'api', 'doc.update', 'success', \
         repeat(hex(cityHash64(number)), {}), 'audit-events', {partition}, number, \
         toDateTime64('2026-01-01 00:00:00', 3, 'UTC'), 1, now64(3) from numbers({rows})",
        bytes / 16
    ));
    announce(partition);
    vouch(partition, 0);
}
