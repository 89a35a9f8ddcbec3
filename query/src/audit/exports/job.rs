//! An export as it is known to its shelf, its queue and its requester.
//!
//! Enters: what was asked, then what was done, file by file. Leaves: JSON, on disk for the next start and over HTTP as
//! progress. What is in `files` is finished: it is never written again. Pure.

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

/// What an export is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = ExportState)]
pub enum State {
    /// Waits for its turn.
    Queued,
    /// Is being written.
    Running,
    /// Is there, with its manifest.
    Complete,
    /// Will not become complete; [`Job::error`] says why.
    Failed,
    /// Was ended by its requester.
    Cancelled,
}

impl State {
    /// Whether nothing will happen any more.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Complete | Self::Failed | Self::Cancelled)
    }
}

/// A row's place in the order of an export.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// Microseconds since 1970.
    pub occurred_at: i64,
    /// The event.
    pub event_id: String,
    /// Life of the log.
    pub log_epoch: u32,
    /// The partition.
    pub partition: i32,
    /// The offset.
    pub offset: i64,
}

/// Rows of one partition in a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionRows {
    /// Life of the log.
    pub log_epoch: u32,
    /// The partition.
    pub partition: i32,
    /// Rows written.
    pub rows: u64,
    /// Later copies of events, met and left out.
    pub repeats: u64,
    /// Smallest offset written; 0 where no row was.
    pub first_offset: i64,
    /// Largest offset written; 0 where no row was.
    pub last_offset: i64,
}

/// A finished file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// Its name.
    pub name: String,
    /// As `202601`.
    pub month: u32,
    /// Rows in it.
    pub rows: u64,
    /// Its size.
    pub bytes: u64,
    /// SHA-256 of its bytes, hexadecimal.
    pub sha256: String,
    /// Its first row.
    pub first: Key,
    /// Its last row, after which the next file of the month begins.
    pub last: Key,
    /// Its rows by partition.
    pub partitions: Vec<PartitionRows>,
}

/// Where an export stands in a list: newest first.
pub type Position = (Reverse<i64>, Uuid);

/// An export.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Job {
    /// Its name, also that of its folder.
    pub id: Uuid,
    /// What was asked.
    pub spec: Spec,
    /// Bucket and prefix that its files lie in, as `s3://BUCKET/PREFIX`; none, and they lie in the folder. Kept, so that a
    /// changed setting does not make them look lost.
    pub bucket: Option<String>,
    /// Who asked, and what they could see then.
    pub caller: KeptCaller,
    /// Who asked, in words.
    pub requested_by: String,
    /// The request.
    pub request_id: String,
    /// When it was asked, milliseconds since 1970.
    pub requested_at: i64,
    /// Rows of a file at most; kept, so that a changed setting does not change an export under way.
    pub rows_per_file: u64,
    /// Columns whose values are not shown as they were recorded, and how, by name.
    pub masked: BTreeMap<String, String>,
    /// Its columns; kept, so that the files of an export that is under way at an upgrade are of one shape.
    #[serde(default = "columns::names")]
    pub columns: Vec<String>,
    /// The teams whose events its requester could see; all of the tenant's where empty.
    #[serde(default)]
    pub teams: Vec<String>,
    /// What it is doing.
    pub state: State,
    /// Why it failed.
    pub error: Option<String>,
    /// What it is bounded by, once it began.
    pub snapshot: Option<Snapshot>,
    /// What it will meet, once it was counted.
    pub plan: Option<Vec<Count>>,
    /// Whether later copies of events were looked for; an export that an earlier release began looks again.
    #[serde(default)]
    pub copies_found: bool,
    /// Finished files.
    pub files: Vec<FileEntry>,
    /// Later copies behind the last row of a month's last file, by month. A month is done when it has an entry.
    pub months_done: BTreeMap<u32, Vec<PartitionRows>>,
    /// When it came to its end, milliseconds since 1970.
    pub finished_at: Option<i64>,
    /// SHA-256 of the manifest, which names all files by theirs.
    pub digest: Option<String>,
}

impl Job {
    /// One that waits for its turn; `now_ms` is when it was asked, milliseconds since 1970.
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
            copies_found: false,
            files: Vec::new(),
            months_done: BTreeMap::new(),
            finished_at: None,
            digest: None,
        }
    }

    /// Goes on to a state, and says why where that is a failure. One that came to its end stays as it ended, whoever comes later.
    pub fn go_on(&mut self, state: State, error: Option<String>) {
        if !self.state.is_final() {
            (self.state, self.error) = (state, error);
        }
    }

    /// How many steps it has come so far: they only ever become more.
    pub fn steps_done(&self) -> usize {
        let questions = [self.snapshot.is_some(), self.plan.is_some(), self.copies_found];
        let answered = questions.into_iter().filter(|is_answered| *is_answered).count();
        answered + self.files.len() + self.months_done.len()
    }

    /// Its columns. Fails where an earlier or a later release had one that this one has not.
    pub fn schema(&self) -> Result<SchemaRef, ArrowError> {
        let names = self.columns.iter().map(String::as_str);
        let unknown =
            || ArrowError::SchemaError("another release had other columns; ask for the export again".to_owned());
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

    /// Where its files lie, as `s3://BUCKET/PREFIX/ID`; none where that is the folder.
    pub fn location(&self) -> Option<String> {
        self.bucket.as_ref().map(|bucket| format!("{bucket}/{}", self.id))
    }

    /// Where it stands in a list.
    pub fn position(&self) -> Position {
        (Reverse(Instant::from_millis(self.requested_at).micros()), self.id)
    }

    /// Rows it will meet, copies of an event each.
    pub fn rows_planned(&self) -> Option<u64> {
        self.plan.as_ref().map(|plan| plan.iter().map(|count| count.rows).sum())
    }

    /// The months that are to be written.
    pub fn months_left(&self) -> Vec<u32> {
        let mut months: Vec<u32> = self.plan.iter().flatten().map(|count| count.month).collect();
        months.dedup();
        months.retain(|month| !self.months_done.contains_key(month));
        months
    }

    /// Rows and copies of a month by partition, as far as it is written.
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

    /// As its requester sees it.
    pub fn shown(&self, rows_now: u64) -> Shown {
        Shown {
            summary: self.summary(rows_now),
            files: self.files.iter().map(ShownFile::of).collect(),
        }
    }

    /// As a list of exports has it.
    pub fn summary(&self, rows_now: u64) -> Summary {
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
            bytes: self.bytes(),
            file_count: self.files.len(),
            location: self.location(),
            digest: self.digest.clone(),
        }
    }
}

/// An export, over HTTP.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Export)]
pub struct Shown {
    /// What a list says of it.
    #[serde(flatten)]
    pub summary: Summary,
    /// Finished files.
    pub files: Vec<ShownFile>,
}

/// An export without its files, over HTTP.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = ExportSummary)]
pub struct Summary {
    /// Its name.
    pub id: Uuid,
    /// What it is doing.
    pub state: State,
    /// Why it failed.
    pub error: Option<String>,
    /// What was asked.
    #[serde(flatten)]
    pub spec: Spec,
    /// The teams whose events its requester could see, and of whom alone it holds events; all of the tenant's where empty.
    pub teams: Vec<String>,
    /// Who asked.
    pub requested_by: String,
    /// When it was asked.
    pub requested_at: Instant,
    /// When it came to its end.
    pub finished_at: Option<Instant>,
    /// Rows written so far.
    pub rows: u64,
    /// Rows it will meet; repeated events are met more than once and written once.
    pub rows_planned: Option<u64>,
    /// Bytes of finished files.
    pub bytes: u64,
    /// How many files are finished.
    pub file_count: usize,
    /// Where its files lie, as `s3://BUCKET/PREFIX/ID`; none where that is a folder of this service.
    pub location: Option<String>,
    /// SHA-256 of the manifest.
    pub digest: Option<String>,
}

impl Summary {
    /// Where it stands in a list.
    pub fn position(&self) -> Position {
        (Reverse(self.requested_at.micros()), self.id)
    }
}

/// A file, over HTTP.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = ExportFile)]
pub struct ShownFile {
    /// Its name.
    pub name: String,
    /// Rows in it.
    pub rows: u64,
    /// Its size.
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

#[cfg(test)]
pub(super) mod tests {
    use super::super::spec::NewExport;
    use super::*;
    use crate::access::TenantId;

    /// One that waits for its turn, of all events of a tenant.
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
