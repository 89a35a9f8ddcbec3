//! Runs one export to its end, from wherever it stopped.
//!
//! Enters: a job as it was left. Leaves: the job complete, or the reason why not. Each step is saved before the next: a
//! snapshot once taken stays, a file once named stays. Rows are read in the order of the table, one month at a time,
//! straight from the engine's stream to the encoder, with a bounded number of chunks between them, so a slow disk slows
//! the engine.

pub mod batches;
mod blocks;
pub mod month;
pub mod rows;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use horolog_stage::clock::now_ms;
use tokio::sync::mpsc;

use self::blocks::Blocks;
use self::month::MonthWriter;
use super::columns;
use super::error::ExportError;
use super::export::{Export, Signals};
use super::job::{FileEntry, Job, State};
use super::manifest;
use super::plan;
use super::queue::Exports;
use super::repeats::{self, Finder, LeftOut};
use super::snapshot::{self, Snapshot};
use crate::access::Caller;
use crate::audit::copies;
use crate::audit::filter::Conditions;
use crate::store::{Parameter, Relation, StoreError, TenantSelect};

/// Chunks between the engine's stream and the encoder; a block of the engine arrives in several.
const CHUNKS_MAX: usize = 2;

/// Spelled out, because the engine does not use its primary key for comparisons of tuples; the first condition is
/// implied by the second.
const AFTER: &str = "r.occurred_at >= fromUnixTimestamp64Micro({after_time:Int64}, 'UTC') and \
    (r.occurred_at > fromUnixTimestamp64Micro({after_time:Int64}, 'UTC') or r.event_id > {after_id:UUID} or \
    (r.event_id = {after_id:UUID} and (r.log_epoch > {after_epoch:Int64} or (r.log_epoch = {after_epoch:Int64} and \
    (r.kafka_partition > {after_partition:Int64} or (r.kafka_partition = {after_partition:Int64} and \
    r.kafka_offset > {after_offset:Int64}))))))";

/// What all steps share.
struct Run<'a> {
    exports: &'a Arc<Exports>,
    export: &'a Arc<Export>,
    caller: Caller,
    filter: Conditions,
}

/// Runs an export.
pub async fn run(exports: &Arc<Exports>, export: &Arc<Export>) -> Result<(), ExportError> {
    let job = export.job();
    let run = Run {
        exports,
        export,
        caller: Caller::restore(job.caller.clone(), &exports.mask_key),
        filter: job.spec.conditions()?,
    };
    if job.teams != run.caller.teams() {
        // Begun by an earlier release, which did not store them.
        let teams = run.caller.teams().to_vec();
        run.save(|job| job.teams = teams).await?;
    }
    exports.shelf.prepare(&job).await?;
    exports.shelf.sweep(&job).await?;
    // These statements may take hours; a cancelled export must not keep its slot until they end.
    let snapshot = tokio::select! {
        asked = run.ask() => asked?,
        () = export.signals.stopped() => return Err(ExportError::Stopped),
    };
    run.months(&snapshot).await?;
    run.finish().await
}

impl Run<'_> {
    async fn save(&self, change: impl FnOnce(&mut Job) + Send + 'static) -> Result<(), ExportError> {
        Ok(self.exports.change(self.export, change).await?)
    }

    /// Asks for everything that must be known before the first row.
    async fn ask(&self) -> Result<Snapshot, ExportError> {
        let snapshot = self.snapshot().await?;
        if self.filter.is_everything() {
            tokio::try_join!(self.count(&snapshot), self.find_repeats(&snapshot, None))?;
        } else {
            self.count(&snapshot).await?;
            let counted = self.export.job().rows_planned().unwrap_or_default();
            let only = (counted <= copies::LOOKED_UP_MAX.into()).then_some(&self.filter);
            self.find_repeats(&snapshot, only).await?;
        }
        Ok(snapshot)
    }

    async fn snapshot(&self) -> Result<Snapshot, ExportError> {
        if let Some(snapshot) = &self.export.job().snapshot {
            return Ok(snapshot.clone());
        }
        let (store, label) = (&self.exports.store, self.export.label());
        let topic = self.exports.topic.clone();
        let of_topic = [("topic", Parameter::Text(topic.clone()))];
        let other_topics = snapshot::of_other_topics(&self.caller, &self.filter, &topic);
        let mut snapshot = Snapshot {
            logs: store.log_rows(label, snapshot::LOGS_SQL, &of_topic).await?,
            gaps: store.log_rows(label, snapshot::GAPS_SQL, &of_topic).await?,
            topic,
            ledger_months: Vec::new(),
            stored_months: Vec::new(),
            rejected: Vec::new(),
            unread: store.log_rows(label, snapshot::UNREAD_SQL, &of_topic).await?,
            other_topics: store.collect(label, &other_topics).await?,
            kept_from: None,
        };
        let [topic] = of_topic;
        let [keys, ends] = snapshot.bounds();
        let bounded = [topic, keys, ends];
        snapshot.ledger_months = store.log_rows(label, snapshot::LEDGER_MONTHS_SQL, &bounded).await?;
        snapshot.stored_months = store.log_rows(label, snapshot::STORED_MONTHS_SQL, &bounded).await?;
        snapshot.rejected = store.log_rows(label, snapshot::REJECTED_SQL, &bounded).await?;
        // Last, so that it covers everything that was deleted before the months were counted.
        let kept_from = store.log_rows(label, snapshot::kept_from(), &[]).await?;
        snapshot.kept_from = kept_from.first().copied();
        let frozen = snapshot.clone();
        self.save(|job| job.snapshot = Some(frozen)).await?;
        Ok(snapshot)
    }

    async fn count(&self, snapshot: &Snapshot) -> Result<(), ExportError> {
        if self.export.job().plan.is_some() {
            return Ok(());
        }
        let select = plan::select(&self.caller, &self.filter, snapshot);
        let counts = self.exports.store.collect(self.export.label(), &select).await?;
        self.save(|job| job.plan = Some(counts)).await
    }

    async fn find_repeats(&self, snapshot: &Snapshot, only: Option<&Conditions>) -> Result<(), ExportError> {
        let job = self.export.job();
        if job.copies_compared {
            return Ok(());
        }
        let select = repeats::select(&self.caller, only, snapshot);
        let mut finder = Finder::new(&self.exports.shelf.work(job.id));
        let mut written = Ok(());
        let take = |copy| {
            written = finder.push(&copy);
            if written.is_ok() {
                std::ops::ControlFlow::Continue(())
            } else {
                std::ops::ControlFlow::Break(())
            }
        };
        self.exports.store.rows(self.export.label(), &select, take).await?;
        written?;
        finder.finish()?;
        self.save(|job| job.copies_compared = true).await
    }

    /// Writes the remaining months, each in blocks that fit the memory of a statement, and of the server at the time.
    async fn months(&self, snapshot: &Snapshot) -> Result<(), ExportError> {
        for month in self.export.job().months_left() {
            let mut blocks = Blocks::LARGEST;
            while let Err(error) = self.month(snapshot, month, blocks.rows).await {
                let pause = blocks.pause_after(&error);
                blocks = blocks.after(&error).ok_or(error)?;
                self.exports.shelf.sweep(&self.export.job()).await?;
                tracing::info!(id = %self.export.job().id, month, block_rows = blocks.rows, "an export continues after memory ran short");
                self.export.signals.pause(pause).await;
            }
        }
        Ok(())
    }

    /// Writes the rest of a month, and checks it against the counts.
    async fn month(&self, snapshot: &Snapshot, month: u32, block_rows: u32) -> Result<(), ExportError> {
        let job = self.export.job();
        let chunks = self.stream(self.select(snapshot, &job, month)?, block_rows);
        let (exports, export) = (Arc::clone(self.exports), Arc::clone(self.export));
        let write = move || {
            let left_out = LeftOut::open(&exports.shelf.work(job.id), month)?;
            let signals: &Signals = &export.signals;
            let writer = MonthWriter::new(&exports.shelf, &job, month, left_out, signals)?;
            writer.run(chunks, |file: FileEntry| {
                export.change(&exports.shelf, |job| job.files.push(file))
            })
        };
        let rest = tokio::task::spawn_blocking(write).await;
        let rest = rest.map_err(|error| ExportError::Rows(format!("the encoder ended: {error}")))??;
        let mut written = self.export.job().as_ref().clone();
        written.months_done.insert(month, rest.clone());
        check(&written, month)?;
        self.save(move |job| {
            job.months_done.insert(month, rest);
        })
        .await
    }

    /// The rows of a month after the last one in a finished file.
    fn select(&self, snapshot: &Snapshot, job: &Job, month: u32) -> Result<TenantSelect, ExportError> {
        let columns = columns::select(job.schema()?.as_ref());
        let select = TenantSelect::new(&self.caller, Relation::AuditLogs, columns);
        let select = plan::in_month(self.filter.apply(snapshot.apply(select)), month);
        let last_file = job.files.iter().rfind(|file| file.month == month);
        let select = match last_file.map(|file| &file.last) {
            Some(after) => select
                .and(AFTER)
                .bind("after_time", Parameter::Integer(after.occurred_at))
                .bind("after_id", Parameter::Text(after.event_id.clone()))
                .bind("after_epoch", Parameter::Integer(after.log_epoch.into()))
                .bind("after_partition", Parameter::Integer(after.partition.into()))
                .bind("after_offset", Parameter::Integer(after.offset)),
            None => select,
        };
        Ok(select.then(columns::ORDER))
    }

    /// The bytes of a statement's answer, then `None`: a channel that closes without it was cut off. The statement is
    /// cancelled when the receiver is dropped, and when the export is to stop.
    fn stream(&self, select: TenantSelect, block_rows: u32) -> mpsc::Receiver<Result<Option<Bytes>, StoreError>> {
        let (sender, receiver) = mpsc::channel(CHUNKS_MAX);
        let (store, export) = (self.exports.store.clone(), Arc::clone(self.export));
        drop(tokio::spawn(async move {
            let mut answer = match store.arrow(export.label(), &select, block_rows) {
                Ok(answer) => answer,
                Err(error) => {
                    let _ = sender.send(Err(error)).await; // fails only if the writer has gone, which knows why
                    return;
                }
            };
            loop {
                let chunk = tokio::select! {
                    chunk = answer.next() => chunk,
                    () = sender.closed() => return,
                    () = export.signals.stopped() => return,
                };
                let ended = !matches!(chunk, Ok(Some(_)));
                if sender.send(chunk).await.is_err() || ended {
                    return;
                }
            }
        }));
        receiver
    }

    async fn finish(&self) -> Result<(), ExportError> {
        let job = self.export.job();
        if job.state != State::Running {
            return Err(ExportError::Stopped);
        }
        let written = manifest::write(&self.exports.shelf, &job, self.exports.signer.as_ref(), now_ms()).await?;
        self.save(move |job| {
            job.digest = Some(written.digest);
            job.finished_at = Some(written.finished_at);
            job.go_on(State::Complete, None); // no effect if it was cancelled meanwhile
        })
        .await?;
        self.export
            .signals
            .rows
            .store(self.export.job().rows(), Ordering::Relaxed);
        Ok(())
    }
}

/// Checks the rows of a month against the counts, partition by partition.
fn check(job: &Job, month: u32) -> Result<(), ExportError> {
    let planned = job.plan.iter().flatten().filter(|count| count.month == month);
    let mut counted: BTreeMap<_, _> = planned
        .map(|count| ((count.log_epoch, count.partition), count.rows))
        .collect();
    let given = job.month_partitions(month).into_iter();
    let mut pairs: Vec<_> = given
        .map(|(log, (rows, repeats))| (log, counted.remove(&log).unwrap_or_default(), rows + repeats))
        .collect();
    pairs.extend(counted.into_iter().map(|(log, rows)| (log, rows, 0)));
    match pairs.into_iter().find(|(_, counted, given)| counted != given) {
        Some(((_, partition), counted, given)) => Err(ExportError::Rows(format!(
            "the store counted {counted} rows of {month} in partition {partition} and returned {given}; ask for the export again"
        ))),
        None => Ok(()),
    }
}
