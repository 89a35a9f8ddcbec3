//! The delivery of one batch: enter it in the ledger as begun where its rows do not know their records, ask about
//! unknown schemas, prepare, insert block by block under tokens, read back if it was recovered or in doubt, write the
//! ledger row.
//!
//! Enters: a [`Job`] whose intent is committed. Leaves: [`Delivered`], after which the end of the range may be
//! committed. Attempts with an unknown outcome are repeated for as long as it takes, under the same tokens; it stops at
//! once when the lease is revoked.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64};

use tokio::sync::Semaphore;

use crate::clock::now_ms;
use crate::crash;
use crate::growth::Growth;
use crate::inserts::{Batch, DeliveryError, Inserts};
use crate::intent::Intent;
use crate::lease::Lease;
use crate::ledger::{Entry, LedgerRow};
use crate::metrics::{Metrics, TopicLabel};
use crate::partition::Watermark;
use crate::progress;
use crate::range::Range;
use crate::schema_registry::SchemaRegistry;
use crate::stage::{Prepared, Progress, Stage};
use crate::turn::Turn;

/// How a batch came to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// New records.
    Fresh,
    /// The pending batch of a crashed owner: insert it again under the same tokens, then read it back.
    Repeat,
    /// Records that may be stored under unknown tokens: insert only what is missing.
    Fill,
}

/// A batch to deliver.
pub struct Job {
    /// Its records.
    pub range: Range,
    /// Its committed intent.
    pub intent: Intent,
    /// How it came to be.
    pub how: How,
    /// Renewed and revoked by the polling thread.
    pub lease: Lease,
    /// What the progress row says of the topic's number of partitions.
    pub growth: Growth,
    /// The partition's watermark when the batch began. While the topic grows, what is stated of it is repeated.
    pub watermark: Watermark,
}

/// A batch that is stored.
#[derive(Debug)]
pub struct Delivered {
    /// Its range's end.
    pub end: i64,
    /// The partition's watermark after it, ms since 1970.
    pub reached_ms: i64,
    /// The watermark that was stated after it.
    pub stated_ms: i64,
}

/// Where batches are delivered to.
pub struct Delivery {
    pub(crate) stage: Arc<dyn Stage>,
    pub(crate) inserts: Inserts,
    pub(crate) metrics: Metrics,
    /// Is asked about schemas that are not known.
    pub(crate) schema_registry: Option<SchemaRegistry>,
    cluster_id: String,
    turns: HashMap<String, Arc<Semaphore>>,
}

impl Delivery {
    /// A delivery of at most `concurrency` batches of each of these topics at a time, not counting batches that wait
    /// for their next attempt.
    pub fn new<'a>(
        stage: Arc<dyn Stage>,
        inserts: Inserts,
        cluster_id: String,
        metrics: Metrics,
        schema_registry: Option<SchemaRegistry>,
        topics: impl Iterator<Item = &'a str>,
        concurrency: usize,
    ) -> Self {
        let turns = |topic: &str| (topic.to_owned(), Arc::new(Semaphore::new(concurrency)));
        Self {
            stage,
            inserts,
            metrics,
            schema_registry,
            cluster_id,
            turns: topics.map(turns).collect(),
        }
    }

    /// Delivers a batch.
    pub async fn deliver(&self, job: Job) -> Result<Delivered, DeliveryError> {
        let Job {
            range,
            intent,
            how,
            lease,
            growth,
            watermark,
        } = job;
        let unknown_topic = || DeliveryError::Stopped(format!("{} is not a topic of this stage", range.id.topic));
        let turns = self.turns.get(&*range.id.topic).ok_or_else(unknown_topic)?;
        let turn = Turn::new(turns.clone());
        let batch = Batch {
            token: self.token(&range),
            range: &range,
            lease: &lease,
            doubted: &AtomicBool::new(false),
            turn: &turn,
            attempts: &AtomicI64::new(0),
        };
        self.begin(&batch, &intent).await?;
        self.ask_about_schemas(&range, &lease).await?;
        turn.take().await;
        let made = self.prepare(&range, intent).await?;

        let reached_ms = watermark.after_ms(intent.watermark_ms, made.high_time_ms, now_ms());
        let stated_ms = match growth.is_whole {
            true => reached_ms,
            false => watermark.stated_ms(),
        };
        let made = match self.store(&batch, &made, intent, stated_ms, how).await {
            Ok((rows, rejected)) => Prepared { rows, rejected, ..made },
            Err(error) => {
                turn.leave();
                if matches!(error, DeliveryError::Revoked) {
                    self.look_after(&range).await;
                }
                return Err(error);
            }
        };

        if self.stage.states_progress() && !lease.is_revoked() {
            let progress = Progress {
                id: range.id.clone(),
                log_epoch: range.log_epoch,
                partitions: growth.counted,
                aggregated_end: range.end,
                watermark_ms: stated_ms,
                write_epoch: intent.write_epoch,
            };
            self.insert_progress(&progress, lease.confirmed_ms()).await;
        }
        self.count(&range, &made, how);
        Ok(Delivered {
            end: range.end,
            reached_ms,
            stated_ms,
        })
    }

    /// Stores rows and rejected records, reads back, writes the ledger row, with the watermark that is stated next.
    /// Returns the numbers of stored and of rejected records.
    async fn store(
        &self,
        batch: &Batch<'_>,
        made: &Prepared,
        intent: Intent,
        stated_ms: i64,
        how: How,
    ) -> Result<(u64, u64), DeliveryError> {
        let counts = match how {
            How::Fill => self.fill(batch, made, 0).await?,
            How::Fresh | How::Repeat => self.insert_all(batch, made).await?,
        };
        // An engine that died between remembering a token and naming the part takes the next attempt for a duplicate.
        let (rows, rejected) = match how {
            How::Fresh if !batch.is_doubted() => counts,
            How::Fresh | How::Repeat | How::Fill => self.repair(batch, made).await?.unwrap_or(counts),
        };
        let made = Prepared {
            rows,
            rejected,
            hours: self.hours(batch, made, (rows, rejected)).await?,
            ..made.clone()
        };
        let entry = if how == How::Fresh {
            Entry::Batch
        } else {
            Entry::Recovered
        };
        let row = LedgerRow::batch(self.stage.name(), entry, batch.range, &intent, &made, stated_ms);
        self.inserts.insert_ledger_row(batch, row).await?;
        crash::point("after-ledger");
        Ok((rows, rejected))
    }

    /// Writes the progress of a partition, on behalf of its owner at `owned_at_ms`. Not part of the protocol: the
    /// statement stays true for ever, so losing it only delays completeness. But the next owner must have read it, or
    /// it would take records as on time for hours that this row declares complete; so the row has a lease, like all
    /// rows. Returns whether the row is known to be stored.
    pub async fn insert_progress(&self, at: &Progress, owned_at_ms: i64) -> bool {
        let written = progress::insert(&*self.stage, self.inserts.store(), at, owned_at_ms).await;
        if let Err(error) = &written {
            tracing::warn!(partition = %at.id, %error, "cannot write the partition's progress");
        }
        written.is_ok()
    }

    /// If the intent is lost, rows that do not know their records cannot be found again by them: their batch is entered
    /// in the ledger first. A rebuild of another topic does not see the intent either, and must not take the stage to be
    /// at rest while the batch waits for a registry; so nothing is asked before.
    async fn begin(&self, batch: &Batch<'_>, intent: &Intent) -> Result<(), DeliveryError> {
        if self.stage.tables(&batch.range.id.topic).is_some() {
            return Ok(());
        }
        batch.turn.take().await;
        let row = LedgerRow::begun(self.stage.name(), batch.range, intent);
        self.inserts.insert_ledger_row(batch, row).await?;
        batch.turn.leave();
        crash::point("after-begun");
        Ok(())
    }

    async fn ask_about_schemas(&self, range: &Range, lease: &Lease) -> Result<(), DeliveryError> {
        let Some(registry) = &self.schema_registry else {
            return Ok(());
        };
        if let Some(schemas) = self.stage.schemas(&range.id.topic) {
            let payloads = range.each_payload();
            registry.complete(schemas, payloads, || lease.is_revoked()).await;
        }
        match lease.is_revoked() {
            true => Err(DeliveryError::Revoked),
            false => Ok(()),
        }
    }

    async fn prepare(&self, range: &Range, intent: Intent) -> Result<Prepared, DeliveryError> {
        let (stage, range) = (self.stage.clone(), range.clone());
        match tokio::task::spawn_blocking(move || stage.prepare(&range, &intent)).await {
            Ok(made) => made.map_err(|error| DeliveryError::Stopped(error.to_string())),
            Err(panic) => Err(DeliveryError::Stopped(format!("preparing the batch panicked: {panic}"))),
        }
    }

    /// Everything that distinguishes this range from any other, in any life of any topic of any cluster.
    fn token(&self, range: &Range) -> String {
        let Range {
            id,
            log_epoch,
            start,
            end,
            ..
        } = range;
        format!(
            "{}/{}/{id}/{log_epoch}/{start}-{end}",
            self.stage.name(),
            self.cluster_id
        )
    }

    fn count(&self, range: &Range, made: &Prepared, how: How) {
        let topic = TopicLabel::of(&range.id.topic);
        let metrics = &self.metrics;
        metrics.stored.get_or_create(&topic).inc_by(made.rows);
        metrics.rejected.get_or_create(&topic).inc_by(made.rejected);
        metrics.late.get_or_create(&topic).inc_by(made.late);
        metrics.ahead.get_or_create(&topic).inc_by(made.ahead);
        for (&class, &records) in &made.lateness {
            let lateness = metrics.lateness_seconds.get_or_create(&topic);
            // The upper bound of the class is also the bound of a bucket.
            (0..records).for_each(|_| lateness.observe(f64::from(1_u32 << class.min(31))));
        }
        metrics.expired.get_or_create(&topic).inc_by(made.expired);
        if how != How::Fresh {
            metrics.recovered.get_or_create(&topic).inc_by(range.len() as u64);
        }
        metrics.batch_records.observe(range.len() as f64);
        if let Some((oldest_ms, _)) = range.timestamps_ms() {
            let age = (now_ms() - oldest_ms).max(0) as f64 / 1000.0;
            metrics.age_seconds.get_or_create(&topic).observe(age);
        }
    }
}
