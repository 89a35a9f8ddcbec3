//! How far the stages are according to the tables: the ledger and the progress, as `rebuild` and `verify` read them.
//!
//! Read-only. Progress is written after the ledger, and the ledger after the rows: reading in this order never takes
//! for stored what is not.

use std::collections::{BTreeMap, BTreeSet};

use clickhouse::Row;
use horolog_stage::LEDGER_TABLE;
use horolog_stage::clock::now_ms;
use horolog_stage::completeness::{PROGRESS_OF_ALL_SQL, PartitionProgress, partition_count};
use horolog_stage::progress;
use horolog_stage::range::PartitionId;
use horolog_stage::store::Store;
use serde::Deserialize;

use crate::cut::{Cut, Position};
use crate::key::HOUR_S;
use crate::late_batches::{Batch, LateBatches};
use crate::scope::Scope;
use crate::tool_error::ToolError;

/// The ledger entries of stored batches.
pub const STORED: &str = "entry in ('batch', 'recovered')";

/// A log without a new row for so long is not read any more.
const GONE_AFTER_MS: i64 = 86_400_000;

/// Topic, partition, life of its log, offset.
type Place = (String, i32, u32, i64);

fn log_and_position((topic, partition, log_epoch, offset): Place) -> (PartitionId, Position) {
    (PartitionId::new(topic, partition), Position { log_epoch, offset })
}

/// The log that a row is about.
pub fn log_of(row: &PartitionProgress) -> PartitionId {
    PartitionId::new(row.kafka_topic.as_str(), row.kafka_partition)
}

/// How far it is aggregated.
pub fn position_of(row: &PartitionProgress) -> Position {
    Position {
        log_epoch: row.log_epoch,
        offset: row.aggregated_end,
    }
}

/// The newest progress of every log.
pub async fn progress(store: &Store) -> Result<Vec<PartitionProgress>, ToolError> {
    store.catch_up(&[progress::TABLE]).await?;
    Ok(store.client.query(PROGRESS_OF_ALL_SQL).fetch_all().await?)
}

/// The position up to which the hours hold the records of every log.
pub fn aggregated(progress: &[PartitionProgress]) -> Cut {
    let mut cut = Cut::default();
    for row in progress {
        cut.set(log_of(row), position_of(row));
    }
    cut
}

/// Likewise; of logs that are `gone` and have no progress, which somebody may have deleted, up to the end of the ledger.
pub async fn aggregated_or_gone(
    store: &Store,
    progress: &[PartitionProgress],
    gone: &BTreeSet<PartitionId>,
) -> Result<Cut, ToolError> {
    let mut cut = aggregated(progress);
    let unknown: Vec<_> = gone.iter().filter(|log| cut.get(log).is_none()).collect();
    if !unknown.is_empty() {
        let ends = stored_ends(store, "aggregate").await?;
        for log in unknown {
            if let Some(end) = ends.get(log) {
                cut.set(log.clone(), *end);
            }
        }
    }
    Ok(cut)
}

/// Logs that nobody reads any more: those of another topic, or partitions that the topic no longer has, if neither the
/// progress nor the ledger has got a row for so long. A ledger row of any stage counts: one stage may be away while the
/// other catches up, or have died before it wrote any progress.
pub async fn gone(
    store: &Store,
    progress: &[PartitionProgress],
    topic: &str,
) -> Result<BTreeSet<PartitionId>, ToolError> {
    let of_topic = progress.iter().filter(|row| row.kafka_topic == topic);
    let partitions = partition_count(&of_topic.cloned().collect::<Vec<_>>());
    let is_read = |log: &PartitionId| *log.topic == *topic && (partitions == 0 || log.partition < partitions);
    let mut newest_ms: BTreeMap<PartitionId, i64> = progress.iter().map(|row| (log_of(row), row.written_ms)).collect();
    for (log, written_ms) in written_ms(store, &["ingest", "aggregate"]).await? {
        let newest_ms = newest_ms.entry(log).or_default();
        *newest_ms = (*newest_ms).max(written_ms);
    }
    let since_ms = now_ms() - GONE_AFTER_MS;
    let gone = newest_ms
        .into_iter()
        .filter(|(log, newest_ms)| !is_read(log) && *newest_ms < since_ms);
    Ok(gone.map(|(log, _)| log).collect())
}

/// When any of these stages last wrote to its ledger, for every log; ms since 1970.
pub async fn written_ms(store: &Store, stages: &[&str]) -> Result<BTreeMap<PartitionId, i64>, ToolError> {
    store.catch_up(&[LEDGER_TABLE]).await?;
    let query = "select kafka_topic, kafka_partition, toUnixTimestamp64Milli(max(inserted_at)) from batch_ledger \
         where has(?, stage) group by kafka_topic, kafka_partition";
    let rows: Vec<(String, i32, i64)> = store.client.query(query).bind(stages).fetch_all().await?;
    let written = |(topic, partition, written_ms)| (PartitionId::new(topic, partition), written_ms);
    Ok(rows.into_iter().map(written).collect())
}

/// The end of a stage's ledger for every log. Without `final`: a rewritten row ends where it ended before.
pub async fn stored_ends(store: &Store, stage: &str) -> Result<BTreeMap<PartitionId, Position>, ToolError> {
    store.catch_up(&[LEDGER_TABLE]).await?;
    let rows: Vec<Place> = store
        .client
        .query(
            "select kafka_topic, kafka_partition, log_epoch, max(end_offset) from batch_ledger \
             where stage = ? and entry != 'begun' group by kafka_topic, kafka_partition, log_epoch \
             order by kafka_topic, kafka_partition, log_epoch desc limit 1 by kafka_topic, kafka_partition",
        )
        .bind(stage)
        .fetch_all()
        .await?;
    Ok(rows.into_iter().map(log_and_position).collect())
}

/// Whether a batch of `log` was begun at or behind `end` and is not known to be stored.
pub async fn is_begun(store: &Store, log: &PartitionId, end: Position) -> Result<bool, ToolError> {
    let query = "select count() > 0 from batch_ledger final where stage = 'aggregate' and entry = 'begun' \
         and kafka_topic = ? and kafka_partition = ? and (log_epoch, start_offset) >= (?, ?)";
    let query = store.client.query(query).bind(&*log.topic).bind(log.partition);
    Ok(query.bind(end.log_epoch).bind(end.offset).fetch_one::<bool>().await?)
}

/// Where, in every log, the first stored batch with at least this write epoch begins.
pub async fn first_of_epoch(store: &Store, write_epoch: u32) -> Result<BTreeMap<PartitionId, Position>, ToolError> {
    store.catch_up(&[LEDGER_TABLE]).await?;
    let rows: Vec<Place> = store
        .client
        .query(&format!(
            "select kafka_topic, kafka_partition, (min((log_epoch, start_offset)) as at).1, at.2 from batch_ledger final \
             where stage = 'aggregate' and {STORED} and write_epoch >= ? group by kafka_topic, kafka_partition"
        ))
        .bind(write_epoch)
        .fetch_all()
        .await?;
    Ok(rows.into_iter().map(log_and_position).collect())
}

/// Records by hour that the stage's ledger counts in the batches before the cut, all tenants and metrics.
pub async fn hour_counts(store: &Store, scope: &Scope, cut: &Cut) -> Result<BTreeMap<u32, u64>, ToolError> {
    let query = format!(
        "select toUnixTimestamp(entry_hour.1) as hour, sum(entry_hour.2) as records from ( \
           select arrayJoin({}) as entry_hour \
           from batch_ledger final where stage = 'aggregate' and {STORED} and {}) group by hour",
        scope.ledger_hours(),
        cut.condition("start_offset"),
    );
    let rows: Vec<(u32, u64)> = store.client.query(&query).fetch_all().await?;
    Ok(rows.into_iter().collect())
}

/// Records by hour, at most, in the batches before the cut that Kafka had deleted when ingest came to them: so many are
/// in the hours and not among the raw rows.
pub async fn unread_by_ingest(store: &Store, scope: &Scope, cut: &Cut) -> Result<BTreeMap<u32, u64>, ToolError> {
    let query = format!(
        "select toUnixTimestamp(entry_hour.1) as hour, sum(least(entry_hour.2, toUInt64(lost))) as records from ( \
           select arrayJoin({}) as entry_hour, least(end_offset, lost_to) - greatest(start_offset, lost_from) as lost \
           from batch_ledger final inner join ( \
             select kafka_topic as topic, kafka_partition as partition, log_epoch as life, start_offset as lost_from, \
               end_offset as lost_to \
             from batch_ledger final where stage = 'ingest' and entry = 'gap') as gaps \
           on kafka_topic = topic and kafka_partition = partition and log_epoch = life \
           where stage = 'aggregate' and {STORED} and {} and start_offset < lost_to and end_offset > lost_from) \
         group by hour",
        scope.ledger_hours(),
        cut.condition("start_offset"),
    );
    let rows: Vec<(u32, u64)> = store.client.query(&query).fetch_all().await?;
    Ok(rows.into_iter().collect())
}

/// Raw rows by hour before the cut; all tenants and metrics, or those of the scope.
pub async fn raw_counts(store: &Store, scope: &Scope, cut: &Cut) -> Result<BTreeMap<u32, u64>, ToolError> {
    store.catch_up(&["metrics"]).await?;
    let query = format!(
        "select toUnixTimestamp(toStartOfHour(time)) as hour, count() as records from metrics \
         where {} and {} group by hour",
        scope.raw_condition(),
        cut.condition("kafka_offset")
    );
    let rows: Vec<(u32, u64)> = scope.bind(store.client.query(&query)).fetch_all().await?;
    Ok(rows.into_iter().collect())
}

/// A batch of the aggregate stage that has records of some hours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HourBatch {
    /// Its log.
    pub log: PartitionId,
    /// Where it begins.
    pub start: Position,
    /// Offset after its last record.
    pub end: i64,
    /// Its records by hour, for the selected hours.
    pub hours: BTreeMap<u32, u64>,
}

/// The stage's batches before the cut that have records in these hours, by log and offset.
pub async fn batches(store: &Store, scope: &Scope, cut: &Cut) -> Result<Vec<HourBatch>, ToolError> {
    #[derive(Row, Deserialize)]
    struct Found {
        kafka_topic: String,
        kafka_partition: i32,
        log_epoch: u32,
        start_offset: i64,
        end_offset: i64,
        in_scope: Vec<(u32, u64)>,
    }
    let query = format!(
        "select kafka_topic, kafka_partition, log_epoch, start_offset, end_offset, \
         arrayMap(hour -> (toUnixTimestamp(hour.1), hour.2), {}) as in_scope \
         from batch_ledger final where stage = 'aggregate' and {STORED} and {} and notEmpty(in_scope) \
         order by kafka_topic, kafka_partition, log_epoch, start_offset",
        scope.ledger_hours(),
        cut.condition("start_offset"),
    );
    let rows: Vec<Found> = store.client.query(&query).fetch_all().await?;
    let batch = |row: Found| HourBatch {
        log: PartitionId::new(row.kafka_topic, row.kafka_partition),
        start: Position {
            log_epoch: row.log_epoch,
            offset: row.start_offset,
        },
        end: row.end_offset,
        hours: row.in_scope.into_iter().collect(),
    };
    Ok(rows.into_iter().map(batch).collect())
}

/// SQL of a table: the raw rows before the cut with their coordinates, a further column (its name, and its expression in
/// `metrics`), grouped by `grouping` if that is not empty, and `batch_start`: the first offset of the stage's batch that
/// has their offset, -1 where none has.
pub fn raw_by_batch(hours: &Scope, cut: &Cut, [column, expression]: [&str; 2], grouping: &str) -> String {
    format!(
        "select r.kafka_topic as kafka_topic, r.kafka_partition as kafka_partition, r.log_epoch as log_epoch, \
           r.kafka_offset as kafka_offset, r.{column} as {column}, \
           if(r.kafka_offset < b.end_offset, b.start_offset, toInt64(-1)) as batch_start \
         from (select kafka_topic, kafka_partition, log_epoch, kafka_offset, {expression} as {column} from metrics \
               where {raw} and {before_raw} {grouping}) as r \
         asof left join (select kafka_topic, kafka_partition, log_epoch, start_offset, end_offset from batch_ledger final \
               where stage = 'aggregate' and {STORED} and {before_batch} and notEmpty({in_scope})) as b \
         on r.kafka_topic = b.kafka_topic and r.kafka_partition = b.kafka_partition and r.log_epoch = b.log_epoch \
           and r.kafka_offset >= b.start_offset",
        raw = hours.raw_condition(),
        before_raw = cut.condition("kafka_offset"),
        before_batch = cut.condition("start_offset"),
        in_scope = hours.ledger_hours(),
    )
}

/// Hours of the stage's batches before the cut that have offsets at or behind `reached`.
pub async fn hours_between(store: &Store, scope: &Scope, reached: &Cut, cut: &Cut) -> Result<BTreeSet<u32>, ToolError> {
    let query = format!(
        "select distinct toUnixTimestamp(arrayJoin({}).1) as hour from batch_ledger final \
         where stage = 'aggregate' and {STORED} and {} and not {}",
        scope.ledger_hours(),
        cut.condition("start_offset"),
        reached.condition("end_offset - 1"),
    );
    let hours: Vec<u32> = store.client.query(&query).fetch_all().await?;
    Ok(hours.into_iter().collect())
}

/// Hours with records of stored batches behind the cut: their rows may include more than the cut.
pub async fn hours_since(store: &Store, scope: &Scope, cut: &Cut) -> Result<BTreeSet<u32>, ToolError> {
    store.catch_up(&[LEDGER_TABLE]).await?;
    let query = format!(
        "select distinct toUnixTimestamp(arrayJoin(mapKeys(hours))) as hour from batch_ledger final \
         where stage = 'aggregate' and {STORED} and not {} having hour >= {} and hour < {}",
        cut.condition("start_offset"),
        scope.from,
        scope.to,
    );
    let hours: Vec<u32> = store.client.query(&query).fetch_all().await?;
    Ok(hours.into_iter().collect())
}

/// Batches behind the cut that were begun and are not known to be stored. Those left by logs that are `gone` never will
/// be.
pub async fn begun_since(store: &Store, cut: &Cut, gone: &BTreeSet<PartitionId>) -> Result<BTreeSet<Place>, ToolError> {
    store.catch_up(&[LEDGER_TABLE]).await?;
    let query = format!(
        "select kafka_topic, kafka_partition, log_epoch, start_offset from batch_ledger final \
         where stage = 'aggregate' and entry = 'begun' and not {}",
        cut.condition("start_offset"),
    );
    let begun: Vec<Place> = store.client.query(&query).fetch_all().await?;
    let is_left = |(topic, partition, ..): &Place| gone.contains(&PartitionId::new(topic.as_str(), *partition));
    Ok(begun.into_iter().filter(|batch| !is_left(batch)).collect())
}

/// The batches for which some of these hours were late.
pub async fn late_batches(store: &Store, scope: &Scope) -> Result<LateBatches, ToolError> {
    #[derive(Row, Deserialize)]
    struct Found {
        kafka_topic: String,
        kafka_partition: i32,
        log_epoch: u32,
        start_offset: i64,
        end_offset: i64,
        watermark_ms: i64,
        begun_at_ms: i64,
    }
    let query = format!(
        "select kafka_topic, kafka_partition, log_epoch, start_offset, end_offset, \
         toUnixTimestamp64Milli(watermark) as watermark_ms, toUnixTimestamp64Milli(closed_at) as begun_at_ms \
         from batch_ledger final where stage = 'aggregate' and {STORED} \
         and arrayExists(hour -> hour >= toDateTime({from}, 'UTC') and hour < toDateTime({to}, 'UTC') \
         and hour + {HOUR_S} <= watermark, mapKeys(hours))",
        from = scope.from,
        to = scope.to,
    );
    let rows: Vec<Found> = store.client.query(&query).fetch_all().await?;
    Ok(LateBatches::new(rows.into_iter().map(|row| {
        let log = PartitionId::new(row.kafka_topic, row.kafka_partition);
        let batch = Batch {
            start: row.start_offset,
            end: row.end_offset,
            watermark_ms: row.watermark_ms,
            begun_at_ms: row.begun_at_ms,
        };
        (log, row.log_epoch, batch)
    })))
}
