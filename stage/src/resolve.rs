//! Finds out where an assigned partition continues, and writes down what the ledger must know before the first batch.
//!
//! Repeats until every server has answered: a partition whose start is not known is not fetched.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

use crate::clock::now_ms;
use crate::facts::{FactsError, Questions};
use crate::growth::Growth;
use crate::incident::{Incident, Reason};
use crate::join::{Joined, join};
use crate::ledger::{self, LedgerRow, StoredInGap};
use crate::metrics::{Metrics, TopicLabel};
use crate::plan::{Beginning, Facts, Gap, Plan, decide};
use crate::probe::Probe;
use crate::progress::{Stated, stated};
use crate::range::PartitionId;
use crate::read_back;
use crate::retry::Backoff;
use crate::stage::{Stage, Tables};
use crate::store::{Store, StoreError};
use crate::write_epoch::WriteEpoch;

/// What is known of a partition when it begins.
#[derive(Debug, Clone, Copy)]
pub struct Resolved {
    /// Where it continues.
    pub plan: Plan,
    /// Its stated watermark, ms since 1970: nothing before it is on time.
    pub stated_ms: i64,
    /// The newest watermark that is stated or that a batch froze, including one of a clock that was ahead; ms since
    /// 1970.
    pub reached_ms: i64,
    /// Epoch of its partial aggregates.
    pub write_epoch: u32,
    /// What it may state of its topic's number of partitions.
    pub growth: Growth,
    /// How far apart two clocks may be by which rows are accepted, ms.
    pub clocks_apart_ms: i64,
    /// When the log was asked; what happened to it since is not known.
    pub asked_at: Instant,
}

/// Timeout of one attempt: a server that accepts and never answers must not hold a partition for ever.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(120);

/// How many partitions are resolved at a time: more would only wait for each other within their attempts.
pub const ATTEMPTS_MAX: usize = 8;

/// How long a log must stay shorter than what is known of it before it counts as having lost its end: longer than a
/// broker that lost touch with its cluster remains the leader of a partition (`broker.session.timeout.ms`, 9 s by
/// default).
const SHORTER_FOR: Duration = Duration::from_secs(12);

/// The shortest wait of a partition that was added before it looks again whether all count it.
const COUNTED_INTERVAL: Duration = Duration::from_millis(500);

/// What the attempts to resolve a partition have waited for and reported so far.
#[derive(Debug, Default)]
struct Patience {
    /// Since when the log has been shorter than what is known of it.
    shorter_since: Option<Instant>,
    /// Earlier writers cannot write any more.
    leases_are_over: bool,
    /// Up to where lost offsets were counted: an attempt that fails after that is repeated.
    counted: Option<KnownLost>,
    /// Up to where their incident is written.
    told: Option<KnownLost>,
    /// The partition that is waited for to count this one, which was added.
    uncounted_by: Option<i32>,
    /// It has come to count.
    joined: Option<Joined>,
    /// The row of a gap was sent to the ledger, and whether it is stored is not known: if it is written again at once,
    /// the gap may be longer, and the two rows overlap.
    gap_is_unknown: bool,
}

impl Patience {
    /// Fails if what the facts say has to be waited for.
    fn require(&mut self, facts: &Facts, plan: &Plan) -> Result<(), FactsError> {
        if !facts.is_merely_shorter() {
            self.shorter_since = None;
        } else if self.shorter_since.get_or_insert_with(Instant::now).elapsed() < SHORTER_FOR {
            let log_end = facts.log_end;
            return Err(FactsError::Shorter { log_end });
        }
        match plan.recovers_otherwise(facts) && !self.leases_are_over {
            true => Err(FactsError::WriterMayLive),
            false => Ok(()),
        }
    }
}

/// Life of the log, and offset up to which offsets are known to be lost.
type KnownLost = (u32, i64);

/// Number of offsets of a gap beyond what is known.
fn beyond(known: Option<KnownLost>, log_epoch: u32, gap: Gap) -> u64 {
    let known = known.filter(|&(of, _)| of == log_epoch);
    let from = known.map_or(gap.start, |(_, end)| end.max(gap.start));
    gap.end.saturating_sub(from).max(0) as u64
}

/// What resolving a partition needs.
pub struct Resolver {
    /// Questions to Kafka.
    pub probe: Arc<Probe>,
    /// Questions to ClickHouse.
    pub store: Store,
    /// Whose ledger.
    pub stage: Arc<dyn Stage>,
    /// For gaps.
    pub metrics: Metrics,
    /// Epoch of new batches.
    pub write_epoch: WriteEpoch,
    /// How long after its last confirmation a writer's requests may still be accepted.
    pub writing_life: Duration,
    /// [`ATTEMPTS_MAX`] places.
    pub turns: Semaphore,
}

impl Resolver {
    /// Repeats until the start is known; `None` if it is no longer wanted.
    pub async fn resolve(&self, id: &PartitionId, still_wanted: impl Fn() -> bool) -> Option<Resolved> {
        let mut backoff = Backoff::default();
        let mut patience = Patience::default();
        while still_wanted() {
            let turn = self.turns.acquire().await;
            let attempt = tokio::time::timeout(ATTEMPT_TIMEOUT, self.attempt(id, &mut patience)).await;
            drop(turn);
            match attempt.unwrap_or(Err(FactsError::Timeout)) {
                Ok(resolved) => return Some(resolved),
                Err(FactsError::WriterMayLive) => {
                    tracing::info!(partition = %id, "waiting until the leases of previous writers have expired");
                    tokio::time::sleep(self.writing_life).await;
                    patience.leases_are_over = true;
                }
                Err(error @ FactsError::NotCounted { older }) => {
                    if patience.uncounted_by.replace(older) != Some(older) {
                        tracing::info!(partition = %id, reason = %error, "waiting");
                        backoff = Backoff::default();
                    }
                    tokio::time::sleep(backoff.next_wait().max(COUNTED_INTERVAL)).await;
                }
                Err(error) => {
                    let wait = match std::mem::take(&mut patience.gap_is_unknown) {
                        true => self.writing_life,
                        false => backoff.next_wait(),
                    };
                    tracing::warn!(partition = %id, %error, wait_ms = wait.as_millis() as u64,
                        "cannot determine where the partition resumes, retrying");
                    tokio::time::sleep(wait).await;
                }
            }
        }
        None
    }

    async fn attempt(&self, id: &PartitionId, patience: &mut Patience) -> Result<Resolved, FactsError> {
        let tables = self.stage.tables(&id.topic).map(Tables::names);
        let questions = Questions {
            probe: &self.probe,
            store: &self.store,
            stage: self.stage.name(),
            tables: tables.as_ref().map_or(&[], |names| &names[..]),
            states_progress: self.stage.states_progress(),
            write_epoch: &self.write_epoch,
            clocks_apart: self.writing_life,
            id,
        };
        let (facts, asked_at) = questions.gather().await?;
        let plan = decide(&facts);
        patience.require(&facts, &plan)?;
        // A life that is taken over is the same log, so its watermark continues.
        let continued = match plan.beginning {
            Some(Beginning::TakenOver) => facts.known_epoch(),
            _ => plan.log_epoch,
        };
        let name = self.stage.name();
        let (growth, joined) = join(&questions, &*self.stage, &plan, continued).await?;
        // An attempt that fails after it joined is repeated, and then counts.
        patience.joined = joined.or(patience.joined);
        let joined = patience.joined;
        let states_progress = self.stage.states_progress();
        let mut stated = match states_progress {
            true => stated(&self.store, name, id, continued).await?,
            false => Stated::default(),
        };
        let ledger = facts
            .ledger
            .filter(|ledger| states_progress && ledger.log_epoch == continued);
        // A batch that froze less than what an earlier owner may still state would add on time to complete hours.
        let by_ledger_ms = ledger.map_or(0, |ledger| ledger.stated_ms);
        let joined_ms = joined.map_or(0, |joined| joined.stated_ms);
        stated.watermark_ms = stated.watermark_ms.max(by_ledger_ms).max(joined_ms);
        tracing::info!(partition = %id, ?facts, ?plan, "partition assigned");
        let reached_ms = ledger.map_or(0, |ledger| ledger.watermark_ms).max(stated.watermark_ms);
        let rows = self
            .ledger_rows(id, &facts, &plan, stated.watermark_ms, patience)
            .await?;
        self.write(&questions, &facts, rows, patience).await?;
        self.tell_incidents(id, &plan, &stated, joined).await;
        Ok(Resolved {
            plan,
            stated_ms: stated.watermark_ms,
            reached_ms,
            write_epoch: facts.write_epoch.max(stated.write_epoch),
            growth,
            clocks_apart_ms: self.writing_life.as_millis() as i64,
            asked_at,
        })
    }

    /// What the plan enters in the ledger: what a life leaves behind, how one begins, and what the log has lost.
    async fn ledger_rows(
        &self,
        id: &PartitionId,
        facts: &Facts,
        plan: &Plan,
        watermark_ms: i64,
        patience: &mut Patience,
    ) -> Result<Vec<LedgerRow>, FactsError> {
        let name = self.stage.name();
        let mut rows = Vec::new();
        if let Some(gap) = plan.left_behind {
            let stored = self.stored_in_gap(id, facts.known_epoch(), gap, facts).await?;
            rows.push(LedgerRow::gap(name, id, facts.known_epoch(), gap, stored));
        }
        if plan.beginning.is_some() {
            rows.push(LedgerRow::epoch(name, id, plan.log_epoch, plan.start, watermark_ms));
        }
        if let Some(gap) = plan.gap {
            let stored = self.stored_in_gap(id, plan.log_epoch, gap, facts).await?;
            self.tell_gap(id, plan.log_epoch, gap, &stored, patience).await;
            // If it is part of a range that is repeated, the row of that range stands for it in the ledger.
            if !plan.repeats_a_part() {
                rows.push(LedgerRow::gap(name, id, plan.log_epoch, gap, stored));
            }
        }
        Ok(rows)
    }

    /// Writes rows as of a moment at which nobody had gone on with the partition; if this process pauses after that
    /// check, the table refuses them. Finding out what they say may have taken longer than a lease.
    async fn write(
        &self,
        questions: &Questions<'_>,
        facts: &Facts,
        mut rows: Vec<LedgerRow>,
        patience: &mut Patience,
    ) -> Result<(), FactsError> {
        if rows.is_empty() {
            return Ok(());
        }
        let asked_ms = now_ms();
        if !questions.are_unchanged(facts).await? {
            return Err(FactsError::Changed);
        }
        // Such rows replace themselves when they are written again, so they need no lease of a batch.
        for row in &mut rows {
            row.inserted_at = asked_ms;
        }
        // All of them or none: the gap that a life leaves behind, written alone, would hide the rows or the begun batch
        // that show the log to be another one now.
        let tokens: Vec<String> = rows.iter().map(LedgerRow::token).collect();
        patience.gap_is_unknown = rows.iter().any(LedgerRow::is_gap); // also when nobody waits for the answer any more
        let written = self.store.insert_rows(ledger::TABLE, &rows, &tokens.join(" ")).await;
        patience.gap_is_unknown &= matches!(written, Err(StoreError::Unknown(_)));
        Ok(written?)
    }

    /// Reports what the assignment shows to have changed in the log.
    async fn tell_incidents(&self, id: &PartitionId, plan: &Plan, stated: &Stated, joined: Option<Joined>) {
        let mut incidents = Vec::new();
        let what = match plan.beginning {
            Some(Beginning::NewLife) => Some("the topic was recreated or lost its end"),
            Some(Beginning::TakenOver) => Some("another stage saw that the topic was recreated or lost its end"),
            Some(Beginning::First) | None => None,
        };
        if let Some(what) = what {
            let detail = format!("{what}: log epoch {} begins", plan.log_epoch);
            incidents.push((Reason::TopicRecreated, stated.watermark_ever_ms, detail));
        }
        if stated.watermark_ms < stated.watermark_ever_ms {
            let detail = "the watermark starts over with the new log: earlier hours stay as they are".to_owned();
            incidents.push((Reason::WatermarkRegressed, stated.watermark_ever_ms, detail));
        }
        if let Some(Joined { counted, .. }) = joined {
            let detail = format!("added to {counted} partitions: it begins with the watermark that those had stated");
            incidents.push((Reason::PartitionsChanged, now_ms(), detail));
        }
        for (reason, at_ms, detail) in incidents {
            let at = (plan.log_epoch, plan.start);
            let incident = Incident::new(self.stage.name(), reason, id, at, at_ms, detail);
            incident.tell(&self.store).await;
        }
    }

    /// Counts lost offsets, and reports how many of them had been stored before they were lost.
    async fn tell_gap(
        &self,
        id: &PartitionId,
        log_epoch: u32,
        gap: Gap,
        stored: &StoredInGap,
        patience: &mut Patience,
    ) {
        let all_of_it = Some((log_epoch, gap.end));
        self.metrics
            .lost_offsets
            .get_or_create(&TopicLabel::of(&id.topic))
            .inc_by(beyond(patience.counted, log_epoch, gap));
        patience.counted = all_of_it;
        let is_untold = beyond(patience.told, log_epoch, gap) > 0;
        if is_untold && self.tell_lost(id, log_epoch, gap, stored).await {
            patience.told = all_of_it;
        }
    }

    async fn tell_lost(&self, id: &PartitionId, log_epoch: u32, gap: Gap, stored: &StoredInGap) -> bool {
        let lost = (gap.end - gap.start) as u64;
        let detail = format!(
            "{lost} offsets were deleted from the log before {} had them in its ledger, {} of them are stored all the same: \
             raise the topic's retention.ms",
            self.stage.name(),
            stored.rows() + stored.rejected
        );
        let at = (log_epoch, gap.start);
        let incident = Incident::new(self.stage.name(), Reason::OffsetsLost, id, at, now_ms(), detail);
        incident.of_offsets(gap.end, lost).tell(&self.store).await
    }

    /// What is stored of a gap. Nothing is behind the last row and the commit, which the tables would take long to find
    /// out: their index covers the offsets of all partitions together.
    async fn stored_in_gap(
        &self,
        id: &PartitionId,
        log_epoch: u32,
        gap: Gap,
        facts: &Facts,
    ) -> Result<StoredInGap, FactsError> {
        let rows_end = facts.committed.map(|committed| committed.offset).max(facts.rows_end);
        let offsets = gap.start..rows_end.unwrap_or(gap.start).min(gap.end);
        if offsets.is_empty() {
            return Ok(StoredInGap::default());
        }
        let Some(tables) = self.stage.tables(&id.topic) else {
            return Ok(StoredInGap::default());
        };
        Ok(StoredInGap {
            hours: read_back::hours(&self.store, tables, id, log_epoch, offsets.clone()).await?,
            rejected: read_back::count(&self.store, tables.rejected, id, log_epoch, offsets).await?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lost_offsets_are_counted_once_however_often_it_is_tried() {
        let mut known = None;
        let mut count = |log_epoch, start, end| {
            let lost = beyond(known, log_epoch, Gap { start, end });
            known = Some((log_epoch, end));
            lost
        };
        assert_eq!(count(1, 100, 130), 30);
        assert_eq!(count(1, 100, 130), 0);
        assert_eq!(count(1, 100, 160), 30, "retention went on meanwhile");
        assert_eq!(count(1, 160, 170), 10);
        assert_eq!(count(2, 0, 5), 5, "of another life");
    }
}
