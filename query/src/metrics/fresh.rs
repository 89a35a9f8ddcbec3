//! The raw tail: samples that are stored but not aggregated yet.
//!
//! Enters: how far each partition is aggregated. Leaves: rows that count every sample once. Aggregates and raw samples
//! are read in one statement after the progress, and a batch whose aggregates are stored before its progress would be
//! in both. Such a batch is in the ledger as begun before any of its aggregates: so the ledger is read after the rows,
//! and if it has a batch beyond the progress, the answer is computed again. Bounded: if batches keep coming, the answer
//! is given, and names the partitions.

use std::collections::BTreeSet;
use std::time::Duration;

use clickhouse::Row;
use horolog_stage::completeness::PartitionProgress;
use serde::Deserialize;
use tokio::time::sleep;

use crate::api::{Problem, RequestId};
use crate::handler::Api;
use crate::metrics::page::{self, Rows};
use crate::metrics::question::Question;
use crate::store::{Parameter, TenantSelect};

/// A partition without progress is all tail: element 0 of an array is 0.
const TAIL: &str = "r.kafka_topic = {tail_topic:String} and \
    (r.log_epoch, r.kafka_offset) >= (\
    ({tail_epochs:Array(UInt32)})[indexOf({tail_partitions:Array(Int32)}, r.kafka_partition) as tail_place], \
    ({tail_ends:Array(Int64)})[tail_place])";

/// Batches of the aggregate stage that may have stored aggregates beyond the progress, with the age of their ledger
/// entry in milliseconds.
const MOVING_SQL: &str = "\
    select l.kafka_partition as kafka_partition, l.log_epoch as log_epoch, max(l.start_offset) as start_offset, \
    toInt64(dateDiff('millisecond', max(l.inserted_at), now64(3, 'UTC'))) as age_ms \
    from batch_ledger as l where l.stage = 'aggregate' and l.kafka_topic = {topic:String} \
    and l.start_offset >= {least_end:Int64} and l.entry in ('batch', 'recovered', 'begun') \
    group by l.kafka_partition, l.log_epoch";

/// The log epoch of each partition according to ingest, if it is not the first: those are few rows in a ledger of
/// years.
const LATER_LIVES_SQL: &str = "\
    select l.kafka_partition as kafka_partition, max(l.log_epoch) as log_epoch from batch_ledger as l \
    where l.stage = 'ingest' and l.kafka_topic = {topic:String} and l.log_epoch > 1 group by l.kafka_partition";
const FIRST_LIFE: u32 = 1;

/// How often and how long to wait for a batch that is being stored.
const LOOKS_MAX: usize = 20;
const LOOK_EVERY: Duration = Duration::from_millis(25);
/// How often rows are merged for one answer.
const ANSWERS_MAX: usize = 3;
/// The default lease of a writer: an older batch is not being stored but was abandoned, and waits for its next owner.
const STORED_WITHIN_MS: i64 = 60_000;

/// The newest batch of a partition in the ledger beyond some offset.
#[derive(Debug, Clone, Copy, Row, Deserialize)]
struct Batch {
    kafka_partition: i32,
    log_epoch: u32,
    start_offset: i64,
    age_ms: i64,
}

/// The log epoch of a partition's raw rows.
#[derive(Debug, Clone, Copy, Row, Deserialize)]
struct Life {
    kafka_partition: i32,
    log_epoch: u32,
}

/// Rows that include the raw tail.
#[derive(Debug)]
pub struct FreshRows {
    /// How far each partition is aggregated.
    pub progress: Vec<PartitionProgress>,
    /// The rows of the page.
    pub rows: Rows,
    /// Partitions of which samples may have been counted twice or not at all: a batch was being stored, or the two
    /// stages have different epochs of its log.
    pub in_motion: Vec<i32>,
}

/// The page of a question, including samples that are not aggregated yet.
pub async fn page(api: &Api, request: &RequestId, question: &Question) -> Result<FreshRows, Problem> {
    let topic = &api.config.source.metrics_topic;
    let mut answers = 0;
    for look in 1.. {
        let progress = api.store.progress(request, topic, None).await?;
        let moving = moving(api, request, &progress).await?;
        if look < LOOKS_MAX && moving.iter().any(|batch| batch.age_ms < STORED_WITHIN_MS) {
            sleep(LOOK_EVERY).await;
            continue;
        }
        let tail = RawTail::new(topic, &progress);
        let rows = page::page(api, request, question, Some(&tail)).await?;
        answers += 1;
        let moving = self::moving(api, request, &progress).await?;
        let is_last = look >= LOOKS_MAX || answers == ANSWERS_MAX;
        if is_last || moving.iter().all(|batch| batch.age_ms >= STORED_WITHIN_MS) {
            let mut in_motion: BTreeSet<i32> = moving.iter().map(|batch| batch.kafka_partition).collect();
            in_motion.extend(disagreeing(api, request, &progress).await?);
            return Ok(FreshRows {
                progress,
                rows,
                in_motion: in_motion.into_iter().collect(),
            });
        }
    }
    Err(Problem::Internal)
}

/// The partitions for which ingest and the aggregate stage have different log epochs, as when only one of them has
/// noticed that the log lost records: their offsets are not comparable.
async fn disagreeing(api: &Api, request: &RequestId, progress: &[PartitionProgress]) -> Result<Vec<i32>, Problem> {
    let parameters = [("topic", Parameter::Text(api.config.source.metrics_topic.clone()))];
    let lives: Vec<Life> = api.store.log_rows(request, LATER_LIVES_SQL, &parameters).await?;
    let is_other = |row: &&PartitionProgress| {
        let life = lives.iter().find(|life| life.kafka_partition == row.kafka_partition);
        life.map_or(FIRST_LIFE, |life| life.log_epoch) != row.log_epoch
    };
    Ok(progress
        .iter()
        .filter(is_other)
        .map(|row| row.kafka_partition)
        .collect())
}

/// The batches beyond the progress of their partitions.
async fn moving(api: &Api, request: &RequestId, progress: &[PartitionProgress]) -> Result<Vec<Batch>, Problem> {
    let least_end = progress.iter().map(|row| row.aggregated_end).min().unwrap_or_default();
    let parameters = [
        ("topic", Parameter::Text(api.config.source.metrics_topic.clone())),
        ("least_end", Parameter::Integer(least_end)),
    ];
    let batches: Vec<Batch> = api.store.log_rows(request, MOVING_SQL, &parameters).await?;
    let is_behind = |batch: &Batch| {
        let row = progress.iter().find(|row| row.kafka_partition == batch.kafka_partition);
        row.is_none_or(|row| (batch.log_epoch, batch.start_offset) >= (row.log_epoch, row.aggregated_end))
    };
    Ok(batches.into_iter().filter(is_behind).collect())
}

/// Where the samples begin that are not aggregated yet.
#[derive(Debug, Clone)]
pub struct RawTail {
    topic: String,
    progress: Vec<PartitionProgress>,
}

impl RawTail {
    /// For a topic.
    pub fn new(topic: &str, progress: &[PartitionProgress]) -> Self {
        Self {
            topic: topic.to_owned(),
            progress: progress.to_vec(),
        }
    }

    /// Restricts `metrics as r` to the tail.
    pub fn only(&self, select: TenantSelect) -> TenantSelect {
        let numbers =
            |number: fn(&PartitionProgress) -> i64| Parameter::Integers(self.progress.iter().map(number).collect());
        select
            .and(TAIL)
            .bind("tail_topic", Parameter::Text(self.topic.clone()))
            .bind("tail_partitions", numbers(|row| row.kafka_partition.into()))
            .bind("tail_epochs", numbers(|row| row.log_epoch.into()))
            .bind("tail_ends", numbers(|row| row.aggregated_end))
    }
}
