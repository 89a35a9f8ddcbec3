//! Repairs a recovered range until each of its records is stored once.
//!
//! Missing rows are inserted under tokens of their own, duplicates are removed, and rows that age-based deletion has
//! taken are not restored. Stages whose rows do not know their records cannot be repaired: their exactness rests on
//! tokens and leases.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use crate::clock::now_ms;
use crate::delivery::Delivery;
use crate::inserts::{Batch, DeliveryError, fatal};
use crate::metrics::ClassLabel;
use crate::range::Range;
use crate::read_back;
use crate::stage::{Block, Prepared, Tables};
use crate::store::StoreError;

/// Read-backs of one range before the partition is stopped; each but the last repairs what it finds.
const READ_BACKS_MAX: usize = 5;
/// How long checking a lost partition may take.
const LOOK_AFTER_TIMEOUT: Duration = Duration::from_secs(180);

impl Delivery {
    /// Inserts the rows that the tables lack. Each fill within one delivery has a different `round`.
    pub async fn fill(&self, batch: &Batch<'_>, made: &Prepared, round: usize) -> Result<(u64, u64), DeliveryError> {
        let Some(tables) = self.stage.tables(&batch.range.id.topic) else {
            return self.insert_all(batch, made).await; // rows that do not know their records cannot be compared
        };
        let stored = self.read_back(batch, &tables.names()).await?;
        let missing = Prepared {
            blocks: missing_blocks(&made.blocks, &stored).map_err(fatal)?,
            ..made.clone()
        };
        if missing.blocks.is_empty() {
            return Ok((made.rows, made.rejected));
        }
        tracing::warn!(partition = %batch.range.id, start = batch.range.start, end = batch.range.end, "inserting missing rows");
        self.metrics
            .repairs
            .get_or_create(&ClassLabel { class: "missing" })
            .inc();
        // Separate tokens: those of the range may be remembered for other content, and those of the previous round for
        // rows that the engine does not have, because it died in between.
        let hash = offsets_hash(&missing.blocks).map_err(fatal)?;
        let token = format!("{}/fill/{hash}/{round}", batch.token);
        self.insert_all(&Batch { token, ..*batch }, &missing).await?;
        Ok((made.rows, made.rejected))
    }

    /// Reads a recovered range back and repairs it until each of its records is stored once. Returns the numbers of
    /// rows and of rejected records stored; `None` if rows do not know their records.
    pub async fn repair(&self, batch: &Batch<'_>, made: &Prepared) -> Result<Option<(u64, u64)>, DeliveryError> {
        let Some(of_records) = self.stage.tables(&batch.range.id.topic) else {
            return Ok(None);
        };
        let tables = of_records.names();
        for round in 1..=READ_BACKS_MAX {
            let stored = self.read_back(batch, &tables).await?;
            let expired = self.expired(batch, made, of_records).await?;
            let is_there = |offset: i64| stored.has(offset) || expired.contains(&offset);
            let complete = batch.range.records().iter().all(|record| is_there(record.offset));
            if stored.doubled.is_empty() && complete {
                let rejected = stored.rejected();
                return Ok(Some((records(batch.range, &stored) - rejected, rejected)));
            }
            for table in &stored.doubled {
                tracing::warn!(partition = %batch.range.id, table, start = batch.range.start, "removing duplicate rows");
                self.metrics
                    .repairs
                    .get_or_create(&ClassLabel { class: "doubled" })
                    .inc();
                self.inserts
                    .patiently(batch, || {
                        read_back::remove_doubles(self.inserts.store(), &tables, table, batch.range)
                    })
                    .await?;
            }
            if !complete {
                self.fill(batch, made, round).await?;
            }
        }
        Err(DeliveryError::Stopped(format!(
            "offsets {}-{} of {} are not stored exactly once each after {READ_BACKS_MAX} repairs (counted in \
             horolog_repairs_total): find what else inserts into or deletes from {}, then restart this process, which \
             repairs them again",
            batch.range.start,
            batch.range.end,
            batch.range.id,
            tables.join(" or ")
        )))
    }

    /// The rows of the range by hour. If the stored rows are not exactly the prepared ones (some were refused, or were
    /// stored before the log lost their records), the table decides: exports compare its months with those of the
    /// ledger.
    pub async fn hours(
        &self,
        batch: &Batch<'_>,
        made: &Prepared,
        stored: (u64, u64),
    ) -> Result<BTreeMap<u32, u64>, DeliveryError> {
        let Range {
            id,
            log_epoch,
            start,
            end,
            ..
        } = batch.range;
        let is_as_prepared = stored == (made.rows, made.rejected);
        let Some(tables) = self.stage.tables(&id.topic).filter(|_| !is_as_prepared) else {
            return Ok(made.hours.clone());
        };
        let (store, names) = (self.inserts.store(), tables.names());
        self.inserts.patiently(batch, || store.catch_up(&names)).await?;
        let read = || read_back::hours(store, tables, id, *log_epoch, *start..*end);
        Ok(self.inserts.patiently(batch, read).await?.into_iter().collect())
    }

    /// The offsets whose rows may have been deleted by age already, according to the table itself.
    async fn expired(&self, batch: &Batch<'_>, made: &Prepared, tables: Tables) -> Result<HashSet<i64>, DeliveryError> {
        let Some(block) = made.blocks.iter().find(|block| block.table == tables.rows) else {
            return Ok(HashSet::new());
        };
        let store = self.inserts.store();
        let days = self.inserts.patiently(batch, || store.days_kept(tables.rows)).await?;
        let expired = days.map(|days| read_back::expired(&block.pieces, tables.time_column, days, now_ms()));
        expired.transpose().map(Option::unwrap_or_default).map_err(fatal)
    }

    async fn read_back(&self, batch: &Batch<'_>, tables: &[&'static str]) -> Result<read_back::Stored, DeliveryError> {
        let store = self.inserts.store();
        self.inserts.patiently(batch, || store.catch_up(tables)).await?;
        self.inserts
            .patiently(batch, || read_back::read(self.inserts.store(), tables, batch.range))
            .await
    }

    /// The partition went to another member while we were inserting. What we sent may land after that member read its
    /// rows back, so we check ourselves, and leave one copy.
    pub async fn look_after(&self, range: &Range) {
        let looked = tokio::time::timeout(LOOK_AFTER_TIMEOUT, self.leave_one_copy(range)).await;
        if looked.is_err() {
            let Range { id, start, end, .. } = range;
            tracing::error!(partition = %id, start, end, "cannot check a lost partition in time");
        }
    }

    async fn leave_one_copy(&self, range: &Range) {
        let tables = self.stage.tables(&range.id.topic).map(Tables::names);
        for table in tables.into_iter().flatten() {
            let outcome = match read_back::read(self.inserts.store(), &[table], range).await {
                Ok(stored) if stored.doubled.is_empty() => continue,
                Ok(_) => read_back::remove_doubles(self.inserts.store(), &[table], table, range).await,
                Err(error) => Err(error),
            };
            let Range { id, start, end, .. } = range;
            match outcome {
                Ok(()) => {
                    tracing::warn!(partition = %id, table, start, end, "removed duplicate rows of a lost partition")
                }
                Err(error) => {
                    tracing::error!(partition = %id, table, start, end, %error, "cannot check a lost partition")
                }
            }
        }
    }
}

/// Number of records of a range: those that the log has, and those that were stored before it lost them.
fn records(range: &Range, stored: &read_back::Stored) -> u64 {
    let offsets = range.records().into_iter().map(|record| record.offset);
    let stored = stored.by_table.iter().flat_map(|(_, offsets)| offsets.iter().copied());
    offsets.chain(stored).collect::<HashSet<i64>>().len() as u64
}

/// The rows of `blocks` that are not stored.
fn missing_blocks(blocks: &[Block], stored: &read_back::Stored) -> Result<Vec<Block>, StoreError> {
    let mut missing = Vec::new();
    for block in blocks {
        let pieces = block
            .pieces
            .iter()
            .filter_map(|piece| read_back::missing(piece, stored).transpose());
        let pieces = pieces.collect::<Result<Vec<_>, _>>()?;
        if !pieces.is_empty() {
            missing.push(Block {
                table: block.table,
                pieces,
            });
        }
    }
    Ok(missing)
}

/// Distinguishes sets of missing offsets, so that a repeated fill has the same token and a different one does not.
fn offsets_hash(blocks: &[Block]) -> Result<String, StoreError> {
    let mut hash = 0_u64;
    for piece in blocks.iter().flat_map(|block| &block.pieces) {
        for &offset in read_back::offsets(piece)?.values() {
            hash = (hash.rotate_left(5) ^ offset as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        }
    }
    Ok(format!("{hash:016x}"))
}
