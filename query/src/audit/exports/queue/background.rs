//! What goes on in the background: exports wait for their turn, run, and end; what they leave is removed.
//!
//! Guarantees: exports run in the order in which they were accepted, and tenants take turns; how an export ended is
//! registered, and files of a removed one are deleted, as soon as that is possible.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use tokio::sync::SemaphorePermit;
use tokio::task::coop::unconstrained;
use tokio::time::sleep;

use super::Exports;
use crate::audit::exports::error::ExportError;
use crate::audit::exports::export::Export;
use crate::audit::exports::job::{Job, State};
use crate::audit::exports::patience::{Patience, RETRY_AFTER};
use crate::audit::exports::run::run;

/// Pauses between attempts to delete the files of a removed export double up to this.
const REMOVAL_RETRY_AFTER_MAX: Duration = Duration::from_secs(3_600);

impl Exports {
    /// Runs an export in the background when its turn comes.
    pub(super) fn launch(self: &Arc<Self>, export: Arc<Export>) {
        let exports = Arc::clone(self);
        let mut attended = Box::pin(async move {
            let place = tokio::select! {
                biased;
                () = export.signals.stopped() => None, // cancelled while it waited
                place = exports.place(&export) => place,
            };
            if place.is_some()
                && let Err(error) = exports.attend(&export).await
            {
                exports.fail(&export, &error).await;
            }
            drop(place);
            exports.enter_outcome(&export).await;
            let job = export.job();
            if exports.register.is_removed(job.id) {
                exports.finish_removal(job); // files still being written at its removal
            }
        });
        // Polled once here to take its place in the queue, since tasks start in any order.
        if unconstrained(attended.as_mut()).now_or_never().is_none() {
            tokio::spawn(attended);
        }
    }

    /// A slot to run in. Only one export per tenant waits for a slot, the others wait behind it: so tenants take turns.
    async fn place(&self, export: &Export) -> Option<SemaphorePermit<'_>> {
        let _turn = self.turns.take(export.job().spec.tenant_id.clone()).await.ok()?;
        self.running.acquire().await.ok()
    }

    /// Finishes in the background what a crash left undone of an export that has ended.
    pub(super) fn tidy(self: &Arc<Self>, export: Arc<Export>) {
        let exports = Arc::clone(self);
        tokio::spawn(async move {
            exports.sweep(&export).await;
            exports.enter_outcome(&export).await;
        });
    }

    /// Removes in the background what is left of a removed export.
    pub(super) fn finish_removal(self: &Arc<Self>, job: Arc<Job>) {
        let exports = Arc::clone(self);
        tokio::spawn(async move {
            let mut pause = RETRY_AFTER;
            while let Err(error) = exports.shelf.remove(&job).await {
                tracing::warn!(id = %job.id, %error, "files of a removed export cannot be removed yet");
                sleep(pause).await;
                pause = (pause * 2).min(REMOVAL_RETRY_AFTER_MAX);
            }
        });
    }

    /// Registers how an export ended, as soon as that can be written.
    pub(super) async fn enter_outcome(&self, export: &Export) {
        while let Err(problem) = self.register.enter(&export.job()).await {
            tracing::warn!(id = %export.job().id, %problem, "how an export ended is not in the journal yet");
            sleep(RETRY_AFTER).await;
        }
    }

    async fn sweep(&self, export: &Export) {
        let job = export.job();
        if let Err(error) = self.shelf.sweep(&job).await {
            tracing::warn!(id = %job.id, %error, "what is left of an export's unfinished file cannot be removed");
        }
    }

    /// Runs an export, retrying while the store is unavailable. Finished files stay, so each attempt continues where
    /// the last one stopped.
    async fn attend(self: &Arc<Self>, export: &Arc<Export>) -> Result<(), ExportError> {
        self.change(export, |job| job.go_on(State::Running, None)).await?;
        let mut patience = Patience::new(Duration::from_secs(self.config.store_patience_s));
        loop {
            if export.job().state.is_final() {
                return Ok(());
            }
            let Err(error) = run(self, export).await else {
                let job = export.job();
                // It may have been cancelled at the last moment.
                if job.state == State::Complete {
                    tracing::info!(id = %job.id, rows = job.rows(), "an export is complete");
                }
                return Ok(());
            };
            self.sweep(export).await;
            if matches!(error, ExportError::Stopped) {
                return Ok(());
            }
            let Some(pause) = patience.after(&error, export.job().steps_done(), Instant::now()) else {
                return Err(error);
            };
            tracing::warn!(id = %export.job().id, %error, "an export waits for the store or the bucket");
            export.signals.pause(pause).await;
        }
    }

    async fn fail(self: &Arc<Self>, export: &Arc<Export>, error: &ExportError) {
        tracing::error!(id = %export.job().id, %error, "an export failed");
        self.end_failed(export, error.told()).await;
    }

    /// Marks an export as failed, on disk if possible.
    pub(super) async fn end_failed(self: &Arc<Self>, export: &Arc<Export>, reason: String) {
        let fail = move |job: &mut Job| job.go_on(State::Failed, Some(reason));
        if let Err(error) = self.change(export, fail.clone()).await {
            // The disk cannot even store this: the failure is shown from memory, and the export is tried again after
            // the next start.
            tracing::error!(id = %export.job().id, %error, "an export's failure cannot be written");
            export.tell(fail);
        }
    }
}
