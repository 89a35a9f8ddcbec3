//! The exports of this service: running, waiting and finished.
//!
//! Enters: specs. Leaves: background jobs, a bounded number at once. Guarantees: an accepted export is on disk and in
//! the register before it is acknowledged, and continues after a crash where it was; it waits while the store is
//! unavailable; a failure has a reason.

mod background;

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use horolog_stage::clock::now_ms;
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use uuid::Uuid;

use super::bucket::{Bucket, BucketError};
use super::config::ExportsConfig;
use super::export::Export;
use super::job::{Job, Position, State};
use super::register::Register;
use super::shelf::{Shelf, off_thread};
use super::shown::{Shown, Summary};
use super::signature::Signer;
use super::spec::Spec;
use crate::access::Caller;
use crate::access::mask::MaskKey;
use crate::api::page::Page;
use crate::api::places::Places;
use crate::api::{Problem, RequestId};
use crate::store::Store;

/// Approximate size of an export in a list. Bytes.
const SUMMARY_BYTES: usize = 1_024;

/// All exports of this service.
pub struct Exports {
    /// ClickHouse, with the limits of exports.
    pub store: Store,
    /// The folder.
    pub shelf: Shelf,
    /// The topic of audit events.
    pub topic: String,
    /// Signs manifests, if a key is configured.
    pub signer: Option<Signer>,
    /// The secret from which pseudonyms are made.
    pub mask_key: MaskKey,
    register: Register,
    known: Mutex<HashMap<Uuid, Arc<Export>>>,
    turns: Places<String>,
    running: Semaphore,
    config: ExportsConfig,
}

impl Exports {
    /// Opens folder and bucket and resumes unfinished exports. `None` if no folder is configured.
    pub async fn start(
        config: &ExportsConfig,
        store: Store,
        topic: &str,
        mask_key: MaskKey,
        register: Register,
    ) -> anyhow::Result<Option<Arc<Self>>> {
        let Some(folder) = &config.folder else { return Ok(None) };
        let bucket = Bucket::new(&config.s3)?;
        if let Some(bucket) = &bucket {
            reach(bucket).await?;
        }
        let named = |setting: &'static str| move |error: io::Error| anyhow::anyhow!("{setting}: {error}");
        let shelf = Shelf::open(folder, bucket).map_err(named("exports.folder"))?;
        let signer = config.signing_key_file.as_deref().map(Signer::load).transpose();
        let signer = signer.map_err(|error| anyhow::anyhow!("exports.signing_key_file: {error}"))?;
        let jobs = shelf.load().map_err(named("exports.folder"))?;
        let (removed, mut jobs): (Vec<_>, Vec<_>) = jobs.into_iter().partition(|job| register.is_removed(job.id));
        // In their previous order: first those that ran, then those that waited.
        jobs.sort_by_key(|job| (job.state != State::Running, job.requested_at));
        let known: Vec<_> = jobs.into_iter().map(|job| (job.id, Export::new(job))).collect();
        let exports = Arc::new(Self {
            store,
            shelf,
            topic: topic.to_owned(),
            signer,
            mask_key,
            register,
            turns: Places::new(1),
            running: Semaphore::new(config.concurrent_max),
            config: config.clone(),
            known: Mutex::new(known.iter().cloned().collect()),
        });
        for (_, export) in known {
            match export.job().state.is_final() {
                true => exports.tidy(export),
                false => exports.launch(export),
            }
        }
        for job in removed {
            exports.finish_removal(Arc::new(job));
        }
        Ok(Some(exports))
    }

    /// Accepts an export; fails if the register cannot be written.
    pub async fn submit(
        self: &Arc<Self>,
        id: Uuid,
        spec: Spec,
        caller: &Caller,
        request: &RequestId,
    ) -> Result<Shown, Problem> {
        let export = self.accept(id, spec, caller, request)?;
        let exports = Arc::clone(self);
        // Runs to its end even if the caller disconnects meanwhile.
        let entered = tokio::spawn(async move {
            if let Err(problem) = exports.enter(&export).await {
                exports.known.lock().remove(&export.job().id);
                exports.finish_removal(export.job());
                return Err(problem);
            }
            let shown = export.shown();
            exports.launch(export);
            Ok(shown)
        });
        entered.await.map_err(|_| Problem::Internal)?
    }

    /// Puts an export on disk and in the register. If the register refuses it, it has ended, so that no start resumes
    /// what cannot be removed of it.
    async fn enter(self: &Arc<Self>, export: &Arc<Export>) -> Result<(), Problem> {
        let unwritten = |error: io::Error| {
            tracing::error!(%error, "an export cannot be written to exports.folder");
            Problem::StoreUnavailable
        };
        self.shelf.prepare(&export.job()).await.map_err(unwritten)?;
        self.change(export, |_| ()).await.map_err(unwritten)?;
        let entered = self.register.enter(&export.job()).await;
        if entered.is_err() {
            self.end_failed(export, "it was not accepted".to_owned()).await;
            self.withdraw(Arc::clone(export));
        }
        entered
    }

    /// Registers in the background the end of an export that was not accepted, in case the journal has it after all:
    /// the response to a commit may be lost.
    fn withdraw(self: &Arc<Self>, export: Arc<Export>) {
        let exports = Arc::clone(self);
        tokio::spawn(async move {
            if exports.register.learns_of(export.job().id).await {
                exports.enter_outcome(&export).await;
            }
        });
    }

    /// Changes the state of an export, on disk first.
    pub async fn change(
        self: &Arc<Self>,
        export: &Arc<Export>,
        change: impl FnOnce(&mut Job) + Send + 'static,
    ) -> io::Result<()> {
        let (exports, export) = (Arc::clone(self), Arc::clone(export));
        off_thread(move || export.change(&exports.shelf, change)).await
    }

    /// Gives an export a place in the queue.
    fn accept(&self, id: Uuid, spec: Spec, caller: &Caller, request: &RequestId) -> Result<Arc<Export>, Problem> {
        let bucket = self.shelf.bucket_url().map(str::to_owned);
        let rows_per_file = self.config.rows_per_file;
        let job = Job::new(id, spec, caller, request, bucket, rows_per_file, now_ms());
        let mut known = self.known.lock();
        let waiting = || {
            known
                .values()
                .map(|export| export.job())
                .filter(|job| !job.state.is_final())
        };
        let of_tenant = waiting().filter(|other| other.spec.tenant_id == job.spec.tenant_id);
        if of_tenant.count() >= self.config.tenant_waiting_max {
            return Err(Problem::Busy("too many exports of this tenant are waiting"));
        }
        if waiting().count() >= self.config.waiting_max {
            return Err(Problem::Busy("too many exports are waiting"));
        }
        let export = Export::new(job);
        known.insert(id, Arc::clone(&export));
        Ok(export)
    }

    /// Adds the exports that the caller may see to a page, newest first, starting after `after`.
    pub fn list(&self, caller: &Caller, after: Option<Position>, page: &mut Page<Summary>) {
        let known: Vec<_> = self.known.lock().values().cloned().collect();
        let mut found: Vec<_> = known
            .iter()
            .filter(|export| export.is_for(caller))
            .map(|export| (export.job().position(), export))
            .filter(|(position, _)| after.is_none_or(|after| *position > after))
            .collect();
        found.sort_by_key(|(position, _)| *position);
        for (_, export) in found {
            let summary = export.job().summary(export.rows_now());
            if page.push(summary, SUMMARY_BYTES).is_break() || page.continues_after().is_some() {
                return;
            }
        }
    }

    /// One export. One of another tenant, or that shows more than the caller may see, is not found.
    pub fn get(&self, caller: &Caller, id: Uuid) -> Result<Shown, Problem> {
        Ok(self.export(caller, id)?.shown())
    }

    /// The state of an export.
    pub fn job(&self, caller: &Caller, id: Uuid) -> Result<Arc<Job>, Problem> {
        Ok(self.export(caller, id)?.job())
    }

    /// Cancels an unfinished export; removes a finished one with its files. Once the register says so it is gone for
    /// everybody, and files that cannot be removed now are removed as soon as possible.
    pub async fn delete(self: &Arc<Self>, caller: &Caller, id: Uuid) -> Result<(), Problem> {
        let export = self.export(caller, id)?;
        let job = export.job();
        if !job.state.is_final() {
            let cancelled = self.change(&export, |job| job.go_on(State::Cancelled, None)).await;
            cancelled.map_err(|error| {
                tracing::error!(%id, %error, "an export cannot be ended");
                Problem::Internal
            })?;
            // Only once that is on disk: one that stopped without a recorded end would seem unfinished forever.
            export.signals.stop();
            return Ok(());
        }
        if !self.shelf.reaches(&job) {
            return Err(Problem::Conflict(
                "the export is in a bucket that exports.s3 no longer names: name it again to remove the export",
            ));
        }
        self.register.remove(&job, now_ms()).await?;
        self.known.lock().remove(&id);
        if let Err(error) = self.shelf.remove(&job).await {
            tracing::warn!(%id, %error, "files of a removed export are left; removing them is retried");
            self.finish_removal(job);
        }
        Ok(())
    }

    fn export(&self, caller: &Caller, id: Uuid) -> Result<Arc<Export>, Problem> {
        let export = self.known.lock().get(&id).cloned();
        export.filter(|export| export.is_for(caller)).ok_or(Problem::NotFound)
    }
}

/// A bucket that refuses needs attention now; one that is unavailable may come back.
async fn reach(bucket: &Bucket) -> Result<(), BucketError> {
    match bucket.probe().await {
        Err(BucketError::Unavailable(reason)) => {
            tracing::warn!(bucket = bucket.url(), reason, "the bucket of exports is not available");
            Ok(())
        }
        reached => reached,
    }
}
