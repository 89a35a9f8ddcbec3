//! Where a rebuild ends in each log: at the first batch that the stage wrote with the rebuild's write epoch.
//!
//! From there on the stage's partial aggregates carry that epoch and stay; what lies before is recomputed. The position
//! is read from the ledger, or from the progress if no batch has come since. If no stage runs, it is the group's
//! commit: whoever takes the partition over reads the table of rebuilds before its first batch. A batch that is pending
//! under an older epoch belongs to neither side, so it must be finished first.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use horolog_stage::clock::now_ms;
use horolog_stage::completeness::PartitionProgress;
use horolog_stage::range::PartitionId;
use horolog_stage::store::Store;

use super::waiting::wait_until;
use crate::broker::Broker;
use crate::cut::{Cut, Position};
use crate::ledger::{self, log_of, position_of};
use crate::tool_error::ToolError;

/// A stage of another topic counts as stopped if it has not reported for so long, or, where it never has, written to
/// its ledger. If it returns, it reads the table of rebuilds first, and makes anew what it had not begun.
const RESTING_AFTER_MS: i64 = 300_000;

/// Finds out where a rebuild ends.
pub struct Switch {
    /// The tables.
    pub store: Store,
    /// The log.
    pub broker: Arc<Broker>,
    /// The topic of metric samples.
    pub topic: String,
}

/// What is known so far.
#[derive(Debug, Default)]
struct Look {
    cut: Cut,
    /// Logs that have not switched, and why.
    missing: BTreeMap<PartitionId, &'static str>,
}

impl Switch {
    /// The cut of a rebuild for which the stage writes `write_epoch`; waits until each partition has one.
    pub async fn wait(&self, write_epoch: u32) -> Result<Cut, ToolError> {
        wait_until(async || {
            let look = self.look(write_epoch).await?;
            Ok(match look.missing.is_empty() {
                true => ControlFlow::Break(look.cut),
                false => ControlFlow::Continue(format!("the aggregate stage: {}", in_words(&look.missing))),
            })
        })
        .await
    }

    /// Checks that the cut is still where the rebuild ends.
    pub async fn require(&self, write_epoch: u32, cut: &Cut) -> Result<(), ToolError> {
        let look = self.look(write_epoch).await?;
        if look.missing.is_empty() && look.cut == *cut {
            return Ok(());
        }
        let moved = look
            .cut
            .iter()
            .find(|(log, position)| cut.get(log) != Some(*position))
            .map(|(log, _)| log);
        let which = moved
            .or_else(|| look.missing.keys().next())
            .map(PartitionId::to_string)
            .unwrap_or_default();
        Err(ToolError::Refused(format!(
            "{which} was added, recreated or written under an older epoch while the rebuild ran: start it again"
        )))
    }

    /// Reads the progress first: what it says is then in the ledger.
    async fn look(&self, write_epoch: u32) -> Result<Look, ToolError> {
        let progress = ledger::progress(&self.store).await?;
        let first = ledger::first_of_epoch(&self.store, write_epoch).await?;
        let stored = ledger::stored_ends(&self.store, "aggregate").await?;
        let written = ledger::written_ms(&self.store, &["aggregate"]).await?;
        let (count, stopped) = self.ask_broker().await?;
        let mut look = Look::default();
        let own = (0..count).map(|partition| PartitionId::new(self.topic.as_str(), partition));
        let reported: BTreeMap<PartitionId, &PartitionProgress> =
            progress.iter().map(|row| (log_of(row), row)).collect();
        // A stage may have died before it reported anything of a log, which may hold records all the same.
        let known = reported.keys().chain(written.keys()).cloned();
        let logs: BTreeSet<PartitionId> = own.chain(known).collect();
        for log in logs {
            let row = reported.get(&log).copied();
            let by_progress = row.filter(|row| row.write_epoch >= write_epoch).map(position_of);
            let switched = first.get(&log).copied().into_iter().chain(by_progress).min();
            let newest_ms = row.map(|row| row.written_ms).or(written.get(&log).copied());
            let is_silent = newest_ms.is_none_or(|newest_ms| now_ms() - newest_ms > RESTING_AFTER_MS);
            let is_read = *log.topic == *self.topic && log.partition < count;
            let position = match (switched, row) {
                (Some(position), _) => Ok(position),
                (None, _) if is_read && stopped => self.of_stopped(&log, stored.get(&log).copied()).await?,
                (None, row) if !is_read && is_silent => {
                    // The ledger may be ahead of the progress if a stage died between the two.
                    let end = stored
                        .get(&log)
                        .copied()
                        .max(row.map(position_of))
                        .unwrap_or(NOTHING_READ);
                    self.of_resting(&log, end, &progress).await?
                }
                _ => Err("has not switched yet"),
            };
            match position {
                Ok(position) => look.cut.set(log, position),
                Err(why) => drop(look.missing.insert(log, why)),
            }
        }
        Ok(look)
    }

    /// Number of partitions of the topic, and whether no stage reads it.
    async fn ask_broker(&self) -> Result<(i32, bool), ToolError> {
        let (broker, topic) = (self.broker.clone(), self.topic.clone());
        let asked = tokio::task::spawn_blocking(move || {
            Ok::<_, ToolError>((broker.probe.partition_count(&topic)?, broker.probe.group_is_empty()?))
        });
        asked.await?
    }

    /// Where a stage would continue if it were started now; `stored` is the end of its ledger.
    async fn of_stopped(
        &self,
        log: &PartitionId,
        stored: Option<Position>,
    ) -> Result<Result<Position, &'static str>, ToolError> {
        let (broker, asked) = (self.broker.clone(), log.clone());
        let committed = tokio::task::spawn_blocking(move || broker.probe.committed(&asked)).await;
        let committed = committed??;
        let intent = committed
            .and_then(|committed| committed.metadata)
            .and_then(|metadata| metadata.intent);
        let is_begun = ledger::is_begun(&self.store, log, stored.unwrap_or(NOTHING_READ)).await?;
        let is_pending = intent.is_some() || is_begun;
        Ok(match (is_pending, stored) {
            (true, _) => Err("has a pending batch, but no stage is running to finish it: start the aggregate stage"),
            (false, Some(end)) => Ok(end),
            (false, None) if committed.is_none() => Ok(NOTHING_READ),
            (false, None) => Err("has a commit but no ledger: start the aggregate stage"),
        })
    }

    /// Where a stage of another topic would continue, whose commits we cannot ask for; `end` is what it has stored. It
    /// would finish a begun batch under an older epoch, where nobody would see it.
    async fn of_resting(
        &self,
        log: &PartitionId,
        end: Position,
        progress: &[PartitionProgress],
    ) -> Result<Result<Position, &'static str>, ToolError> {
        let is_begun = ledger::is_begun(&self.store, log, end).await?;
        let is_pending = is_begun && !ledger::gone(&self.store, progress, &self.topic).await?.contains(log);
        Ok(match is_pending {
            true => Err("has an unfinished batch, but its stage is not running: start it"),
            false => Ok(end),
        })
    }
}

/// The position of a partition that no stage has read.
const NOTHING_READ: Position = Position {
    log_epoch: 0,
    offset: 0,
};

fn in_words(missing: &BTreeMap<PartitionId, &'static str>) -> String {
    let mut words: Vec<String> = missing
        .iter()
        .take(3)
        .map(|(log, why)| format!("{log} {why}"))
        .collect();
    if missing.len() > 3 {
        words.push(format!("and {} more partitions", missing.len() - 3));
    }
    words.join("; ")
}
