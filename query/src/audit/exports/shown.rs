//! An export as callers see it: its request, progress and files. Pure.

use std::cmp::Reverse;

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::job::{FileEntry, Job, Position, State};
use super::spec::Spec;
use crate::api::Instant;

impl Job {
    /// As shown to callers.
    pub fn shown(&self, rows_now: u64) -> Shown {
        Shown {
            summary: self.summary(rows_now),
            files: self.files.iter().map(ShownFile::of).collect(),
        }
    }

    /// As shown in lists.
    pub fn summary(&self, rows_now: u64) -> Summary {
        let [repeats, differing] = self.repeats();
        Summary {
            id: self.id,
            state: self.state,
            error: self.error.clone(),
            spec: self.spec.clone(),
            teams: self.teams.clone(),
            requested_by: self.requested_by.clone(),
            requested_at: Instant::from_millis(self.requested_at),
            finished_at: self.finished_at.map(Instant::from_millis),
            rows: self.rows().max(rows_now),
            rows_planned: self.rows_planned(),
            repeats,
            differing,
            bytes: self.bytes(),
            file_count: self.files.len(),
            location: self.location(),
            digest: self.digest.clone(),
        }
    }
}

/// An export with its files.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Export)]
pub struct Shown {
    /// What lists show of it.
    #[serde(flatten)]
    pub summary: Summary,
    /// Finished files.
    pub files: Vec<ShownFile>,
}

/// An export without its files.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = ExportSummary)]
pub struct Summary {
    /// Its id.
    pub id: Uuid,
    /// Its state.
    pub state: State,
    /// Why it failed.
    pub error: Option<String>,
    /// The request.
    #[serde(flatten)]
    pub spec: Spec,
    /// The teams whose events its requester could see, and to which it is limited; empty means all teams of the tenant.
    pub teams: Vec<String>,
    /// Its requester.
    pub requested_by: String,
    /// Time of the request.
    pub requested_at: Instant,
    /// When it ended.
    pub finished_at: Option<Instant>,
    /// Rows written so far.
    pub rows: u64,
    /// Rows to read; repeated events are read more than once and written once.
    pub rows_planned: Option<u64>,
    /// Later copies of events that were left out so far.
    pub repeats: u64,
    /// Of these, copies that say something else than the first; the manifest names their events.
    pub differing: u64,
    /// Bytes of finished files.
    pub bytes: u64,
    /// Number of finished files.
    pub file_count: usize,
    /// Location of its files, as `s3://BUCKET/PREFIX/ID`; absent if they are in a folder of this service.
    pub location: Option<String>,
    /// SHA-256 of the manifest.
    pub digest: Option<String>,
}

impl Summary {
    /// Its position in lists.
    pub fn position(&self) -> Position {
        (Reverse(self.requested_at.micros()), self.id)
    }
}

/// A file of an export.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = ExportFile)]
pub struct ShownFile {
    /// Name of the file.
    pub name: String,
    /// Number of rows.
    pub rows: u64,
    /// Size in bytes.
    pub bytes: u64,
    /// SHA-256 of its bytes.
    pub sha256: String,
}

impl ShownFile {
    fn of(file: &FileEntry) -> Self {
        Self {
            name: file.name.clone(),
            rows: file.rows,
            bytes: file.bytes,
            sha256: file.sha256.clone(),
        }
    }
}
