//! Samples with their positions in their logs, from raw rows or from the log itself.
//!
//! In: columns of `metrics` as an Arrow stream, or records of a partition. Out: the same samples in the groups that the
//! stage would have written separately: by topic and partition, and by the minute in which they revised their hour.

use std::collections::{BTreeMap, HashMap};

use arrow::array::{AsArray, Float64Array, RecordBatch, StringArray, TimestampMicrosecondArray, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::{
    ArrowPrimitiveType, Float64Type, Int8Type, Int32Type, Int64Type, TimestampMicrosecondType, UInt32Type,
};
use arrow::error::ArrowError;
use horolog_schemas::column;
use horolog_stage::range::PartitionId;

use crate::key::hour_of;
use crate::late_batches::{LateBatches, revised_at};
use crate::samples::{Samples, SamplesError, text};
use crate::time_frame::TimeFrame;
use crate::tool_error::ToolError;

/// What the stage writes separately: topic and partition, and the minute of the revision (0 for samples on time).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Group {
    /// Position of the topic.
    pub topic: i32,
    /// The partition.
    pub partition: i32,
    /// Seconds since 1970; 0 for samples that were on time.
    pub revised_at: u32,
}

/// The columns of `metrics` that [`Rows::from_raw`] reads; `topics` is a literal array of the topics concerned.
pub fn raw_columns(topics: &str) -> String {
    format!(
        "tenant_id, metric_name, toInt8(metric_type) as metric_type_number, service_id, plugin_id, team_id, environment, \
         unit, time, value, kafka_offset, toInt32(indexOf({topics}, kafka_topic) - 1) as topic, kafka_partition, log_epoch"
    )
}

/// Samples of some logs.
#[derive(Debug)]
pub struct Rows {
    samples: Samples,
    /// By row: position of its topic.
    topic: Vec<i32>,
    partition: Vec<i32>,
    log_epoch: Vec<u32>,
}

impl Rows {
    /// From columns that were selected as [`raw_columns`] says.
    pub fn from_raw(columns: &RecordBatch) -> Result<Self, SamplesError> {
        let samples = Samples {
            tenant_id: text(columns, "tenant_id")?,
            metric_name: text(columns, "metric_name")?,
            metric_type: numbers::<Int8Type>(columns, "metric_type_number")?
                .iter()
                .map(|number| *number as u8)
                .collect(),
            service_id: text(columns, "service_id")?,
            plugin_id: text(columns, "plugin_id")?,
            team_id: text(columns, "team_id")?,
            environment: text(columns, "environment")?,
            unit: text(columns, "unit")?,
            time: numbers_array::<TimestampMicrosecondType>(columns, "time")?.clone(),
            value: numbers_array::<Float64Type>(columns, "value")?.clone(),
            offset: numbers::<Int64Type>(columns, "kafka_offset")?.to_vec(),
            timestamp_ms: vec![0; columns.num_rows()],
            rejected: 0,
            frame: TimeFrame::UNJUDGED,
        };
        Ok(Self {
            topic: numbers::<Int32Type>(columns, "topic")?.to_vec(),
            partition: numbers::<Int32Type>(columns, "kafka_partition")?.to_vec(),
            log_epoch: numbers::<UInt32Type>(columns, "log_epoch")?.to_vec(),
            samples,
        })
    }

    /// Samples of one life of one log; `topic` is the position of its topic.
    pub fn from_log(samples: Samples, topic: i32, partition: i32, log_epoch: u32) -> Self {
        let rows = samples.len();
        Self {
            samples: Samples {
                frame: TimeFrame::UNJUDGED,
                ..samples
            },
            topic: vec![topic; rows],
            partition: vec![partition; rows],
            log_epoch: vec![log_epoch; rows],
        }
    }

    /// The samples themselves.
    pub fn samples(&self) -> &Samples {
        &self.samples
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.samples.len()
    }

    /// Whether it is empty.
    pub fn is_empty(&self) -> bool {
        self.samples.is_empty()
    }

    /// The rows for which `keep` returns true.
    pub fn filter(self, keep: impl Fn(&Samples, usize) -> bool) -> Result<Self, ToolError> {
        let kept: Vec<u32> = (0..self.len())
            .filter(|row| keep(&self.samples, *row))
            .map(|row| row as u32)
            .collect();
        if kept.len() == self.len() {
            return Ok(self);
        }
        Ok(Self {
            topic: pick(&self.topic, &kept),
            partition: pick(&self.partition, &kept),
            log_epoch: pick(&self.log_epoch, &kept),
            samples: select(&self.samples, &kept)?,
        })
    }

    /// The samples in their groups. `topics` are the topics that positions refer to.
    pub fn groups(self, topics: &[String], late_batches: &LateBatches) -> Result<BTreeMap<Group, Samples>, ToolError> {
        let mut logs = HashMap::new();
        let mut groups: BTreeMap<Group, Vec<u32>> = BTreeMap::new();
        for row in 0..self.samples.len() {
            let place = (self.topic[row], self.partition[row], self.log_epoch[row]);
            let batches = *logs.entry(place).or_insert_with(|| {
                let topic = usize::try_from(place.0).ok().and_then(|position| topics.get(position));
                topic.map_or(&[][..], |topic| {
                    late_batches.of(&PartitionId::new(topic.as_str(), place.1), place.2)
                })
            });
            let revised_at = if batches.is_empty() {
                0
            } else {
                revised_at(batches, self.samples.offset[row], hour_of(self.samples.time.value(row)))
            };
            let group = Group {
                topic: place.0,
                partition: place.1,
                revised_at,
            };
            groups.entry(group).or_default().push(row as u32);
        }
        if groups.len() == 1
            && let Some((group, _)) = groups.pop_first()
        {
            return Ok(BTreeMap::from([(group, self.samples)]));
        }
        groups
            .into_iter()
            .map(|(group, rows)| Ok((group, select(&self.samples, &rows)?)))
            .collect()
    }
}

fn numbers_array<'a, T: ArrowPrimitiveType>(
    columns: &'a RecordBatch,
    name: &str,
) -> Result<&'a arrow::array::PrimitiveArray<T>, ArrowError> {
    column(columns, name, |column| column.as_primitive_opt::<T>())
}

fn numbers<'a, T: ArrowPrimitiveType>(columns: &'a RecordBatch, name: &str) -> Result<&'a [T::Native], ArrowError> {
    numbers_array::<T>(columns, name).map(|array| &array.values()[..])
}

fn pick<T: Copy>(of: &[T], rows: &[u32]) -> Vec<T> {
    rows.iter().map(|row| of[*row as usize]).collect()
}

fn select(samples: &Samples, rows: &[u32]) -> Result<Samples, ArrowError> {
    let indices = UInt32Array::from(rows.to_vec());
    let texts = |column: &StringArray| Ok::<_, ArrowError>(take(column, &indices, None)?.as_string::<i32>().clone());
    let time: TimestampMicrosecondArray = take(&samples.time, &indices, None)?.as_primitive().clone();
    let value: Float64Array = take(&samples.value, &indices, None)?.as_primitive().clone();
    Ok(Samples {
        tenant_id: texts(&samples.tenant_id)?,
        metric_name: texts(&samples.metric_name)?,
        metric_type: pick(&samples.metric_type, rows),
        service_id: texts(&samples.service_id)?,
        plugin_id: texts(&samples.plugin_id)?,
        team_id: texts(&samples.team_id)?,
        environment: texts(&samples.environment)?,
        unit: texts(&samples.unit)?,
        time,
        value,
        offset: pick(&samples.offset, rows),
        timestamp_ms: pick(&samples.timestamp_ms, rows),
        rejected: samples.rejected,
        frame: samples.frame,
    })
}
