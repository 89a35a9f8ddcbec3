//! `/v1/admin/keys`: keys are created, listed, rotated and revoked.
//!
//! Enters: an administrator and what they want. Leaves: keys without their secrets; the token of a new secret, once.
//! Guarantees: whoever administers one tenant sees and makes the keys of that tenant only, and a key of another tenant is as
//! absent as one that does not exist; every change is recorded in the audit trail of the key's tenant.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Json;
use axum::extract::{FromRequestParts, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::access::changes::{Changes, OVERLAP_DEFAULT_S};
use crate::access::gate::Gate;
use crate::access::key::Key;
use crate::access::last_use::Use;
use crate::access::new_key::NewKey;
use crate::access::review;
use crate::access::token::{KeyId, Token};
use crate::access::trail::Actor;
use crate::access::{KeyLimits, Permission, Principal, Role, TenantGrant};
use crate::api::body::JsonBody;
use crate::api::{Named, Problem};
use crate::handler::Api;

/// What administrators do.
pub fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(show))
        .routes(routes!(rotate))
        .routes(routes!(revoke))
        .routes(routes!(review::review))
}

/// How a key is rotated.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Rotation {
    /// How long the secret before is taken. Seconds; a day where it is not said.
    #[schema(maximum = 2592000)]
    overlap_s: Option<u32>,
}

/// A key, without its secrets.
#[derive(Debug, Serialize, ToSchema)]
pub struct KeyView {
    id: String,
    name: String,
    role: Role,
    tenant: String,
    teams: Vec<String>,
    /// What it may do.
    permissions: BTreeSet<Permission>,
    addresses: Vec<String>,
    requests_per_hour: u32,
    limits: KeyLimits,
    #[schema(value_type = String, format = DateTime)]
    created_at: DateTime<Utc>,
    created_by: String,
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<DateTime<Utc>>,
    #[schema(value_type = Option<String>, format = DateTime)]
    revoked_at: Option<DateTime<Utc>>,
    /// Secrets that are taken now; two while it is rotated.
    secrets: usize,
    /// Whether it is taken now.
    in_force: bool,
    /// As far as it was written down, which is done now and then.
    last_used: Option<Use>,
}

impl KeyView {
    fn with_last_use(key: &Key, gate: &Gate) -> Self {
        Self::new(key, gate.keys.last_use(&key.id))
    }

    /// A key that was used so.
    pub(super) fn new(key: &Key, last_used: Option<Use>) -> Self {
        let now = Utc::now();
        Self {
            id: key.id.to_string(),
            name: key.name.clone(),
            role: key.role,
            tenant: key.tenant.as_str().to_owned(),
            teams: key.teams.clone(),
            permissions: key.permissions(),
            addresses: key.addresses.iter().map(ToString::to_string).collect(),
            requests_per_hour: key.requests_per_hour,
            limits: key.limits,
            created_at: key.created_at,
            created_by: key.created_by.clone(),
            expires_at: key.expires_at,
            revoked_at: key.revoked_at,
            secrets: key.secrets_in_force(now),
            in_force: key.is_in_force(now),
            last_used,
        }
    }
}

/// A key with a new secret, which is shown this once.
#[derive(Debug, Serialize, ToSchema)]
pub struct KeyAndToken {
    key: KeyView,
    /// For the header `authorization: Bearer …`.
    token: String,
}

/// Keys.
#[derive(Debug, Serialize, ToSchema)]
pub struct KeysAnswer {
    rows: Vec<KeyView>,
}

/// The keys that this administrator may see.
#[utoipa::path(get, path = "/v1/admin/keys", tag = "admin", responses((status = 200, description = "All keys.", body = KeysAnswer)))]
pub async fn list(State(api): State<Api>, principal: Principal) -> Result<Json<KeysAnswer>, Problem> {
    let seen_by = &principal.facts().tenant;
    let look = || {
        let keys = visible(&api.gate, seen_by);
        let rows = keys.iter().map(|(key, used)| KeyView::new(key, *used));
        rows.collect::<Vec<_>>()
    };
    let rows = api.gate.look(seen_by, look).await?;
    Ok(Json(KeysAnswer { rows }))
}

/// A new key.
#[utoipa::path(
    post,
    path = "/v1/admin/keys",
    tag = "admin",
    request_body = NewKey,
    responses((status = 201, description = "The key, and its token.", body = KeyAndToken))
)]
pub async fn create(
    State(api): State<Api>,
    actor: Actor,
    JsonBody(new): JsonBody<NewKey>,
) -> Result<(StatusCode, Json<KeyAndToken>), Problem> {
    let (key, token) = Changes::new(&api.gate, &actor).create(new).await?;
    Ok((StatusCode::CREATED, Json(answer(&key, &token))))
}

/// One key.
#[utoipa::path(
    get,
    path = "/v1/admin/keys/{id}",
    tag = "admin",
    params(("id" = String, Path, description = "The key.")),
    responses((status = 200, description = "The key.", body = KeyView))
)]
pub async fn show(State(api): State<Api>, VisibleKey(key): VisibleKey) -> Json<KeyView> {
    Json(KeyView::with_last_use(&key, &api.gate))
}

/// A new secret for a key; the one before is taken for a while yet, and cannot rotate the key again: when the answer was lost, come with another key.
#[utoipa::path(
    post,
    path = "/v1/admin/keys/{id}/rotate",
    tag = "admin",
    params(("id" = String, Path, description = "The key.")),
    request_body = Rotation,
    responses((status = 200, description = "The key, and its new token.", body = KeyAndToken))
)]
pub async fn rotate(
    State(api): State<Api>,
    actor: Actor,
    VisibleKey(key): VisibleKey,
    JsonBody(rotation): JsonBody<Rotation>,
) -> Result<Json<KeyAndToken>, Problem> {
    let overlap_s = rotation.overlap_s.unwrap_or(OVERLAP_DEFAULT_S);
    let (key, token) = Changes::new(&api.gate, &actor).rotate(&key, overlap_s).await?;
    Ok(Json(answer(&key, &token)))
}

/// The end of a key, at once and for good.
#[utoipa::path(
    post,
    path = "/v1/admin/keys/{id}/revoke",
    tag = "admin",
    params(("id" = String, Path, description = "The key.")),
    responses((status = 200, description = "The key.", body = KeyView))
)]
pub async fn revoke(
    State(api): State<Api>,
    actor: Actor,
    VisibleKey(key): VisibleKey,
) -> Result<Json<KeyView>, Problem> {
    let key = Changes::new(&api.gate, &actor).revoke(&key).await?;
    Ok(Json(KeyView::with_last_use(&key, &api.gate)))
}

/// The keys of these tenants, with their last use.
pub(super) fn visible(gate: &Gate, seen_by: &TenantGrant) -> Vec<(Arc<Key>, Option<Use>)> {
    let keys = gate.keys.all().filter(|key| seen_by.covers(&key.tenant));
    let with_last_use = keys.map(|key| {
        let used = gate.keys.last_use(&key.id);
        (key, used)
    });
    with_last_use.collect()
}

/// The key that the path names, where the caller may see it.
pub struct VisibleKey(Arc<Key>);

impl FromRequestParts<Api> for VisibleKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        let principal = Principal::from_request_parts(parts, api).await?;
        let Named(id) = Named::<String>::from_request_parts(parts, api).await?;
        let key = KeyId::parse(&id).and_then(|id| api.gate.keys.get(&id));
        let key = key.filter(|key| principal.facts().tenant.covers(&key.tenant));
        key.map(Self).ok_or(Problem::NotFound)
    }
}

fn answer(key: &Key, token: &Token) -> KeyAndToken {
    KeyAndToken {
        key: KeyView::new(key, None),
        token: token.expose().to_owned(),
    }
}
