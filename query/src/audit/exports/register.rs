//! The register of exports: who asked for what, how it ended, when it was removed. It is in the journal, so it outlives
//! folder and bucket, and every process knows it; table `audit_exports` shows it in SQL.
//!
//! Enters: jobs. Leaves: records in the journal. Guarantees: a registration is never removed, and that of a removed
//! export never changes again. The journal takes changes in order, so each tenant has at most one of these waiting:
//! nobody keeps others from revoking their keys.

use std::collections::BTreeMap;
use std::time::Duration;

use clickhouse::Row;
use serde::{Deserialize, Serialize};
use tokio::time::timeout;
use uuid::Uuid;

use super::job::{Job, State};
use super::spec::Spec;
use crate::api::places::Places;
use crate::api::{Instant, Problem};
use crate::journal::projection::Projected;
use crate::journal::{Journal, View};

/// Prefix of an export's record in the journal, before its id.
const PREFIX: &str = "export/";
/// How long to look for a record after its writer gave up: the broker may commit it even though nobody waits for the
/// response.
const LATE_MAX: Duration = Duration::from_secs(600);

/// What the register knows of an export.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registration {
    /// The request.
    #[serde(flatten)]
    spec: Spec,
    /// Location such as `s3://BUCKET/PREFIX/ID`; absent if it is in the folder of a process.
    location: Option<String>,
    /// Masked columns by name, and how they are masked.
    masked: BTreeMap<String, String>,
    /// The teams to whose events it is limited, if its requester could see only some teams.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    teams: Vec<String>,
    /// Its requester, by name.
    requested_by: String,
    /// Time of the request.
    requested_at: Instant,
    /// Id of the request.
    request_id: String,
    /// How it ended; absent until then.
    outcome: Option<Outcome>,
    /// When its files were removed.
    removed_at: Option<Instant>,
}

/// How an export ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Outcome {
    state: State,
    error: Option<String>,
    files: u64,
    rows: u64,
    bytes: u64,
    digest: Option<String>,
    completed_at: Option<Instant>,
}

impl Registration {
    fn of(job: &Job) -> Self {
        let outcome = || Outcome {
            state: job.state,
            error: job.error.clone(),
            files: job.files.len() as u64,
            rows: job.rows(),
            bytes: job.bytes(),
            digest: job.digest.clone(),
            completed_at: job.finished_at.map(Instant::from_millis),
        };
        Self {
            spec: job.spec.clone(),
            location: job.location(),
            masked: job.masked.clone(),
            teams: job.teams.clone(),
            requested_by: job.requested_by.clone(),
            requested_at: Instant::from_millis(job.requested_at),
            request_id: job.request_id.clone(),
            outcome: job.state.is_final().then(outcome),
            removed_at: None,
        }
    }

    fn find(view: &View, id: &str) -> Option<Self> {
        let entry = view.get(&format!("{PREFIX}{id}"))?;
        let parsed = entry.parsed();
        parsed
            .inspect_err(|error| tracing::error!(id, %error, "the journal has an export that this release cannot read"))
            .ok()
    }
}

/// The register.
#[derive(Clone)]
pub struct Register {
    journal: Journal,
    /// One registration at a time per tenant.
    turns: Places<String>,
}

impl Register {
    /// In this journal.
    pub fn new(journal: Journal) -> Self {
        Self {
            journal,
            turns: Places::new(1),
        }
    }

    /// Registers the current state of an export, unless it is already there or the export was removed.
    pub async fn enter(&self, job: &Job) -> Result<(), Problem> {
        self.write(job.id, Registration::of(job)).await
    }

    /// Registers that an export's files are removed.
    pub async fn remove(&self, job: &Job, now_ms: i64) -> Result<(), Problem> {
        let removed_at = Some(Instant::from_millis(now_ms));
        self.write(
            job.id,
            Registration {
                removed_at,
                ..Registration::of(job)
            },
        )
        .await
    }

    /// Whether an export's files were removed, or will be.
    pub fn is_removed(&self, id: Uuid) -> bool {
        let registration = self.journal.view(|view| Registration::find(view, &id.to_string()));
        registration.is_some_and(|registration| registration.removed_at.is_some())
    }

    /// Waits until the journal has an export, and returns whether it does.
    pub async fn learns_of(&self, id: Uuid) -> bool {
        let name = format!("{PREFIX}{id}");
        let is_there = || self.journal.view(|view| view.get(&name).is_some());
        let mut changes = self.journal.changes();
        let learned = timeout(LATE_MAX, changes.wait_for(|_| is_there())).await;
        learned.is_ok_and(|learned| learned.is_ok())
    }

    async fn write(&self, id: Uuid, registration: Registration) -> Result<(), Problem> {
        let is_due = move |view: &View, registration: &Registration| {
            Registration::find(view, &id.to_string())
                .is_none_or(|known| known.removed_at.is_none() && known != *registration)
        };
        let _turn = self.turns.turn(registration.spec.tenant_id.clone()).await?;
        if !self.journal.view(|view| is_due(view, &registration)) {
            return Ok(());
        }
        let decide = move |view: &View| {
            let value = serde_json::to_value(&registration).map_err(|_| Problem::Internal)?;
            let change = is_due(view, &registration).then(|| (format!("{PREFIX}{id}"), Some(value)));
            Ok::<_, Problem>((change.into_iter().collect(), ()))
        };
        Ok(self.journal.update(decide).await?)
    }
}

/// A row of `audit_exports`. Times are milliseconds since 1970.
#[derive(Debug, Row, Serialize)]
pub struct AuditExport {
    #[serde(with = "clickhouse::serde::uuid")]
    export_id: Uuid,
    tenant: String,
    filter: Vec<(String, String)>,
    format: String,
    compression: String,
    masked: Vec<(String, String)>,
    teams: Vec<String>,
    location: String,
    requested_by: String,
    requested_at: i64,
    request_id: String,
    state: String,
    error: String,
    files: u64,
    rows: u64,
    bytes: u64,
    digest: String,
    completed_at: Option<i64>,
    removed_at: Option<i64>,
    version: u64,
}

impl AuditExport {
    fn new(export_id: Uuid, registration: Registration, version: i64) -> Self {
        let millis = |time: Instant| time.micros() / 1000;
        let outcome = registration.outcome.as_ref();
        let text = |text: Option<&String>| text.cloned().unwrap_or_default();
        Self {
            export_id,
            tenant: registration.spec.tenant_id,
            filter: registration.spec.filter.into_iter().collect(),
            format: word(registration.spec.format),
            compression: word(registration.spec.compression),
            masked: registration.masked.into_iter().collect(),
            teams: registration.teams,
            location: registration.location.unwrap_or_default(),
            requested_by: registration.requested_by,
            requested_at: millis(registration.requested_at),
            request_id: registration.request_id,
            state: outcome.map(|outcome| word(outcome.state)).unwrap_or_default(),
            error: text(outcome.and_then(|outcome| outcome.error.as_ref())),
            files: outcome.map_or(0, |outcome| outcome.files),
            rows: outcome.map_or(0, |outcome| outcome.rows),
            bytes: outcome.map_or(0, |outcome| outcome.bytes),
            digest: text(outcome.and_then(|outcome| outcome.digest.as_ref())),
            completed_at: outcome.and_then(|outcome| outcome.completed_at).map(millis),
            removed_at: registration.removed_at.map(millis),
            version: u64::try_from(version).unwrap_or_default(),
        }
    }
}

/// A value as the API spells it.
fn word(value: impl Serialize) -> String {
    let value = serde_json::to_value(value).unwrap_or_default();
    value.as_str().unwrap_or_default().to_owned()
}

impl Projected for Register {
    type Row = AuditExport;
    const TABLE: &'static str = "audit_exports";

    fn versions(&self) -> Vec<(String, i64)> {
        self.journal.view(|view| view.versions(PREFIX))
    }

    fn row(&self, id: &str, version: i64) -> Option<AuditExport> {
        let registration = self.journal.view(|view| Registration::find(view, id))?;
        Some(AuditExport::new(id.parse().ok()?, registration, version))
    }
}
