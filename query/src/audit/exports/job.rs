//! An export as stored on disk and as the queue has it.
//!
//! Enters: the request, then progress, file by file. Leaves: JSON on disk for the next start. Files listed in `files` are
//! finished and never written again. Pure.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use horolog_schemas::Kind;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::columns;
use super::plan::Count;
use super::snapshot::Snapshot;
use super::spec::Spec;
use crate::access::{Caller, KeptCaller};
use crate::api::{Instant, RequestId};

/// State of an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = ExportState)]
pub enum State {
    /// Waiting for its turn.
    Queued,
    /// Being written.
    Running,
    /// Finished, with its manifest.
    Complete,
    /// Will not be completed; `error` says why.
    Failed,
    /// Cancelled by its requester.
    Cancelled,
}

impl State {
    /// Whether the state is final.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Complete | Self::Failed | Self::Cancelled)
    }
}

/// A row's position in the order of an export.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// Microseconds since 1970.
    pub occurred_at: i64,
    /// Id of the event.
    pub event_id: String,
    /// Life of the log.
    pub log_epoch: u32,
    /// The partition.
    pub partition: i32,
    /// The offset.
    pub offset: i64,
}

/// How many events with copies that say something else are named.
const DIFFERING_EVENTS_MAX: usize = 20;

/// Rows of one partition in a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionRows {
    /// Life of the log.
    pub log_epoch: u32,
    /// Partition.
    pub partition: i32,
    /// Rows written.
    pub rows: u64,
    /// Later copies of events that were read and left out.
    pub repeats: u64,
    /// Of these, copies that say something else than the first. Earlier releases did not compare them.
    #[serde(default)]
    pub differing: u64,
    /// Ids of their events, at most twenty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub differing_events: Vec<Uuid>,
    /// Smallest offset written; 0 if no row was.
    pub first_offset: i64,
    /// Largest offset written; 0 if no row was.
    pub last_offset: i64,
}

impl PartitionRows {
    /// Names an event of which a copy says something else, while there is room.
    pub fn name_differing(&mut self, event_id: Uuid) {
        let names = &mut self.differing_events;
        if names.len() < DIFFERING_EVENTS_MAX && !names.contains(&event_id) {
            names.push(event_id);
        }
    }
}

/// A finished file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// Its name.
    pub name: String,
    /// Month, such as `202601`.
    pub month: u32,
    /// Number of rows.
    pub rows: u64,
    /// Size in bytes.
    pub bytes: u64,
    /// SHA-256 of its bytes, hexadecimal.
    pub sha256: String,
    /// Its first row.
    pub first: Key,
    /// Its last row, after which the next file of the month begins.
    pub last: Key,
    /// Rows by partition.
    pub partitions: Vec<PartitionRows>,
}

/// Position of an export in lists: newest first.
pub type Position = (Reverse<i64>, Uuid);

/// An export.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Job {
    /// Its id, which is also the name of its folder.
    pub id: Uuid,
    /// The request.
    pub spec: Spec,
    /// Bucket and prefix of its files, as `s3://BUCKET/PREFIX`; `None` if they are in the folder. Stored so that files
    /// do not seem lost after the setting changes.
    pub bucket: Option<String>,
    /// Its requester, and what they could see then.
    pub caller: KeptCaller,
    /// Its requester, by name.
    pub requested_by: String,
    /// Id of the request.
    pub request_id: String,
    /// Time of the request, milliseconds since 1970.
    pub requested_at: i64,
    /// Maximum rows per file; stored so that a changed setting does not affect a running export.
    pub rows_per_file: u64,
    /// Masked columns by name, and how they are masked.
    pub masked: BTreeMap<String, String>,
    /// Its columns; stored so that all files of an export have the same ones, even across an upgrade.
    #[serde(default = "columns::names")]
    pub columns: Vec<String>,
    /// The teams whose events its requester could see; empty means all teams of the tenant.
    #[serde(default)]
    pub teams: Vec<String>,
    /// Its state.
    pub state: State,
    /// Why it failed.
    pub error: Option<String>,
    /// The ledger's bounds, once determined.
    pub snapshot: Option<Snapshot>,
    /// The rows to read, once counted.
    pub plan: Option<Vec<Count>>,
    /// Whether later copies of events were searched for, and compared with the first; an export begun by an earlier
    /// release searches again.
    #[serde(default)]
    pub copies_compared: bool,
    /// Finished files.
    pub files: Vec<FileEntry>,
    /// Later copies after the last row of a month's last file, by month. A month is done when it has an entry.
    pub months_done: BTreeMap<u32, Vec<PartitionRows>>,
    /// When it ended, milliseconds since 1970.
    pub finished_at: Option<i64>,
    /// SHA-256 of the manifest, which in turn names all files by theirs.
    pub digest: Option<String>,
}

impl Job {
    /// A queued export; `now_ms` is the time of the request, milliseconds since 1970.
    pub fn new(
        id: Uuid,
        spec: Spec,
        caller: &Caller,
        request: &RequestId,
        bucket: Option<String>,
        rows_per_file: u64,
        now_ms: i64,
    ) -> Self {
        let facts = caller.principal().facts();
        Self {
            id,
            spec,
            bucket,
            caller: caller.keep(),
            requested_by: format!("{} ({})", facts.name, facts.identity),
            request_id: request.to_string(),
            requested_at: now_ms,
            rows_per_file,
            masked: caller.masked_columns(Kind::AuditEvent),
            columns: columns::names(),
            teams: caller.teams().to_vec(),
            state: State::Queued,
            error: None,
            snapshot: None,
            plan: None,
            copies_compared: false,
            files: Vec::new(),
            months_done: BTreeMap::new(),
            finished_at: None,
            digest: None,
        }
    }

    /// Changes the state, with the reason of a failure. A final state never changes.
    pub fn go_on(&mut self, state: State, error: Option<String>) {
        if !self.state.is_final() {
            (self.state, self.error) = (state, error);
        }
    }

    /// The number of completed steps; never decreases.
    pub fn steps_done(&self) -> usize {
        let questions = [self.snapshot.is_some(), self.plan.is_some(), self.copies_compared];
        let answered = questions.into_iter().filter(|is_answered| *is_answered).count();
        answered + self.files.len() + self.months_done.len()
    }

    /// Its columns. Fails if another release wrote one that this release does not know.
    pub fn schema(&self) -> Result<SchemaRef, ArrowError> {
        let names = self.columns.iter().map(String::as_str);
        let unknown = || {
            ArrowError::SchemaError(
                "the export was planned by a release with other columns; ask for it again".to_owned(),
            )
        };
        columns::of(names).ok_or_else(unknown)
    }

    /// Rows written.
    pub fn rows(&self) -> u64 {
        self.files.iter().map(|file| file.rows).sum()
    }

    /// Bytes written.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    /// Location of its files, as `s3://BUCKET/PREFIX/ID`; `None` if they are in the folder.
    pub fn location(&self) -> Option<String> {
        self.bucket.as_ref().map(|bucket| format!("{bucket}/{}", self.id))
    }

    /// Its position in lists.
    pub fn position(&self) -> Position {
        (Reverse(Instant::from_millis(self.requested_at).micros()), self.id)
    }

    /// Rows to read, copies of events included.
    pub fn rows_planned(&self) -> Option<u64> {
        self.plan.as_ref().map(|plan| plan.iter().map(|count| count.rows).sum())
    }

    /// The months still to be written.
    pub fn months_left(&self) -> Vec<u32> {
        let mut months: Vec<u32> = self.plan.iter().flatten().map(|count| count.month).collect();
        months.dedup();
        months.retain(|month| !self.months_done.contains_key(month));
        months
    }

    /// Later copies left out, and those of them that say something else than the first.
    pub fn repeats(&self) -> [u64; 2] {
        let of_files = self.files.iter().flat_map(|file| &file.partitions);
        let all = of_files.chain(self.months_done.values().flatten());
        all.fold([0, 0], |[repeats, differing], rows| {
            [repeats + rows.repeats, differing + rows.differing]
        })
    }

    /// Rows and copies of a month by partition, as far as written.
    pub fn month_partitions(&self, month: u32) -> BTreeMap<(u32, i32), (u64, u64)> {
        let mut sums = BTreeMap::new();
        let of_files = self
            .files
            .iter()
            .filter(|file| file.month == month)
            .flat_map(|file| &file.partitions);
        for entry in of_files.chain(self.months_done.get(&month).into_iter().flatten()) {
            let sum: &mut (u64, u64) = sums.entry((entry.log_epoch, entry.partition)).or_default();
            sum.0 += entry.rows;
            sum.1 += entry.repeats;
        }
        sums
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::spec::NewExport;
    use super::*;
    use crate::access::TenantId;

    /// A queued export of all events of a tenant.
    pub fn job() -> Job {
        let spec = Spec::new("acme", NewExport::default()).unwrap();
        let caller = Caller::of(TenantId::new("acme").unwrap());
        let request = RequestId::internal("test".to_owned());
        Job::new(Uuid::from_u128(1), spec, &caller, &request, None, 100, 0)
    }

    #[test]
    fn an_export_that_came_to_its_end_stays_as_it_ended() {
        for ended in [State::Complete, State::Cancelled] {
            let mut job = job();
            for state in [State::Running, ended, State::Cancelled, State::Running] {
                job.go_on(state, None);
            }
            job.go_on(State::Failed, Some("too late".to_owned()));
            assert_eq!((job.state, job.error), (ended, None));
        }
    }
}
