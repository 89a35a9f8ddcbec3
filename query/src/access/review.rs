//! `/v1/admin/access-review`: who may see what, and when they last did.
//!
//! Enters: an administrator. Leaves: every key of the tenants that they administer, and every subject of the identity
//! provider that sent a token for one of them, with what is masked for it and why it should be reviewed. The review
//! itself is recorded in the trail.

use std::collections::{BTreeMap, BTreeSet};

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use horolog_schemas::Kind;
use serde::Serialize;
use utoipa::ToSchema;

use crate::access::admin::{KeyView, visible};
use crate::access::gate::Gate;
use crate::access::key::unused_note;
use crate::access::last_use::Use;
use crate::access::mask::{Mask, masked};
use crate::access::subject::{self, Subject};
use crate::access::trail::{Act, Actor};
use crate::access::{Permission, Principal, Role, TenantGrant};
use crate::api::Problem;
use crate::handler::Api;

/// Who may see what, and when they last did.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReviewAnswer {
    /// The time of this review.
    #[schema(value_type = String, format = DateTime)]
    as_of: DateTime<Utc>,
    /// The keys.
    rows: Vec<ReviewRow>,
    /// Subjects that sent a token of the identity provider in the last 400 days. Only the provider knows who else
    /// could.
    subjects: Vec<SubjectRow>,
}

/// One holder of a key.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReviewRow {
    #[serde(flatten)]
    key: KeyView,
    /// The fields of audit events that are masked for it; empty if it cannot see events.
    masked: BTreeMap<&'static str, Mask>,
    /// Why it should be reviewed.
    notes: Vec<&'static str>,
}

/// A subject of the identity provider, according to its last token.
#[derive(Debug, Serialize, ToSchema)]
pub struct SubjectRow {
    subject: String,
    role: Role,
    tenant: String,
    teams: Vec<String>,
    /// What it may do.
    permissions: BTreeSet<Permission>,
    /// The last recorded use; recorded periodically, so it may lag behind.
    last_used: Use,
    /// The fields of audit events that are masked for it; empty if it cannot see events.
    masked: BTreeMap<&'static str, Mask>,
    /// Why it should be reviewed.
    notes: Vec<&'static str>,
}

/// Shows who may see what, and when they last did.
#[utoipa::path(
    get,
    path = "/v1/admin/access-review",
    tag = "admin",
    responses((status = 200, description = "Every key and every subject with what it shows.", body = ReviewAnswer))
)]
pub async fn review(State(api): State<Api>, principal: Principal, actor: Actor) -> Result<Json<ReviewAnswer>, Problem> {
    let seen_by = &principal.facts().tenant;
    let look = || review_of(&api.gate, seen_by, Utc::now());
    let answer = api.gate.look(seen_by, look).await?;
    let facts = BTreeMap::from([
        ("keys".to_owned(), answer.rows.len().to_string()),
        ("subjects".to_owned(), answer.subjects.len().to_string()),
    ]);
    let tenant = api.gate.tenant_of(seen_by);
    let act = Act::done(tenant, "access.review", ("access", String::new()), facts);
    api.gate.trail.record(&actor, act).await?;
    Ok(Json(answer))
}

/// The review for an administrator of these tenants.
pub fn review_of(gate: &Gate, seen_by: &TenantGrant, now: DateTime<Utc>) -> ReviewAnswer {
    let mut subjects = gate.keys.journal().view(subject::all);
    subjects.retain(|subject| seen_by.covers(&subject.facts.tenant));
    ReviewAnswer {
        as_of: now,
        rows: visible(gate, seen_by)
            .iter()
            .map(|(key, used)| ReviewRow {
                key: KeyView::new(key, *used),
                masked: masked_for(&key.principal()),
                notes: key.notes(used.map(|used| used.at), now),
            })
            .collect(),
        subjects: subjects.into_iter().map(|subject| subject_row(subject, now)).collect(),
    }
}

fn subject_row(subject: Subject, now: DateTime<Utc>) -> SubjectRow {
    SubjectRow {
        masked: masked_for(&subject.principal()),
        notes: unused_note(subject.used.at, now).into_iter().collect(),
        last_used: subject.used,
        subject: subject.facts.name,
        role: subject.facts.role,
        tenant: subject.facts.tenant.as_str().to_owned(),
        teams: subject.facts.teams,
        permissions: subject.facts.permissions,
    }
}

/// Empty if the principal cannot see events.
pub fn masked_for(principal: &Principal) -> BTreeMap<&'static str, Mask> {
    match principal.reads_events() {
        true => masked(principal, Kind::AuditEvent).into_iter().collect(),
        false => BTreeMap::new(),
    }
}
