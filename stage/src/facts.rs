//! Gathers the facts that [`crate::plan`] decides on: the group's commit and the log from Kafka, the ledger and the
//! rows from ClickHouse.
//!
//! Read-only. May take as long as it needs: while a server is away the partition is not fetched, so waiting loses
//! nothing.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use horolog_schemas::held_timestamp_ms;

use crate::clock::now_ms;
use crate::intent::Committed;
use crate::ledger;
use crate::lives;
use crate::plan::{Facts, LedgerEnd, known_epoch};
use crate::probe::{LogBounds, Probe, ProbeError};
use crate::progress;
use crate::range::{PartitionId, RecordMark};
use crate::read_back::{self, COORDINATES};
use crate::store::{Store, StoreError};
use crate::surviving_end::Search;
use crate::write_epoch::WriteEpoch;

/// Rows beyond what is known are looked for in windows of this many offsets, for as long as a window has any. The
/// tables' index covers the offsets of all partitions together, so without a bound a partition with small offsets would
/// read all rows of the others. At most one batch is unknown, and its rows are closer together than this.
const WINDOW: i64 = 1 << 22;

/// Why facts could not be had just now.
#[derive(Debug, thiserror::Error)]
pub enum FactsError {
    /// The broker did not answer, or not with what was asked for.
    #[error(transparent)]
    Probe(#[from] ProbeError),
    /// ClickHouse did not.
    #[error("clickhouse: {0}")]
    Store(#[from] StoreError),
    /// The log ends before what is known of it. A broker that lost touch with its cluster still answers, with the end
    /// that it knows, so it is asked again.
    #[error("the log ends at {log_end}, before its last known offset: asking again to make sure")]
    Shorter {
        /// Its end by that answer.
        log_end: i64,
    },
    /// A begun batch is not to be repeated as it was, and what its writer sent may still land.
    #[error("a previous writer may still hold a lease")]
    WriterMayLive,
    /// The partition was added to the topic, and another one may still claim completeness without it.
    #[error("the partition was added to the topic, and the owner of partition {older} has not counted it yet")]
    NotCounted {
        /// That partition.
        older: i32,
    },
    /// The broker that was asked does not know the topic.
    #[error("the broker knows no partition of the topic")]
    NoTopic,
    /// The group's commit or the ledger has changed since the facts were gathered.
    #[error("another owner has continued the partition meanwhile")]
    Changed,
    /// Nobody answered in time.
    #[error("no answer in time")]
    Timeout,
}

/// The partition to ask about, and whom to ask.
pub struct Questions<'a> {
    /// Kafka.
    pub probe: &'a Arc<Probe>,
    /// ClickHouse.
    pub store: &'a Store,
    /// Whose ledger.
    pub stage: &'static str,
    /// The tables in which the partition's records can be found by offset, the rejected ones last.
    pub tables: &'a [&'static str],
    /// Whether the stage states the progress of its partitions.
    pub states_progress: bool,
    /// Epoch of new batches.
    pub write_epoch: &'a WriteEpoch,
    /// How far apart two clocks may be by which rows are accepted, the writer's and ours.
    pub clocks_apart: Duration,
    /// The partition.
    pub id: &'a PartitionId,
}

impl Questions<'_> {
    /// Asks all sources, in the reverse of the order in which things become true: what is committed is in the ledger,
    /// what is in the ledger is in the tables, what is in the tables is in the log. So a pause between two questions
    /// never makes a source look shorter than the ones before it. Also returns when the log was asked.
    pub async fn gather(&self) -> Result<(Facts, Instant), FactsError> {
        self.store.catch_up(self.tables).await?;
        self.store.catch_up(&[ledger::TABLE, progress::TABLE]).await?;
        let committed = self.ask(|probe, id| probe.committed(id)).await?;
        let ahead_max_ms = now_ms() + self.clocks_apart.as_millis() as i64;
        let pending = committed.and_then(Committed::intent);
        let is_refused = pending.is_some_and(|intent| intent.at_ms > ahead_max_ms);
        let ledger = ledger::read_end(self.store, self.stage, self.id).await?;
        let record = match ledger {
            Some(ledger) => ledger::read_mark(self.store, self.stage, self.id, ledger.end).await?,
            None => None,
        };

        let log_epoch = known_epoch(committed, ledger.map(|ledger| ledger.log_epoch));
        let ledger_end = ledger
            .filter(|ledger| ledger.log_epoch == log_epoch)
            .map(|ledger| ledger.end);
        let last_row = self
            .last_row(log_epoch, committed.map(|c| c.offset), ledger_end)
            .await?;
        let begun = match self.tables.is_empty() {
            true => ledger::read_begun(self.store, self.stage, self.id, log_epoch, ledger_end.unwrap_or(0)).await?,
            false => None,
        };

        let announced_start = match self.states_progress && committed.is_none() && ledger.is_none() {
            true => progress::aggregated_end(self.store, self.id, log_epoch).await?,
            false => None,
        };

        // Before the log: whatever made another stage begin a new life is then visible in it.
        let others = lives::of_others(self.store, self.stage, self.id).await?;

        let write_epoch = match self.states_progress {
            true => self.write_epoch.require(self.store).await?,
            false => 0,
        };

        let asked_at = Instant::now();
        let (bounds, tail_matches) = self.ask(move |probe, id| of_log(probe, id, record)).await?;
        let mut facts = Facts {
            committed,
            ledger: ledger.map(|ledger| LedgerEnd { tail_matches, ..ledger }),
            log_start: bounds.start,
            log_end: bounds.end,
            rows_end: last_row.map(|row| row.offset + 1),
            is_refused,
            rows_know_records: !self.tables.is_empty(),
            begun,
            write_epoch,
            pending_matches: None,
            announced_start,
            others,
            surviving_end: None,
        };
        facts.pending_matches = self.pending_matches(&facts, last_row).await?;
        if facts.is_new_life() {
            facts.surviving_end = self.surviving_end(&facts).await?;
        }
        Ok((facts, asked_at))
    }

    /// Whether the group's commit and the end of the ledger are unchanged: another owner of the partition changes one
    /// of them before anything else.
    pub async fn are_unchanged(&self, facts: &Facts) -> Result<bool, FactsError> {
        self.store.catch_up(&[ledger::TABLE]).await?;
        let committed = self.ask(|probe, id| probe.committed(id)).await?;
        let ledger = ledger::read_end(self.store, self.stage, self.id).await?;
        let end = |ledger: LedgerEnd| (ledger.log_epoch, ledger.end);
        Ok(committed == facts.committed && ledger.map(end) == facts.ledger.map(end))
    }

    /// The newest row of this life of the log behind the end of the ledger or the group's commit.
    async fn last_row(
        &self,
        log_epoch: u32,
        committed: Option<i64>,
        ledger_end: Option<i64>,
    ) -> Result<Option<LastRow>, FactsError> {
        let Some(ledger_end) = ledger_end else {
            // Nothing says where rows begin, but their records are in the log. Searching all offsets instead would read
            // the rows of all other partitions.
            let log = self.ask(|probe, id| Ok(probe.bounds(id)?)).await?;
            let from = committed.map_or(log.start, |committed| committed.max(log.start));
            return Ok(self.newest_row(log_epoch, from, log.end).await?);
        };
        let mut newest = None;
        for start in unknown_from(ledger_end, committed) {
            let mut from = start;
            while let Some(row) = self.newest_row(log_epoch, from, from.saturating_add(WINDOW)).await? {
                from = row.offset + 1;
                newest = newest.max(Some(row));
            }
        }
        Ok(newest)
    }

    /// The newest row of offsets `[from, to)` in any of the tables.
    async fn newest_row(&self, log_epoch: u32, from: i64, to: i64) -> Result<Option<LastRow>, StoreError> {
        let mut newest = None;
        for table in self.tables {
            let query = self.store.client.query(&format!(
                "select count(), max(kafka_offset), toUnixTimestamp64Milli(argMax(kafka_timestamp, kafka_offset)) from {table} \
                 where {COORDINATES}"
            ));
            let (rows, offset, timestamp_ms): (u64, i64, i64) = read_back::at(query, self.id, log_epoch, &(from..to))
                .fetch_one()
                .await?;
            newest = newest.max((rows > 0).then_some(LastRow { offset, timestamp_ms }));
        }
        Ok(newest)
    }

    /// Whether the log still has the last record of the pending batch and that of the last row; `None` if neither can
    /// be told. A row knows only the timestamp of its record.
    async fn pending_matches(&self, facts: &Facts, last_row: Option<LastRow>) -> Result<Option<bool>, FactsError> {
        let pending = facts.pending().and_then(|intent| Some((intent.end - 1, intent.tail?)));
        let of_batch = match pending {
            Some((offset, tail)) => self.has(facts, offset, move |mark| mark == tail).await?,
            None => None,
        };
        let of_rows = match last_row {
            Some(row) => {
                let is_its = move |mark: RecordMark| held_timestamp_ms(mark.timestamp_ms) == row.timestamp_ms;
                self.has(facts, row.offset, is_its).await?
            }
            None => None,
        };
        // `false` wins: either of the two records may have been replaced.
        Ok([of_batch, of_rows].into_iter().flatten().min())
    }

    /// Whether the log has such a record at `offset`; `None` if `offset` is outside the log.
    async fn has(
        &self,
        facts: &Facts,
        offset: i64,
        is_like: impl Fn(RecordMark) -> bool,
    ) -> Result<Option<bool>, FactsError> {
        if !(facts.log_start..facts.log_end).contains(&offset) {
            return Ok(None);
        }
        let found = self.ask(move |probe, id| probe.record_at(id, offset)).await?;
        Ok(Some(found.is_some_and(is_like)))
    }

    /// Asks Kafka, on a thread that may block.
    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Probe, &PartitionId) -> Result<T, ProbeError> + Send + 'static,
    ) -> Result<T, FactsError> {
        let (probe, id) = (self.probe.clone(), self.id.clone());
        let answer = tokio::task::spawn_blocking(move || question(&probe, &id)).await;
        let answer = answer.map_err(|panic| StoreError::Fatal(panic.to_string()))?;
        Ok(answer?)
    }

    /// Number of partitions of the topic, by the broker. A broker that has only just started may not know the topic yet.
    pub async fn partitions(&self) -> Result<i32, FactsError> {
        match self.ask(|probe, id| Ok(probe.partition_count(&id.topic)?)).await? {
            0 => Err(FactsError::NoTopic),
            partitions => Ok(partitions),
        }
    }

    /// Up to where a log that lost its end is unchanged. What survives is a prefix, so the ledger's batches are
    /// bisected for the newest one whose last record the log still has.
    async fn surviving_end(&self, facts: &Facts) -> Result<Option<i64>, FactsError> {
        let mut search = Search::new(facts.log_start, facts.log_end);
        while let Some(end_max) = search.ask() {
            let mark = ledger::read_mark(self.store, self.stage, self.id, end_max).await?;
            let batch = match mark.filter(|(end, _)| *end > search.low()) {
                None => None,
                Some((end, mark)) => {
                    let found = self.ask(move |probe, id| probe.record_at(id, end - 1)).await?;
                    Some((end, found == Some(mark)))
                }
            };
            search.answer(end_max, batch);
        }
        Ok(search.found())
    }
}

/// The bounds of the log right now, and whether it has the last record of the ledger's last batch. Blocks.
///
/// Asked last: if the log is the same, it is never shorter than what was known of it before, however long the process
/// paused in between.
fn of_log(
    probe: &Probe,
    id: &PartitionId,
    record: Option<(i64, RecordMark)>,
) -> Result<(LogBounds, Option<bool>), ProbeError> {
    let bounds = probe.bounds(id)?;
    let readable = record.filter(|(end, _)| (bounds.start..bounds.end).contains(&(end - 1)));
    let matches = match readable {
        Some((end, mark)) => Some(probe.record_at(id, end - 1)? == Some(mark)),
        None => None,
    };
    Ok((bounds, matches))
}

/// The newest row of a life of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct LastRow {
    /// Its record's offset.
    offset: i64,
    /// Kafka timestamp of its record as the tables hold it, ms since 1970.
    timestamp_ms: i64,
}

/// Where rows may begin that nothing is known of: at the end of the ledger, and at a commit that is further. Not at a
/// commit that an operator set back: all rows between it and the ledger's end are known.
fn unknown_from(ledger_end: i64, committed: Option<i64>) -> BTreeSet<i64> {
    let committed = committed.filter(|&committed| committed > ledger_end);
    [Some(ledger_end), committed].into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_looked_for_behind_what_is_known_and_not_behind_a_commit_that_was_set_back() {
        let from = |committed| unknown_from(1_000, committed).into_iter().collect::<Vec<_>>();
        assert_eq!(from(None), [1_000]);
        assert_eq!(from(Some(0)), [1_000]);
        assert_eq!(from(Some(1_000)), [1_000]);
        assert_eq!(from(Some(1_500)), [1_000, 1_500]);
    }
}
