//! Aggregates to rows of `metrics_hourly`, and progress to a row of `partition_progress`.
//!
//! In: the aggregates of a batch and what its intent froze. Out: Arrow columns named and typed as ClickHouse takes them
//! in an Arrow stream; all columns of the table except `inserted_at`, which the delivery adds. Pure, so a batch that is
//! made again after a crash gives the same rows in the same order.

use std::collections::BTreeMap;
use std::iter::repeat_n;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Float64Array, Int8Array, Int32Array, Int64Array, MapArray, RecordBatch, StringArray, StringBuilder,
    StructArray, TimestampMicrosecondArray, TimestampMillisecondArray, UInt32Array, UInt64Array,
};
use arrow::datatypes::{Field, Int32Type};
use arrow::error::ArrowError;
use horolog_schemas::{PartitionKey, pieces};
use horolog_stage::progress;
use horolog_stage::stage::{Block, Progress};

use crate::columns::{Maps, seconds};
use crate::histogram::Side;
use crate::hours::Hours;
use crate::key::Key;
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

/// The block of `metrics_hourly`, and the records in it by hour (seconds since 1970 of its start).
pub fn metrics_hourly(
    hours: &Hours,
    origin: BatchOrigin<'_>,
    frame: TimeFrame,
) -> Result<(Block, BTreeMap<u32, u64>), BlockError> {
    let mut texts: [StringBuilder; 7] = Default::default();
    let (mut starts, mut types) = (Vec::with_capacity(hours.len()), Vec::with_capacity(hours.len()));
    let mut records = BTreeMap::new();
    for (key, summary) in hours.keys.iter().zip(&hours.summaries) {
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
        *records.entry(key.hour).or_default() += summary.count;
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
    let late_counts = starts
        .iter()
        .zip(&hours.summaries)
        .map(|(hour, s)| if frame.is_late(*hour) { s.count } else { 0 });
    let values = |of: fn(&Summary) -> f64| Arc::new(Float64Array::from_iter_values(hours.summaries.iter().map(of)));
    let DistributionColumns {
        positive,
        negative,
        zero_count,
    } = DistributionColumns::of(hours)?;
    let columns = RecordBatch::try_from_iter([
        ("tenant_id", tenant_id),
        ("metric_name", metric_name),
        ("hour", seconds(starts.iter().map(|hour| i64::from(*hour)))),
        ("service_id", service_id),
        ("plugin_id", plugin_id),
        ("environment", environment),
        ("team_id", team_id),
        ("metric_type", Arc::new(Int8Array::from(types))),
        ("unit", unit),
        ("revised_at", seconds(starts.iter().map(|hour| frame.revised_at(*hour)))),
        (
            "epoch",
            Arc::new(UInt32Array::from_value(origin.write_epoch, hours.len())),
        ),
        (
            "kafka_topic",
            Arc::new(StringArray::from_iter_values(repeat_n(origin.topic, hours.len()))),
        ),
        (
            "count",
            Arc::new(UInt64Array::from_iter_values(
                hours.summaries.iter().map(|summary| summary.count),
            )),
        ),
        ("late_count", Arc::new(UInt64Array::from_iter_values(late_counts))),
        ("sum", values(|summary| summary.sum)),
        ("min", values(|summary| summary.min)),
        ("max", values(|summary| summary.max)),
        ("last", Arc::new(last(&hours.summaries, origin.partition)?)),
        ("positive", Arc::new(positive)),
        ("negative", Arc::new(negative)),
        ("zero_count", Arc::new(zero_count)),
    ])?;
    Ok((
        Block {
            table: HOURLY_TABLE,
            pieces: pieces(HOURLY_PARTITION, &columns)?,
        },
        records,
    ))
}

/// The tuples of `last`, which compare by time, then by place in the log.
fn last(summaries: &[Summary], partition: i32) -> Result<StructArray, ArrowError> {
    let last = || summaries.iter().map(|summary| summary.last);
    let times = TimestampMicrosecondArray::from_iter_values(last().map(|last| last.time_us)).with_timezone("UTC");
    let columns: [(&str, ArrayRef); 4] = [
        ("time", Arc::new(times)),
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
    ];
    let (names, arrays): (Vec<&str>, Vec<ArrayRef>) = columns.into_iter().unzip();
    let fields = names
        .iter()
        .zip(&arrays)
        .map(|(name, array)| Field::new(*name, array.data_type().clone(), false));
    StructArray::try_new(fields.collect(), arrays, None)
}

/// The columns of the distribution.
struct DistributionColumns {
    positive: MapArray,
    negative: MapArray,
    zero_count: UInt64Array,
}

impl DistributionColumns {
    fn of(hours: &Hours) -> Result<Self, ArrowError> {
        let (mut positive, mut negative) = (Maps::<Int32Type>::default(), Maps::<Int32Type>::default());
        let mut zero_counts = Vec::with_capacity(hours.len());
        for position in 0..hours.len() {
            let buckets = hours.buckets(position);
            let mut zero_count = 0;
            for (bucket, count) in buckets {
                match bucket.side() {
                    Side::Positive(index) => positive.push(index, *count),
                    Side::Zero => zero_count += count,
                    Side::Negative(_) => {}
                }
            }
            // Negative buckets come in falling order of index; maps are written in rising order.
            for (bucket, count) in buckets.iter().rev() {
                if let Side::Negative(index) = bucket.side() {
                    negative.push(index, *count);
                }
            }
            positive.end_row();
            negative.end_row();
            zero_counts.push(zero_count);
        }
        Ok(Self {
            positive: positive.finish()?,
            negative: negative.finish()?,
            zero_count: zero_counts.into(),
        })
    }
}

/// The block of `partition_progress`: one row.
pub fn partition_progress(at: &Progress) -> Result<Block, BlockError> {
    let columns: [(&str, ArrayRef); 7] = [
        ("kafka_topic", Arc::new(StringArray::from_iter_values([&*at.id.topic]))),
        ("kafka_partition", Arc::new(Int32Array::from_value(at.id.partition, 1))),
        ("log_epoch", Arc::new(UInt32Array::from_value(at.log_epoch, 1))),
        ("partitions", Arc::new(Int32Array::from_value(at.partitions, 1))),
        ("aggregated_end", Arc::new(Int64Array::from_value(at.aggregated_end, 1))),
        (
            "watermark",
            Arc::new(TimestampMillisecondArray::from_value(at.watermark_ms, 1).with_timezone("UTC")),
        ),
        ("write_epoch", Arc::new(UInt32Array::from_value(at.write_epoch, 1))),
    ];
    Ok(Block {
        table: progress::TABLE,
        pieces: vec![RecordBatch::try_from_iter(columns)?],
    })
}
