//! The delivery of one batch: prepare, insert block by block under tokens, read back if it was recovered, write the ledger.
//!
//! Enters a [`Job`] whose intent is committed; leaves [`Delivered`], after which the end of the range may be committed. It
//! retries what is unknown for as long as it takes, under the same tokens; it stops at once when the lease is revoked.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use tokio::sync::Semaphore;

use crate::crash;
use crate::intent::Intent;
use crate::lease::Lease;
use crate::ledger::{self, Entry, LedgerRow};
use crate::metrics::{ClassLabel, Metrics, TableLabel};
use crate::range::Range;
use crate::read_back;
use crate::retry::Backoff;
use crate::stage::{Block, Prepared, Progress, Stage};
use crate::store::{Store, StoreError};

/// How a batch came to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// New records.
    Fresh,
    /// The pending batch of a crashed owner: insert it again under the same tokens, then read it back.
    Repeat,
    /// Records that may be stored under tokens that nobody knows: insert only what is missing.
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
    /// Partitions of the topic, for the progress row.
    pub partitions: i32,
    /// What arrives later than this behind the watermark is late, ms.
    pub allowed_lateness_ms: i64,
}

/// A batch that is stored.
#[derive(Debug)]
pub struct Delivered {
    /// Its range's end.
    pub end: i64,
    /// The partition's watermark after it, ms since 1970.
    pub watermark_ms: i64,
}

/// Why a batch is not delivered.
#[derive(Debug, thiserror::Error)]
pub enum DeliveryError {
    /// The partition is no longer ours; its next owner recovers the batch.
    #[error("the partition was taken away")]
    Revoked,
    /// Neither a retry nor rejecting records can help.
    #[error("{0}")]
    Stopped(String),
}

/// Where batches are delivered to.
pub struct Delivery<S> {
    stage: Arc<S>,
    store: Store,
    cluster_id: String,
    lease_life: Duration,
    permits: Semaphore,
    metrics: Metrics,
}

impl<S: Stage> Delivery<S> {
    /// A delivery of at most `concurrency` batches at a time.
    pub fn new(
        stage: Arc<S>,
        store: Store,
        cluster_id: String,
        lease_life: Duration,
        concurrency: usize,
        metrics: Metrics,
    ) -> Self {
        Self { stage, store, cluster_id, lease_life, permits: Semaphore::new(concurrency), metrics }
    }

    /// Delivers a batch.
    pub async fn deliver(self: &Arc<Self>, job: Job) -> Result<Delivered, DeliveryError> {
        let _permit = self.permits.acquire().await.map_err(|_| DeliveryError::Revoked)?;
        let Job { range, intent, how, lease, partitions, allowed_lateness_ms } = job;
        let range = Arc::new(range);
        let made = self.prepare(&range, intent).await?;
        let batch = Batch { token: self.token(&range), range: &range, lease: &lease };

        let made = match self.store(&batch, &made, intent, how).await {
            Ok((rows, rejected)) => Prepared { rows, rejected, ..made },
            Err(error) => {
                if matches!(error, DeliveryError::Revoked) {
                    self.look_after(&range).await;
                }
                return Err(error);
            }
        };

        let watermark_ms = watermark_after(intent.watermark_ms, made.high_time_ms, allowed_lateness_ms);
        self.insert_progress(&Progress {
            id: range.id.clone(),
            log_epoch: range.log_epoch,
            partitions,
            aggregated_end: range.end,
            watermark_ms,
        })
        .await;
        self.count(&range, &made, how);
        Ok(Delivered { end: range.end, watermark_ms })
    }

    /// Rows, rejected records, read-back, ledger. Gives how many records were stored and how many rejected.
    async fn store(
        &self,
        batch: &Batch<'_>,
        made: &Prepared,
        intent: Intent,
        how: How,
    ) -> Result<(u64, u64), DeliveryError> {
        let counts = match how {
            How::Fill => self.fill(batch, made).await?,
            How::Fresh | How::Repeat => self.insert_all(batch, made).await?,
        };
        let (rows, rejected) = match how {
            How::Fresh => counts,
            How::Repeat | How::Fill => self.verify(batch, made).await?.unwrap_or(counts),
        };
        let made = Prepared { rows, rejected, ..made.clone() };
        let entry = if how == How::Fresh { Entry::Batch } else { Entry::Recovered };
        let (watermark_ms, rules) = (intent.watermark_ms, intent.rules_version);
        let row = LedgerRow::batch(self.stage.name(), entry, batch.range, watermark_ms, rules, &made);
        self.insert_ledger(batch, row).await?;
        crash::point("after-ledger");
        Ok((rows, rejected))
    }

    /// Writes how far a partition is. Not part of the protocol: the statement stays true for ever, so a lost one only delays.
    pub async fn insert_progress(&self, progress: &Progress) {
        let Some(block) = self.stage.progress(progress) else { return };
        for piece in &block.pieces {
            let now_ms = crate::lease::now_ms();
            let token = format!("{}/progress/{}/{now_ms}", progress.id, progress.aggregated_end);
            if let Err(error) = self.store.insert(block.table, piece, &token, now_ms).await {
                tracing::warn!(partition = %progress.id, %error, "cannot write the partition's progress");
            }
        }
    }

    async fn prepare(&self, range: &Arc<Range>, intent: Intent) -> Result<Prepared, DeliveryError> {
        let (stage, range) = (self.stage.clone(), range.clone());
        match tokio::task::spawn_blocking(move || stage.prepare(&range, &intent)).await {
            Ok(made) => made.map_err(|error| DeliveryError::Stopped(error.to_string())),
            Err(panic) => Err(DeliveryError::Stopped(format!("preparing the batch panicked: {panic}"))),
        }
    }

    /// Everything that makes this range different from any other, in any life of any topic of any cluster.
    fn token(&self, range: &Range) -> String {
        let Range { id, log_epoch, start, end, .. } = range;
        format!("{}/{}/{id}/{log_epoch}/{start}-{end}", self.stage.name(), self.cluster_id)
    }

    /// Inserts all blocks; gives the counts of rows and rejected records, which differ from the prepared ones where
    /// ClickHouse refused records for their content.
    async fn insert_all(&self, batch: &Batch<'_>, made: &Prepared) -> Result<(u64, u64), DeliveryError> {
        let mut refused = Vec::new();
        for block in &made.blocks {
            for (number, piece) in block.pieces.iter().enumerate() {
                let token = format!("{}/{}/{number}", batch.token, block.table);
                self.insert_or_bisect(batch, block.table, piece, token, &mut refused).await?;
                crash::point("between-pieces");
            }
            crash::point(if block.table == horolog_schemas::REJECTED_TABLE { "after-rejected" } else { "after-rows" });
        }
        self.insert_refused(batch, &refused).await?;
        let refused = refused.len() as u64;
        Ok((made.rows - refused, made.rejected + refused))
    }

    /// Rejects what ClickHouse refused.
    async fn insert_refused(&self, batch: &Batch<'_>, refused: &[(i64, String)]) -> Result<(), DeliveryError> {
        if refused.is_empty() {
            return Ok(());
        }
        let block = self.stage.refused(batch.range, refused).ok_or_else(|| {
            DeliveryError::Stopped(format!("clickhouse refuses the stage's own rows: {}", refused[0].1))
        })?;
        for (number, piece) in block.pieces.iter().enumerate() {
            let token = format!("{}/{}/refused/{number}", batch.token, block.table);
            self.insert(batch, block.table, piece, &token).await.map_err(stopped)?;
        }
        Ok(())
    }

    /// Inserts `piece`; where ClickHouse refuses its content, its halves, down to the single records that it refuses. The cuts
    /// depend on the content alone, so a repeated batch makes the same ones.
    async fn insert_or_bisect(
        &self,
        batch: &Batch<'_>,
        table: &str,
        piece: &RecordBatch,
        token: String,
        refused: &mut Vec<(i64, String)>,
    ) -> Result<(), DeliveryError> {
        let mut work = vec![(piece.clone(), token)];
        while let Some((rows, token)) = work.pop() {
            let message = match self.insert(batch, table, &rows, &token).await {
                Ok(()) => continue,
                Err(Failed::Content(message)) => message,
                Err(other) => return Err(stopped(other)),
            };
            if table == horolog_schemas::REJECTED_TABLE {
                return Err(DeliveryError::Stopped(format!("clickhouse refuses rejected records: {message}")));
            }
            if rows.num_rows() == 1 {
                let offset = read_back::offsets(&rows).map_err(|error| DeliveryError::Stopped(error.to_string()))?.value(0);
                refused.push((offset, message));
                continue;
            }
            let half = rows.num_rows() / 2;
            work.push((rows.slice(half, rows.num_rows() - half), format!("{token}.1")));
            work.push((rows.slice(0, half), format!("{token}.0")));
        }
        refused.sort_unstable();
        Ok(())
    }

    /// Inserts those rows that the tables do not have.
    async fn fill(&self, batch: &Batch<'_>, made: &Prepared) -> Result<(u64, u64), DeliveryError> {
        let tables = self.stage.tables_by_offset(&batch.range.id.topic);
        if tables.is_empty() {
            return self.insert_all(batch, made).await; // rows that do not know their records cannot be compared
        }
        let stored = self.read_back(batch, &tables).await?;
        let missing = Prepared { blocks: missing_blocks(&made.blocks, &stored).map_err(fatal)?, ..made.clone() };
        if missing.blocks.is_empty() {
            return Ok((made.rows, made.rejected));
        }
        tracing::warn!(partition = %batch.range.id, start = batch.range.start, end = batch.range.end, "filling up missing rows");
        self.metrics.repairs.get_or_create(&ClassLabel { class: "missing" }).inc();
        // Tokens of their own: those of the range may be remembered for other content.
        let token = format!("{}/fill/{}", batch.token, offsets_hash(&missing.blocks).map_err(fatal)?);
        self.insert_all(&Batch { token, ..*batch }, &missing).await?;
        Ok((made.rows, made.rejected))
    }

    /// Reads a recovered range back until each of its records is stored once; gives what is stored of rows and rejected.
    async fn verify(&self, batch: &Batch<'_>, made: &Prepared) -> Result<Option<(u64, u64)>, DeliveryError> {
        let tables = self.stage.tables_by_offset(&batch.range.id.topic);
        if tables.is_empty() {
            return Ok(None);
        }
        for _ in 0..READ_BACKS_MAX {
            let stored = self.read_back(batch, &tables).await?;
            let complete = batch.range.records().iter().all(|record| stored.has(record.offset));
            if stored.doubled.is_empty() && complete {
                return Ok(Some(stored.counts()));
            }
            for table in &stored.doubled {
                tracing::warn!(partition = %batch.range.id, table, start = batch.range.start, "removing doubled rows");
                self.metrics.repairs.get_or_create(&ClassLabel { class: "doubled" }).inc();
                self.patiently(batch, || read_back::remove_doubles(&self.store, table, batch.range)).await?;
            }
            if !complete {
                self.fill(batch, made).await?;
            }
        }
        Err(DeliveryError::Stopped(format!(
            "offsets {}-{} of {} are not stored once each after {READ_BACKS_MAX} repairs",
            batch.range.start, batch.range.end, batch.range.id
        )))
    }

    async fn read_back(&self, batch: &Batch<'_>, tables: &[&'static str]) -> Result<read_back::Stored, DeliveryError> {
        self.patiently(batch, || read_back::read(&self.store, tables, batch.range)).await
    }

    /// The partition went to another member while we were inserting. What we sent may land after that member read its rows
    /// back, so we look ourselves, and leave one copy.
    async fn look_after(&self, range: &Range) {
        for table in self.stage.tables_by_offset(&range.id.topic) {
            let outcome = match read_back::read(&self.store, &[table], range).await {
                Ok(stored) if stored.doubled.is_empty() => continue,
                Ok(_) => read_back::remove_doubles(&self.store, table, range).await,
                Err(error) => Err(error),
            };
            let Range { id, start, end, .. } = range;
            match outcome {
                Ok(()) => tracing::warn!(partition = %id, table, start, end, "removed doubled rows of a lost partition"),
                Err(error) => tracing::error!(partition = %id, table, start, end, %error, "cannot check a lost partition"),
            }
        }
    }

    async fn insert_ledger(&self, batch: &Batch<'_>, mut row: LedgerRow) -> Result<(), DeliveryError> {
        let token = format!("{}/{}", batch.token, ledger::TABLE);
        let mut attempt = 0;
        self.patiently(batch, || {
            attempt += 1;
            row.inserted_at = batch.lease.confirmed_ms() - attempt;
            let (row, token) = (row.clone(), token.clone());
            async move { self.store.insert_row(ledger::TABLE, &row, &token).await }
        })
        .await
    }

    async fn insert(&self, batch: &Batch<'_>, table: &str, rows: &RecordBatch, token: &str) -> Result<(), Failed> {
        let begun = Instant::now();
        let mut attempt = 0;
        let done = self.attempts(batch, || {
            // A millisecond apart, so that copies of a row can be told apart if the server should have forgotten the token.
            attempt += 1;
            let lease_ms = batch.lease.confirmed_ms() - attempt;
            async move { self.store.insert(table, rows, token, lease_ms).await }
        });
        done.await?;
        let label = TableLabel { table: table.to_owned() };
        self.metrics.insert_seconds.get_or_create(&label).observe(begun.elapsed().as_secs_f64());
        Ok(())
    }

    /// [`Self::attempts`] where a refusal of the content stops the partition.
    async fn patiently<T, F>(&self, batch: &Batch<'_>, attempt: impl FnMut() -> F) -> Result<T, DeliveryError>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        self.attempts(batch, attempt).await.map_err(stopped)
    }

    /// Attempts until the outcome is known, waiting for a fresh lease before each.
    async fn attempts<T, F>(&self, batch: &Batch<'_>, mut attempt: impl FnMut() -> F) -> Result<T, Failed>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        let mut backoff = Backoff::default();
        loop {
            if batch.lease.is_revoked() {
                return Err(Failed::Revoked);
            }
            if !batch.lease.is_fresh(self.lease_life) {
                tokio::time::sleep(LEASE_POLL_INTERVAL).await;
                continue;
            }
            let (class, error) = match attempt().await {
                Ok(done) => return Ok(done),
                Err(StoreError::Content(message)) => return Err(Failed::Content(message)),
                Err(StoreError::Fatal(message)) => return Err(Failed::Fatal(message)),
                Err(error @ StoreError::Lease(_)) => ("lease", error),
                Err(error @ StoreError::Unknown(_)) => ("unknown", error),
            };
            self.metrics.insert_failures.get_or_create(&ClassLabel { class }).inc();
            let wait = backoff.next_wait();
            tracing::warn!(partition = %batch.range.id, start = batch.range.start, end = batch.range.end, class, %error,
                wait_ms = wait.as_millis() as u64, "clickhouse did not take the batch, repeating");
            tokio::time::sleep(wait).await;
        }
    }

    fn count(&self, range: &Range, made: &Prepared, how: How) {
        let topic = Metrics::topic(&range.id.topic);
        let metrics = &self.metrics;
        metrics.stored.get_or_create(&topic).inc_by(made.rows);
        metrics.rejected.get_or_create(&topic).inc_by(made.rejected);
        metrics.late.get_or_create(&topic).inc_by(made.late);
        metrics.expired.get_or_create(&topic).inc_by(made.expired);
        if how != How::Fresh {
            metrics.recovered.get_or_create(&topic).inc_by(range.len() as u64);
        }
        metrics.batch_records.observe(range.len() as f64);
        if let Some((oldest_ms, _)) = range.timestamps_ms() {
            let age = (crate::lease::now_ms() - oldest_ms).max(0) as f64 / 1000.0;
            metrics.age_seconds.get_or_create(&topic).observe(age);
        }
    }
}

/// The watermark after records up to `high_time_ms`: never back, never ahead of the clock.
pub fn watermark_after(before_ms: i64, high_time_ms: Option<i64>, allowed_lateness_ms: i64) -> i64 {
    let reached = high_time_ms.map_or(before_ms, |high| high.min(crate::lease::now_ms()) - allowed_lateness_ms);
    before_ms.max(reached)
}

/// The rows of `blocks` that are not stored.
fn missing_blocks(blocks: &[Block], stored: &read_back::Stored) -> Result<Vec<Block>, StoreError> {
    let mut missing = Vec::new();
    for block in blocks {
        let pieces = block.pieces.iter().filter_map(|piece| read_back::missing(piece, stored).transpose());
        let pieces = pieces.collect::<Result<Vec<_>, _>>()?;
        if !pieces.is_empty() {
            missing.push(Block { table: block.table, pieces });
        }
    }
    Ok(missing)
}

/// Tells one set of missing offsets from another, so that a repeated fill has the same token and another one has not.
fn offsets_hash(blocks: &[Block]) -> Result<String, StoreError> {
    let mut hash = 0_u64;
    for piece in blocks.iter().flat_map(|block| &block.pieces) {
        for &offset in read_back::offsets(piece)?.values() {
            hash = (hash.rotate_left(5) ^ offset as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        }
    }
    Ok(format!("{hash:016x}"))
}

/// Read-backs of one range before the partition is stopped; each but the last repairs what it finds.
const READ_BACKS_MAX: usize = 5;
/// How often a stale lease is looked at again.
const LEASE_POLL_INTERVAL: Duration = Duration::from_millis(50);

/// What is needed for every insert of a batch.
struct Batch<'a> {
    token: String,
    range: &'a Range,
    lease: &'a Lease,
}

/// Why attempts ended.
enum Failed {
    Revoked,
    Content(String),
    Fatal(String),
}

fn stopped(failed: Failed) -> DeliveryError {
    match failed {
        Failed::Revoked => DeliveryError::Revoked,
        Failed::Content(message) | Failed::Fatal(message) => DeliveryError::Stopped(message),
    }
}

fn fatal(error: StoreError) -> DeliveryError {
    DeliveryError::Stopped(error.to_string())
}
