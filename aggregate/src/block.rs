//! Aggregates to rows of `metrics_hourly`, and progress to a row of `partition_progress`.
//!
//! In: the aggregates of a batch and what its intent froze. Out: Arrow columns named and typed so that ClickHouse takes them
//! as an Arrow stream; all columns of the table but `inserted_at`, which the delivery adds. A pure function, so a batch
//! that is made again after a crash gives the same rows in the same order.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Float64Array, Int8Array, Int32Array, Int64Array, MapArray, RecordBatch, StringArray, StringBuilder,
    StructArray, TimestampMicrosecondArray, TimestampMillisecondArray, TimestampSecondArray, UInt32Array, UInt64Array,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, Fields};
use arrow::error::ArrowError;
use horolog_schemas::{PartitionKey, pieces};
use horolog_stage::stage::{Block, Progress};

use crate::histogram::Side;
use crate::hours::Hours;
use crate::key::{HOUR_S, Key};
use crate::summary::Summary;

/// The table of the aggregates; partitioned by the month of its hours.
const HOURLY_TABLE: &str = "metrics_hourly";
const HOURLY_PARTITION: PartitionKey = PartitionKey::Month("hour");
/// The table of the progress.
const PROGRESS_TABLE: &str = "partition_progress";
/// A rebuild writes another one.
const EPOCH: u32 = 0;

const MINUTE_MS: i64 = 60_000;

/// Why no block could be made: a bug of ours.
#[derive(Debug, thiserror::Error)]
pub enum BlockError {
    /// A key that is none.
    #[error("invariant: the keys of aggregates are encoded keys")]
    Key,
    /// Columns that do not fit together.
    #[error("the columns of the block do not fit together: {0}")]
    Columns(#[from] ArrowError),
}

/// What the intent of a batch says of lateness.
#[derive(Clone, Copy, Debug)]
pub struct Lateness {
    /// Watermark of the partition before the batch, ms since 1970.
    pub watermark_ms: i64,
    /// When the batch was closed, ms since 1970.
    pub at_ms: i64,
}

impl Lateness {
    /// Whether the hour had been declared complete before the batch.
    pub fn is_late(&self, hour: u32) -> bool {
        (i64::from(hour) + i64::from(HOUR_S)) * 1_000 <= self.watermark_ms
    }

    /// Minute of the batch for a late hour, 1970 for one that is on time; seconds since 1970.
    fn revised_at(&self, hour: u32) -> i64 {
        if self.is_late(hour) {
            self.at_ms.div_euclid(MINUTE_MS) * MINUTE_MS / 1_000
        } else {
            0
        }
    }
}

/// The block of `metrics_hourly`, and the records in it by hour (seconds since 1970 of its start).
pub fn metrics_hourly(
    hours: &Hours,
    partition: i32,
    lateness: Lateness,
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
        .map(|(hour, s)| if lateness.is_late(*hour) { s.count } else { 0 });
    let values = |of: fn(&Summary) -> f64| Arc::new(Float64Array::from_iter_values(hours.summaries.iter().map(of)));
    let Distributions {
        positive,
        negative,
        zero_count,
    } = Distributions::of(hours)?;
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
        (
            "revised_at",
            seconds(starts.iter().map(|hour| lateness.revised_at(*hour))),
        ),
        ("epoch", Arc::new(UInt32Array::from_value(EPOCH, hours.len()))),
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
        ("last", Arc::new(last(&hours.summaries, partition)?)),
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

fn seconds(times: impl Iterator<Item = i64>) -> ArrayRef {
    Arc::new(TimestampSecondArray::from_iter_values(times).with_timezone("UTC"))
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
struct Distributions {
    positive: MapArray,
    negative: MapArray,
    zero_count: UInt64Array,
}

impl Distributions {
    fn of(hours: &Hours) -> Result<Self, ArrowError> {
        let (mut positive, mut negative) = (BucketMaps::default(), BucketMaps::default());
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
            // Negative buckets come by falling index; a map is written by rising one.
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

/// A column of maps from bucket index to count, in the making.
#[derive(Default)]
struct BucketMaps {
    indexes: Vec<i32>,
    counts: Vec<u64>,
    lengths: Vec<usize>,
    ended: usize,
}

impl BucketMaps {
    fn push(&mut self, index: i32, count: u64) {
        self.indexes.push(index);
        self.counts.push(count);
    }

    fn end_row(&mut self) {
        self.lengths.push(self.indexes.len() - self.ended);
        self.ended = self.indexes.len();
    }

    fn finish(self) -> Result<MapArray, ArrowError> {
        let fields = Fields::from(vec![
            Field::new("key", DataType::Int32, false),
            Field::new("value", DataType::UInt64, false),
        ]);
        let arrays: Vec<ArrayRef> = vec![
            Arc::new(Int32Array::from(self.indexes)),
            Arc::new(UInt64Array::from(self.counts)),
        ];
        let entries = Field::new("entries", DataType::Struct(fields.clone()), false);
        let offsets = OffsetBuffer::from_lengths(self.lengths);
        MapArray::try_new(
            Arc::new(entries),
            offsets,
            StructArray::try_new(fields, arrays, None)?,
            None,
            false,
        )
    }
}

/// The block of `partition_progress`: one row.
pub fn partition_progress(at: &Progress) -> Result<Block, BlockError> {
    let columns: [(&str, ArrayRef); 6] = [
        ("kafka_topic", Arc::new(StringArray::from_iter_values([&*at.id.topic]))),
        ("kafka_partition", Arc::new(Int32Array::from_value(at.id.partition, 1))),
        ("log_epoch", Arc::new(UInt32Array::from_value(at.log_epoch, 1))),
        ("partitions", Arc::new(Int32Array::from_value(at.partitions, 1))),
        ("aggregated_end", Arc::new(Int64Array::from_value(at.aggregated_end, 1))),
        (
            "watermark",
            Arc::new(TimestampMillisecondArray::from_value(at.watermark_ms, 1).with_timezone("UTC")),
        ),
    ];
    Ok(Block {
        table: PROGRESS_TABLE,
        pieces: vec![RecordBatch::try_from_iter(columns)?],
    })
}
