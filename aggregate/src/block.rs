//! Aggregates to rows of `metrics_hourly`.
//!
//! In: the aggregates of a batch and what its intent froze. Out: Arrow columns named and typed as ClickHouse takes them
//! in an Arrow stream; all columns of the table except `inserted_at`, which the delivery adds. Pure, so a batch that is
//! made again after a crash gives the same rows in the same order.

use std::collections::BTreeMap;
use std::iter::repeat_n;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Float64Array, Int8Array, Int32Array, Int64Array, RecordBatch, StringArray, StringBuilder, StructArray,
    TimestampMicrosecondArray, UInt32Array, UInt64Array,
};
use arrow::datatypes::Int32Type;
use arrow::error::ArrowError;
use horolog_schemas::{PartitionKey, pieces};
use horolog_stage::stage::Block;

use crate::columns::{maps, push, seconds};
use crate::histogram::Side;
use crate::hours::Hours;
use crate::key::{Key, Keys};
use crate::summary::Summary;
use crate::time_frame::TimeFrame;

/// The table of the aggregates.
pub const HOURLY_TABLE: &str = "metrics_hourly";
/// It is partitioned by the month of its hours.
pub const HOURLY_PARTITION: PartitionKey = PartitionKey::Month("hour");

/// Why no block could be made: a bug.
#[derive(Debug, thiserror::Error)]
pub enum BlockError {
    /// Bytes that are not an encoded key.
    #[error("invariant: the keys of aggregates are encoded keys")]
    Key,
    /// Columns that do not fit together.
    #[error("the columns of the block do not fit together: {0}")]
    Columns(#[from] ArrowError),
}

/// Where a batch comes from, and in which epoch it is written.
#[derive(Clone, Copy, Debug)]
pub struct BatchOrigin<'a> {
    /// Its topic.
    pub topic: &'a str,
    /// Its partition.
    pub partition: i32,
    /// Even; see ARCHITECTURE.md, "Epochs".
    pub write_epoch: u32,
}

/// A column and its name.
type Column = (&'static str, ArrayRef);

/// The block of `metrics_hourly`, and the records in it by hour (seconds since 1970 of its start).
pub fn metrics_hourly(
    hours: &Hours,
    origin: BatchOrigin<'_>,
    frame: TimeFrame,
) -> Result<(Block, BTreeMap<u32, u64>), BlockError> {
    let (keys, starts) = key_columns(&hours.keys)?;
    let mut records = BTreeMap::new();
    for (start, summary) in starts.iter().zip(&hours.summaries) {
        *records.entry(*start).or_default() += summary.count;
    }
    let columns = RecordBatch::try_from_iter(
        keys.into_iter()
            .chain(write_columns(&starts, origin, frame))
            .chain(summary_columns(&hours.summaries, &starts, frame))
            .chain([("last", last(&hours.summaries, origin.partition)?)])
            .chain(distribution_columns(hours)?),
    )?;
    let block = Block {
        table: HOURLY_TABLE,
        pieces: pieces(HOURLY_PARTITION, &columns)?,
    };
    Ok((block, records))
}

/// What is aggregated; and the hour of each row.
fn key_columns(keys: &Keys) -> Result<([Column; 9], Vec<u32>), BlockError> {
    let mut texts: [StringBuilder; 7] = Default::default();
    let (mut starts, mut types) = (Vec::with_capacity(keys.len()), Vec::with_capacity(keys.len()));
    for key in keys.iter() {
        let key = Key::decode(key).ok_or(BlockError::Key)?;
        let columns = [
            &key.tenant_id,
            &key.metric_name,
            &key.service_id,
            &key.plugin_id,
            &key.environment,
            &key.team_id,
            &key.unit,
        ];
        for (builder, text) in texts.iter_mut().zip(columns) {
            builder.append_value(text);
        }
        starts.push(key.hour);
        types.push(key.metric_type as i8);
    }
    let [
        tenant_id,
        metric_name,
        service_id,
        plugin_id,
        environment,
        team_id,
        unit,
    ] = texts.map(|mut builder| Arc::new(builder.finish()) as ArrayRef);
    let columns: [Column; 9] = [
        ("tenant_id", tenant_id),
        ("metric_name", metric_name),
        ("hour", seconds(starts.iter().map(|hour| i64::from(*hour)))),
        ("service_id", service_id),
        ("plugin_id", plugin_id),
        ("environment", environment),
        ("team_id", team_id),
        ("metric_type", Arc::new(Int8Array::from(types))),
        ("unit", unit),
    ];
    Ok((columns, starts))
}

/// Which batch wrote the rows, and whether they revise complete hours.
fn write_columns(starts: &[u32], origin: BatchOrigin<'_>, frame: TimeFrame) -> [Column; 3] {
    let rows = starts.len();
    [
        ("revised_at", seconds(starts.iter().map(|hour| frame.revised_at(*hour)))),
        ("epoch", Arc::new(UInt32Array::from_value(origin.write_epoch, rows))),
        (
            "kafka_topic",
            Arc::new(StringArray::from_iter_values(repeat_n(origin.topic, rows))),
        ),
    ]
}

fn summary_columns(summaries: &[Summary], starts: &[u32], frame: TimeFrame) -> [Column; 5] {
    let counts = summaries.iter().map(|summary| summary.count);
    let late_counts = summaries
        .iter()
        .zip(starts)
        .map(|(summary, hour)| if frame.is_late(*hour) { summary.count } else { 0 });
    let values = |of: fn(&Summary) -> f64| Arc::new(Float64Array::from_iter_values(summaries.iter().map(of)));
    [
        ("count", Arc::new(UInt64Array::from_iter_values(counts))),
        ("late_count", Arc::new(UInt64Array::from_iter_values(late_counts))),
        ("sum", values(|summary| summary.sum)),
        ("min", values(|summary| summary.min)),
        ("max", values(|summary| summary.max)),
    ]
}

/// The tuples of `last`, which compare by time, then by place in the log.
fn last(summaries: &[Summary], partition: i32) -> Result<ArrayRef, ArrowError> {
    let last = || summaries.iter().map(|summary| summary.last);
    let times = TimestampMicrosecondArray::from_iter_values(last().map(|last| last.time_us)).with_timezone("UTC");
    let tuples = RecordBatch::try_from_iter([
        ("time", Arc::new(times) as ArrayRef),
        (
            "kafka_partition",
            Arc::new(Int32Array::from_value(partition, summaries.len())),
        ),
        (
            "kafka_offset",
            Arc::new(Int64Array::from_iter_values(last().map(|last| last.offset))),
        ),
        (
            "value",
            Arc::new(Float64Array::from_iter_values(last().map(|last| last.value))),
        ),
    ])?;
    Ok(Arc::new(StructArray::from(tuples)))
}

fn distribution_columns(hours: &Hours) -> Result<[Column; 3], ArrowError> {
    let (mut positive, mut negative) = (maps::<Int32Type>(), maps::<Int32Type>());
    let mut zero_counts = Vec::with_capacity(hours.len());
    for position in 0..hours.len() {
        let buckets = hours.buckets(position);
        let mut zero_count = 0;
        for (bucket, count) in buckets {
            match bucket.side() {
                Side::Positive(index) => push(&mut positive, index, *count),
                Side::Zero => zero_count += count,
                Side::Negative(_) => {}
            }
        }
        // Negative buckets come in falling order of index; maps are written in rising order.
        for (bucket, count) in buckets.iter().rev() {
            if let Side::Negative(index) = bucket.side() {
                push(&mut negative, index, *count);
            }
        }
        positive.append(true)?;
        negative.append(true)?;
        zero_counts.push(zero_count);
    }
    Ok([
        ("positive", Arc::new(positive.finish())),
        ("negative", Arc::new(negative.finish())),
        ("zero_count", Arc::new(UInt64Array::from(zero_counts))),
    ])
}
