//! The rules that a decoded record must satisfy to become a row. Changing a rule raises `RULES_VERSION`.
//!
//! In: columns and the Kafka timestamps of their rows. Out: the rows that break a rule, each with the first rule it
//! breaks, in row order. A pure function without clock or lookups: a replayed batch is judged the same. A producer can
//! check a record before sending it ([`MetricSample::broken_rule`], [`AuditEvent::broken_rule`]). The rules also
//! exclude what ClickHouse would alter silently, such as times that its types cannot hold.

use std::collections::{BTreeMap, HashSet};

use arrow::array::{Array, AsArray, Float64Array, MapArray, RecordBatch, StringArray};
use arrow::datatypes::{Float64Type, TimestampMicrosecondType};
use arrow::error::ArrowError;
use chrono::{DateTime, SecondsFormat};
use serde::de::IgnoredAny;
use uuid::Uuid;

use crate::reject::{Fault, Reason};
use crate::{AuditEvent, Kind, MetricSample};

/// Version of the validation rules; part of a batch's intent, and stored with every rejected record.
pub const RULES_VERSION: u32 = 2;

/// What Kafka's clients have as the timestamp of a record without one.
const NO_TIMESTAMP: i64 = -1;
/// 2000-01-01, microseconds: an earlier time comes from a clock that was never set.
pub const TIME_MIN_US: i64 = 946_684_800_000_000;
/// How far a time may be ahead of its Kafka timestamp, microseconds: clocks differ, by hours if a time zone is wrong.
const TIME_AHEAD_MAX_US: i64 = 86_400_000_000;
/// 2100-01-01, milliseconds: safely within the range of ClickHouse's DateTime and Date (2106 and 2149).
pub const KAFKA_TIMESTAMP_END_MS: i64 = 4_102_444_800_000;

/// Whether a record may have this Kafka timestamp, ms since 1970.
pub fn is_kafka_timestamp(timestamp_ms: i64) -> bool {
    (0..KAFKA_TIMESTAMP_END_MS).contains(&timestamp_ms)
}
/// Maps of up to this many entries have their keys compared pairwise; larger ones use a hash set.
const KEYS_COMPARED_MAX: usize = 16;

/// For each row, the first rule that it breaks.
#[derive(Default)]
struct Faults(BTreeMap<usize, Fault>);

impl Faults {
    fn add(&mut self, row: usize, reason: Reason, detail: impl FnOnce() -> String) {
        self.0.entry(row).or_insert_with(|| Fault::new(reason, detail()));
    }
}

/// Checks every row. `timestamps_ms` are the Kafka timestamps of the rows.
pub(crate) fn validate(
    kind: Kind,
    columns: &RecordBatch,
    timestamps_ms: &[i64],
) -> Result<BTreeMap<usize, Fault>, ArrowError> {
    let mut faults = Faults::default();
    times(columns, kind.time_column(), timestamps_ms, &mut faults)?;
    texts(columns, "tenant_id", Reason::EmptyTenantId, not_empty, &mut faults)?;
    match kind {
        Kind::MetricSample => {
            texts(columns, "metric_name", Reason::EmptyMetricName, not_empty, &mut faults)?;
            values(columns, "value", &mut faults)?;
            maps(columns, "labels", &mut faults)?;
        }
        Kind::AuditEvent => {
            texts(columns, "action", Reason::EmptyAction, not_empty, &mut faults)?;
            texts(columns, "event_id", Reason::EventIdNotUuid, uuid, &mut faults)?;
            texts(
                columns,
                "old_value",
                Reason::OldValueNotJson,
                empty_or_json,
                &mut faults,
            )?;
            texts(
                columns,
                "new_value",
                Reason::NewValueNotJson,
                empty_or_json,
                &mut faults,
            )?;
            maps(columns, "metadata", &mut faults)?;
        }
    }
    Ok(faults.0)
}

impl MetricSample {
    /// The rule that will reject this sample if it has this Kafka timestamp. Keys need no check: a `BTreeMap` has no
    /// duplicates.
    pub fn broken_rule(&self, timestamp_ms: i64) -> Option<Reason> {
        let rules = [
            time(self.time, timestamp_ms),
            broken(not_empty(&self.tenant_id), Reason::EmptyTenantId),
            broken(not_empty(&self.metric_name), Reason::EmptyMetricName),
            (!self.value.is_finite()).then_some(Reason::ValueNotFinite),
        ];
        rules.into_iter().flatten().next()
    }
}

impl AuditEvent {
    /// The rule that will reject this event if it has this Kafka timestamp. Keys need no check: a `BTreeMap` has no
    /// duplicates.
    pub fn broken_rule(&self, timestamp_ms: i64) -> Option<Reason> {
        let rules = [
            time(self.occurred_at, timestamp_ms),
            broken(not_empty(&self.tenant_id), Reason::EmptyTenantId),
            broken(not_empty(&self.action), Reason::EmptyAction),
            broken(uuid(&self.event_id), Reason::EventIdNotUuid),
            broken(empty_or_json(&self.old_value), Reason::OldValueNotJson),
            broken(empty_or_json(&self.new_value), Reason::NewValueNotJson),
        ];
        rules.into_iter().flatten().next()
    }
}

fn broken(judged: Result<(), String>, reason: Reason) -> Option<Reason> {
    judged.err().map(|_| reason)
}

/// The column of this name and type.
///
/// # Errors
/// [`ArrowError::SchemaError`] if there is no column of this name, or `cast` finds another type.
pub fn column<'a, T>(
    columns: &'a RecordBatch,
    name: &str,
    cast: impl Fn(&'a dyn Array) -> Option<&'a T>,
) -> Result<&'a T, ArrowError> {
    let column = columns
        .column_by_name(name)
        .ok_or_else(|| ArrowError::SchemaError(format!("no column {name}")))?;
    let data_type = column.data_type();
    cast(column.as_ref()).ok_or_else(|| ArrowError::SchemaError(format!("column {name} is of type {data_type}")))
}

/// The map column of this name, and its keys.
pub(crate) fn map<'a>(columns: &'a RecordBatch, name: &str) -> Result<(&'a MapArray, &'a StringArray), ArrowError> {
    let maps: &MapArray = column(columns, name, |array| array.as_map_opt())?;
    let keys: Option<&StringArray> = maps.keys().as_string_opt();
    let keys = keys
        .ok_or_else(|| ArrowError::SchemaError(format!("the keys of column {name} are of type {}", maps.key_type())))?;
    Ok((maps, keys))
}

fn times(columns: &RecordBatch, name: &str, timestamps_ms: &[i64], faults: &mut Faults) -> Result<(), ArrowError> {
    let times = column(columns, name, |array| {
        array.as_primitive_opt::<TimestampMicrosecondType>()
    })?;
    for (row, (&time_us, &timestamp_ms)) in times.values().iter().zip(timestamps_ms).enumerate() {
        if let Some(reason) = time(time_us, timestamp_ms) {
            faults.add(row, reason, || match reason {
                Reason::KafkaTimestampOutOfRange if timestamp_ms == NO_TIMESTAMP => {
                    "the record has no kafka timestamp: its producer or the topic has to set one".to_owned()
                }
                Reason::KafkaTimestampOutOfRange => {
                    format!("kafka's timestamp is {timestamp_ms} ms, which is not from 1970 to 2099")
                }
                Reason::TimeTooEarly => {
                    let hint =
                        unit_meant(time_us, timestamp_ms).map(|unit| format!(": {unit} instead of microseconds?"));
                    let time = in_words(time_us);
                    format!("{name} is {time}, before 2000-01-01{}", hint.unwrap_or_default())
                }
                _ => {
                    let (time, timestamp) = (in_words(time_us), in_words(timestamp_ms * 1000));
                    let hint = match self::time(time_us / 1_000, timestamp_ms) {
                        None => ": nanoseconds instead of microseconds?",
                        Some(_) => "",
                    };
                    format!("{name} is {time}, more than a day after kafka's timestamp {timestamp}{hint}")
                }
            });
        }
    }
    Ok(())
}

fn time(time_us: i64, timestamp_ms: i64) -> Option<Reason> {
    if !is_kafka_timestamp(timestamp_ms) {
        Some(Reason::KafkaTimestampOutOfRange)
    } else if time_us < TIME_MIN_US {
        Some(Reason::TimeTooEarly)
    } else if time_us > timestamp_ms * 1000 + TIME_AHEAD_MAX_US {
        Some(Reason::TimeInFuture)
    } else {
        None
    }
}

/// The unit in which a time that is too early would be one that is accepted.
fn unit_meant(time_us: i64, timestamp_ms: i64) -> Option<&'static str> {
    let is_accepted = |factor: i64| {
        let meant_us = time_us.checked_mul(factor);
        meant_us.is_some_and(|meant_us| time(meant_us, timestamp_ms).is_none())
    };
    let units = [("milliseconds", 1_000), ("seconds", 1_000_000)];
    units
        .into_iter()
        .find(|(_, factor)| is_accepted(*factor))
        .map(|(unit, _)| unit)
}

fn in_words(time_us: i64) -> String {
    match DateTime::from_timestamp_micros(time_us) {
        Some(time) => time.to_rfc3339_opts(SecondsFormat::AutoSi, true),
        None => format!("{time_us} µs"),
    }
}

fn texts(
    columns: &RecordBatch,
    name: &str,
    reason: Reason,
    rule: impl Fn(&str) -> Result<(), String>,
    faults: &mut Faults,
) -> Result<(), ArrowError> {
    let texts: &StringArray = column(columns, name, |array| array.as_string_opt())?;
    for row in 0..texts.len() {
        if let Err(broken) = rule(texts.value(row)) {
            faults.add(row, reason, || format!("{name} {broken}"));
        }
    }
    Ok(())
}

fn not_empty(text: &str) -> Result<(), String> {
    if text.is_empty() {
        Err("is empty".into())
    } else {
        Ok(())
    }
}

fn uuid(text: &str) -> Result<(), String> {
    Uuid::try_parse(text)
        .map(drop)
        .map_err(|_| format!("of {} bytes is not a uuid", text.len()))
}

/// The parser handles any depth without recursion. Its messages give line and column, not the text.
fn empty_or_json(text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Ok(());
    }
    serde_json::from_str::<IgnoredAny>(text)
        .map(drop)
        .map_err(|error| format!("is not json: {error}"))
}

fn values(columns: &RecordBatch, name: &str, faults: &mut Faults) -> Result<(), ArrowError> {
    let values: &Float64Array = column(columns, name, |array| array.as_primitive_opt::<Float64Type>())?;
    for (row, value) in values.values().iter().enumerate() {
        if !value.is_finite() {
            faults.add(row, Reason::ValueNotFinite, || format!("{name} is {value}"));
        }
    }
    Ok(())
}

/// A map with duplicate keys is ambiguous: ClickHouse returns the first value, other readers the last.
fn maps(columns: &RecordBatch, name: &str, faults: &mut Faults) -> Result<(), ArrowError> {
    let (maps, keys) = map(columns, name)?;
    for (row, bounds) in maps.value_offsets().windows(2).enumerate() {
        let (start, end) = (bounds[0] as usize, bounds[1] as usize);
        if end - start > 1 && has_duplicates(keys, start, end) {
            faults.add(row, Reason::DuplicateMapKey, || {
                format!("{name} has a key twice among its {} entries", end - start)
            });
        }
    }
    Ok(())
}

fn has_duplicates(keys: &StringArray, start: usize, end: usize) -> bool {
    if end - start > KEYS_COMPARED_MAX {
        let mut seen = HashSet::with_capacity(end - start);
        return !(start..end).all(|key| seen.insert(keys.value(key)));
    }
    (start..end).any(|key| (start..key).any(|earlier| keys.value(earlier) == keys.value(key)))
}
