//! Serializes rows of an answer about metrics: as JSON, or as columns for CSV and Arrow.
//!
//! Enters: rows, the names of their counts and numbers, and when rows end. Leaves: text or columns. JSON reuses what
//! rows have in common, which was serialized before: a row costs only its counts and numbers. A number that exceeds the
//! range of a double (a sum of very large samples) is `null`. Pure.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Float64Array, StringArray, TimestampSecondArray, UInt64Array};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};

use crate::api::Instant;
use crate::metrics::points::{PointRow, PointRows};

/// UTC as an offset: without a time zone database, arrow knows no zone names.
const UTC: &str = "+00:00";
/// Estimated size of a count or number in JSON, with its name. Bytes.
const NUMBER_BYTES: usize = 24;
/// Estimated size of the rest of a row. Bytes.
const ROW_BYTES: usize = 80;

/// The names that depend on the question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PointNames {
    /// Names of the columns that are not merged over.
    pub groups: Vec<&'static str>,
    /// Names of the counts.
    pub counts: &'static [&'static str],
    /// Names of the numbers.
    pub numbers: Vec<&'static str>,
}

/// When a row ends, and whether it is complete.
#[derive(Debug, Clone, Copy)]
pub struct When {
    /// Its end.
    pub end: Instant,
    /// Whether all samples that arrive in time have been added.
    pub complete: bool,
}

/// Appends the rows as a JSON array. `when` maps a row's start to its end and completeness.
pub fn json(
    text: &mut Vec<u8>,
    rows: &PointRows,
    names: &PointNames,
    when: impl Fn(Instant) -> When,
) -> serde_json::Result<()> {
    let named = |names: &[&str]| names.iter().map(|name| format!(",\"{name}\":")).collect::<Vec<_>>();
    let (counts, numbers) = (named(names.counts), named(&names.numbers));
    let common = rows.iter().next().map_or(0, |row| row.series.json.len());
    let a_row = ROW_BYTES + common + NUMBER_BYTES * (counts.len() + numbers.len());
    text.reserve(rows.len() * a_row);
    let mut head = (None, String::new());
    text.push(b'[');
    for (number, row) in rows.iter().enumerate() {
        if head.0 != Some(row.start_s) {
            head = (Some(row.start_s), head_of(row.start(), when(row.start())));
        }
        if number > 0 {
            text.push(b',');
        }
        text.extend_from_slice(head.1.as_bytes());
        text.extend_from_slice(row.series.json.as_bytes());
        for (name, count) in counts.iter().zip(row.counts) {
            text.extend_from_slice(name.as_bytes());
            serde_json::to_writer(&mut *text, count)?;
        }
        for (name, number) in numbers.iter().zip(row.numbers) {
            text.extend_from_slice(name.as_bytes());
            serde_json::to_writer(&mut *text, &number.is_finite().then_some(number))?;
        }
        text.push(b'}');
    }
    text.push(b']');
    Ok(())
}

fn head_of(start: Instant, when: When) -> String {
    let (start, end) = (start.to_rfc3339(), when.end.to_rfc3339());
    format!(r#"{{"start":"{start}","end":"{end}","complete":{},"#, when.complete)
}

/// The columns of rows, for CSV and Arrow.
pub fn columns(rows: &PointRows, names: &PointNames, when: impl Fn(Instant) -> When) -> (Schema, Vec<ArrayRef>) {
    let mut fields = Vec::new();
    let mut arrays: Vec<ArrayRef> = Vec::new();
    let mut add = |name: &str, kind: DataType, nullable: bool, array: ArrayRef| {
        fields.push(Field::new(name, kind, nullable));
        arrays.push(array);
    };
    let moment = DataType::Timestamp(TimeUnit::Second, Some(UTC.into()));
    let moments = |of: &dyn Fn(Instant) -> Instant| {
        let seconds = rows.iter().map(|row| of(row.start()).micros().div_euclid(1_000_000));
        Arc::new(TimestampSecondArray::from_iter_values(seconds).with_timezone(UTC))
    };
    let texts = |of: &dyn for<'a> Fn(PointRow<'a>) -> &'a str| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(rows.iter().map(of)))
    };
    add("start", moment.clone(), false, moments(&|start| start));
    add("end", moment, false, moments(&|start| when(start).end));
    let complete: BooleanArray = rows.iter().map(|row| Some(when(row.start()).complete)).collect();
    add("complete", DataType::Boolean, false, Arc::new(complete));
    let metric_names = texts(&|row| &row.series.key.metric_name);
    add("metric_name", DataType::Utf8, false, metric_names);
    for (index, name) in names.groups.iter().enumerate() {
        let groups = texts(&|row| row.series.key.groups.get(index).map_or("", String::as_str));
        add(name, DataType::Utf8, false, groups);
    }
    let metric_types = texts(&|row| &row.series.key.metric_type);
    add("metric_type", DataType::Utf8, false, metric_types);
    add("unit", DataType::Utf8, false, texts(&|row| &row.series.key.unit));
    for (index, name) in names.counts.iter().enumerate() {
        let counts = rows
            .iter()
            .map(|row| row.counts.get(index).copied().unwrap_or_default());
        let counts = UInt64Array::from_iter_values(counts);
        add(name, DataType::UInt64, false, Arc::new(counts));
    }
    for (index, name) in names.numbers.iter().enumerate() {
        let number = |row: PointRow<'_>| row.numbers.get(index).copied().filter(|number| number.is_finite());
        let numbers: Float64Array = rows.iter().map(number).collect();
        add(name, DataType::Float64, true, Arc::new(numbers));
    }
    (Schema::new(fields), arrays)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::metrics::point::StoredPoint;
    use crate::metrics::points::{Account, Points, SeriesSet};

    proptest! {
        #[test]
        fn json_is_what_the_rows_are(rows in prop::collection::vec(("\\PC{0,5}", 0u32..4, "[\\x00-\\x7f\u{e9}\u{2028}]{0,5}", any::<u64>(), any::<f64>()), 0..30)) {
            let names = PointNames { groups: vec!["service_id"], counts: &["count"], numbers: vec!["avg"] };
            let mut series = SeriesSet::new(names.groups.clone(), Account::default());
            let stored = rows.iter().map(|(metric, start, service, count, number)| StoredPoint::of(metric, *start, &[service], &[*count], &[*number]));
            let points = PointRows::from(Points::new(stored, &mut series));
            let when = |start: Instant| When { end: Instant::from_micros(start.micros() + 1_000_000), complete: start.micros() == 0 };
            let mut text = Vec::new();
            super::json(&mut text, &points, &names, when).unwrap();
            let written: Value = serde_json::from_slice(&text).unwrap();
            let moment = |seconds: u32| Instant::from_seconds(seconds).to_rfc3339();
            let expected: Vec<Value> = rows.iter().map(|(metric, start, service, count, number)| json!({
                "start": moment(*start), "end": moment(start + 1), "complete": *start == 0, "metric_name": metric, "service_id": service,
                "metric_type": "gauge", "unit": "ms", "count": count, "avg": number.is_finite().then_some(number),
            })).collect();
            // Parsed from text as well: parsing may be off by the last bit of a double.
            let expected: Value = serde_json::from_str(&Value::from(expected).to_string()).unwrap();
            prop_assert_eq!(written, expected);
        }
    }
}
