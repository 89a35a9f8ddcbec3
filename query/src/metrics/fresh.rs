//! The raw tail: samples that are stored, and not yet among the partial aggregates.
//!
//! Enters: how far each partition is aggregated. Leaves: rows that count every sample once. The two halves of an answer are read in one
//! statement after the progress, and a batch whose aggregates are there before its progress is would be in both. Such a batch stands
//! in the ledger, as begun, before any of its aggregates: so the ledger is asked after the rows, and where it knows a batch behind
//! the progress the answer is made anew. Bounded: what does not come to rest is answered, and the partitions are named.

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

/// A partition that nobody has reported on is all tail: element 0 of an array is 0.
const TAIL: &str = "r.kafka_topic = {tail_topic:String} and \
    (r.log_epoch, r.kafka_offset) >= (\
    ({tail_epochs:Array(UInt32)})[indexOf({tail_partitions:Array(Int32)}, r.kafka_partition) as tail_place], \
    ({tail_ends:Array(Int64)})[tail_place])";

/// Batches of the aggregate stage that may have left aggregates behind the progress: how old the news of them is, in milliseconds.
const MOVING_SQL: &str = "\
    select l.kafka_partition as kafka_partition, l.log_epoch as log_epoch, max(l.start_offset) as start_offset, \
    toInt64(dateDiff('millisecond', max(l.inserted_at), now64(3, 'UTC'))) as age_ms \
    from batch_ledger as l where l.stage = 'aggregate' and l.kafka_topic = {topic:String} \
    and l.start_offset >= {least_end:Int64} and l.entry in ('batch', 'recovered', 'begun') \
    group by l.kafka_partition, l.log_epoch";

/// The life of each partition's log, as ingest counts it, where that is not the first: those are few rows of a ledger of years.
const LATER_LIVES_SQL: &str = "\
    select l.kafka_partition as kafka_partition, max(l.log_epoch) as log_epoch from batch_ledger as l \
    where l.stage = 'ingest' and l.kafka_topic = {topic:String} and l.log_epoch > 1 group by l.kafka_partition";
const FIRST_LIFE: u32 = 1;

/// How often a batch that is being stored is waited for, and how long each time.
const LOOKS_MAX: usize = 20;
const LOOK_EVERY: Duration = Duration::from_millis(25);
/// How often rows are merged for one answer.
const ANSWERS_MAX: usize = 3;
/// A writer's lease is over by then: a batch that is older is not being stored but was given up, and waits for its next owner.
const STORED_WITHIN_MS: i64 = 60_000;

/// The newest batch of a partition that the ledger knows from some offset on.
#[derive(Debug, Clone, Copy, Row, Deserialize)]
struct Batch {
    kafka_partition: i32,
    log_epoch: u32,
    start_offset: i64,
    age_ms: i64,
}

/// Which life of a partition's log its raw rows are of.
#[derive(Debug, Clone, Copy, Row, Deserialize)]
struct Life {
    kafka_partition: i32,
    log_epoch: u32,
}

/// Rows with the raw tail in them.
#[derive(Debug)]
pub struct FreshRows {
    /// How far each partition is aggregated.
    pub progress: Vec<PartitionProgress>,
    /// The rows of the page.
    pub rows: Rows,
    /// Partitions of which samples may have been counted twice or not at all: a batch was being stored, or the two stages count
    /// different lives of its log.
    pub in_motion: Vec<i32>,
}

/// The page of a question that counts samples which are not aggregated yet.
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

/// The partitions of whose logs ingest counts another life than the aggregate stage, as when only one of them had read what the log lost:
/// the offsets of the one say nothing of the other's.
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

/// The batches behind the progress of their partitions.
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

/// From where on samples are not aggregated.
#[derive(Debug, Clone)]
pub struct RawTail {
    topic: String,
    progress: Vec<PartitionProgress>,
}

impl RawTail {
    /// Of a topic.
    pub fn new(topic: &str, progress: &[PartitionProgress]) -> Self {
        Self {
            topic: topic.to_owned(),
            progress: progress.to_vec(),
        }
    }

    /// Only the tail of `metrics as r`.
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
