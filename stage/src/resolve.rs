//! Finds out where an assigned partition goes on, and writes down what the ledger has to know before the first batch.
//!
//! Repeats until every server has answered: a partition whose start is not known is not fetched.

use std::sync::Arc;
use std::time::Duration;

use crate::facts::{self, FactsError, Stated};
use crate::incident::{Incident, Reason};
use crate::lease::now_ms;
use crate::ledger::{self, LedgerRow, Tail};
use crate::metrics::Metrics;
use crate::plan::{Begun, Facts, Gap, Plan, decide, is_cut, known_epoch};
use crate::probe::{Probe, ProbeError};
use crate::range::PartitionId;
use crate::retry::Backoff;
use crate::stage::Stage;
use crate::store::{Store, StoreError, classify};
use crate::write_epoch::WriteEpoch;

/// What is known of a partition when it begins.
#[derive(Debug, Clone, Copy)]
pub struct Resolved {
    /// Where it goes on.
    pub plan: Plan,
    /// Its watermark, ms since 1970.
    pub watermark_ms: i64,
    /// Epoch of its partial aggregates.
    pub write_epoch: u32,
    /// Partitions of its topic.
    pub partitions: i32,
}

/// How long one attempt may take: a server that accepts and never answers must not hold a partition for ever.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(120);

/// What finding out needs.
pub struct Resolver<S> {
    /// Questions to Kafka.
    pub probe: Arc<Probe>,
    /// Questions to ClickHouse.
    pub store: Store,
    /// Whose ledger.
    pub stage: Arc<S>,
    /// For gaps.
    pub metrics: Metrics,
    /// Epoch of new batches.
    pub write_epoch: WriteEpoch,
    /// Life of a lease by the tables.
    pub lease_life: Duration,
}

impl<S: Stage> Resolver<S> {
    /// Repeats until it is found out.
    pub async fn resolve(&self, id: &PartitionId, still_wanted: impl Fn() -> bool) -> Option<Resolved> {
        let mut backoff = Backoff::default();
        while still_wanted() {
            let attempt = tokio::time::timeout(ATTEMPT_TIMEOUT, self.attempt(id)).await;
            match attempt.unwrap_or(Err(FactsError::Timeout)) {
                Ok(resolved) => {
                    if resolved.plan.repeats_a_part() {
                        // What a dead writer sent of the lost part may land under tokens that the rest does not use. Once its lease
                        // is over it cannot.
                        tokio::time::sleep(self.lease_life).await;
                    }
                    return Some(resolved);
                }
                Err(error) => {
                    let wait = backoff.next_wait();
                    tracing::warn!(partition = %id, %error, wait_ms = wait.as_millis() as u64,
                        "cannot find out where the partition goes on, repeating");
                    tokio::time::sleep(wait).await;
                }
            }
        }
        None
    }

    async fn attempt(&self, id: &PartitionId) -> Result<Resolved, FactsError> {
        let (facts, partitions) = self.gather(id).await?;
        let plan = decide(&facts);
        tracing::info!(partition = %id, ?facts, ?plan, "partition assigned");
        if plan.new_epoch {
            tracing::warn!(partition = %id, log_epoch = plan.log_epoch,
                "the topic was made again or lost its end: a new log epoch begins");
            let row = LedgerRow::epoch(self.stage.name(), id, plan.log_epoch, plan.start);
            self.write(id, plan.start, row).await?;
        }
        if let Some(gap) = plan.gap {
            self.tell_gap(id, &plan, gap).await?;
        }
        let stated = facts::stated(&self.store, id, plan.log_epoch).await?;
        self.tell_incidents(id, &plan, &stated, partitions).await;
        let write_epoch = match self.stage.has_epochs() {
            true => self.write_epoch.refresh(&self.store).await?.max(stated.write_epoch),
            false => 0,
        };
        Ok(Resolved {
            plan,
            watermark_ms: stated.watermark_ms,
            write_epoch,
            partitions,
        })
    }

    /// What the assignment shows to have changed in the log.
    async fn tell_incidents(&self, id: &PartitionId, plan: &Plan, stated: &Stated, partitions: i32) {
        let mut incidents = Vec::new();
        if plan.new_epoch {
            let detail = format!(
                "the topic was made again or lost its end: log epoch {} begins",
                plan.log_epoch
            );
            incidents.push((Reason::TopicRecreated, stated.watermark_ever_ms, detail));
        }
        if self.stage.has_epochs() && stated.watermark_ms < stated.watermark_ever_ms {
            let detail = "the watermark begins anew with the log: hours of before it stay as they are".to_owned();
            incidents.push((Reason::WatermarkRegressed, stated.watermark_ever_ms, detail));
        }
        if self.stage.has_epochs() && stated.partitions > 0 && id.partition >= stated.partitions {
            let before = stated.partitions;
            let detail =
                format!("the topic has {partitions} partitions, it had {before}: completeness waits for the new ones");
            incidents.push((Reason::PartitionsChanged, now_ms(), detail));
        }
        for (reason, at_ms, detail) in incidents {
            let at = (plan.log_epoch, plan.start);
            let incident = Incident::new(self.stage.name(), reason, id, at, at_ms, detail);
            incident.tell(&self.store).await;
        }
    }

    /// Asks everybody, in the order in which things become true backwards: what is committed is in the ledger, what is in the
    /// ledger is in the tables, what is in the tables is in the log. So whoever slept in between never sees too little.
    async fn gather(&self, id: &PartitionId) -> Result<(Facts, i32), FactsError> {
        let tables = self.stage.tables_by_offset(&id.topic);
        self.store.catch_up(&tables).await?;
        self.store.catch_up(&[ledger::TABLE, "partition_progress"]).await?;
        let committed = self.ask(id, |probe, id| probe.committed(id)).await?;
        let tail = ledger::read_tail(&self.store, self.stage.name(), id).await?;

        let log_epoch = known_epoch(committed, tail.as_ref().map(|tail| tail.log_epoch));
        let known = [committed.map(|c| c.offset), tail.as_ref().map(|tail| tail.end_offset)];
        let from = known.into_iter().flatten().min().unwrap_or(0);
        let rows_end = facts::rows_end(&self.store, &tables, id, log_epoch, from).await?;
        let begun = match tables.is_empty() {
            true => self.begun(id, log_epoch, tail.as_ref()).await?,
            false => None,
        };

        let partitions = self.ask(id, |probe, id| Ok(probe.partition_count(&id.topic)?)).await?;
        let (bounds, ledger) = self
            .ask(id, move |probe, id| facts::of_log(probe, id, tail.as_ref()))
            .await?;
        let facts = Facts {
            committed,
            ledger,
            log_start: bounds.start,
            log_end: bounds.end,
            rows_end,
            begun,
            surviving_end: None,
        };
        Ok((self.with_surviving_end(id, facts).await?, partitions))
    }

    /// The batch that was begun behind the ledger's end.
    async fn begun(&self, id: &PartitionId, log_epoch: u32, tail: Option<&Tail>) -> Result<Option<Begun>, StoreError> {
        let end = tail
            .filter(|tail| tail.log_epoch == log_epoch)
            .map_or(0, |tail| tail.end_offset);
        ledger::read_begun(&self.store, self.stage.name(), id, log_epoch, end).await
    }

    /// Asks Kafka, on a thread that may block.
    async fn ask<T: Send + 'static>(
        &self,
        id: &PartitionId,
        question: impl FnOnce(&Probe, &PartitionId) -> Result<T, ProbeError> + Send + 'static,
    ) -> Result<T, FactsError> {
        let (probe, id) = (self.probe.clone(), id.clone());
        let answer = tokio::task::spawn_blocking(move || question(&probe, &id)).await;
        let answer = answer.map_err(|panic| StoreError::Fatal(panic.to_string()))?;
        Ok(answer?)
    }

    /// Where a log that was cut is still as it was.
    async fn with_surviving_end(&self, id: &PartitionId, facts: Facts) -> Result<Facts, FactsError> {
        if !is_cut(&facts) {
            return Ok(facts);
        }
        let tail = ledger::read(&self.store, self.stage.name(), id, facts.log_end).await?;
        let Some(tail) = tail.filter(|tail| tail.records > 0 && tail.end_offset > facts.log_start) else {
            return Ok(facts);
        };
        let question = move |probe: &Probe, id: &PartitionId| {
            let found = probe.record_at(id, tail.end_offset - 1)?;
            Ok((tail.end(found).tail_matches == Some(true)).then_some(tail.end_offset))
        };
        let surviving_end = self.ask(id, question).await?;
        Ok(Facts { surviving_end, ..facts })
    }

    /// Offsets that are lost, and how many of them had been stored before they were. Where they are part of a range that is
    /// repeated, the row of that range is the ledger's.
    async fn tell_gap(&self, id: &PartitionId, plan: &Plan, gap: Gap) -> Result<(), FactsError> {
        let mut stored = Vec::new();
        for table in self.stage.tables_by_offset(&id.topic) {
            stored.push(self.stored_in_gap(table, id, plan.log_epoch, gap).await?);
        }
        let rejected = stored.pop().unwrap_or(0);
        let rows: u64 = stored.iter().sum();
        let lost = (gap.end - gap.start) as u64;
        let detail = format!(
            "{lost} offsets were deleted from the log before {} had them in its ledger, {} of them are stored all the same: \
             raise the topic's retention.ms",
            self.stage.name(),
            rows + rejected
        );
        let at = (plan.log_epoch, gap.start);
        let incident = Incident::new(self.stage.name(), Reason::OffsetsLost, id, at, now_ms(), detail);
        incident.of_offsets(gap.end, lost).tell(&self.store).await;
        self.metrics
            .lost_offsets
            .get_or_create(&Metrics::topic(&id.topic))
            .inc_by(lost);
        if plan.repeats_a_part() {
            return Ok(());
        }
        let row = LedgerRow::gap(self.stage.name(), id, plan.log_epoch, gap, rows, rejected);
        self.write(id, gap.start, row).await
    }

    async fn stored_in_gap(&self, table: &str, id: &PartitionId, epoch: u32, gap: Gap) -> Result<u64, FactsError> {
        self.store
            .client
            .query(&format!(
                "select uniqExact(kafka_offset) from {table} where kafka_topic = ? and kafka_partition = ? \
                 and log_epoch = ? and kafka_offset >= ? and kafka_offset < ?"
            ))
            .bind(&*id.topic)
            .bind(id.partition)
            .bind(epoch)
            .bind(gap.start)
            .bind(gap.end)
            .fetch_one()
            .await
            .map_err(|error| classify(error).into())
    }

    /// Such rows replace themselves when they are written again, so they need no lease of a batch.
    async fn write(&self, id: &PartitionId, start: i64, mut row: LedgerRow) -> Result<(), FactsError> {
        row.inserted_at = now_ms();
        let token = format!("{}/{id}/{start}/{}", self.stage.name(), row.inserted_at);
        Ok(self.store.insert_row(ledger::TABLE, &row, &token).await?)
    }
}
