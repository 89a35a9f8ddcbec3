//! `/v1/admin/keys`: creates, lists, rotates, ends and revokes keys.
//!
//! Enters: an administrator and their request. Leaves: keys without their secrets; the token of a new secret, once.
//! Guarantees: the administrator of one tenant sees and creates keys of that tenant only, and gets the same answer for
//! a key of another tenant as for one that does not exist; every change is recorded in the audit trail of the key's
//! tenant.

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

/// The routes for administrators.
pub fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(show))
        .routes(routes!(rotate))
        .routes(routes!(expire))
        .routes(routes!(revoke))
        .routes(routes!(review::review))
}

/// Options of a rotation.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Rotation {
    /// How long the previous secret stays valid, in seconds. Default: one day.
    #[schema(maximum = 2592000)]
    overlap_s: Option<u32>,
}

/// Another end of a key.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Expiry {
    /// When the key expires; null: never.
    #[serde(deserialize_with = "Option::deserialize")] // must be there, or it would be taken for null
    #[schema(required, value_type = Option<String>, format = DateTime)]
    expires_at: Option<DateTime<Utc>>,
}

/// A key without its secrets.
#[derive(Debug, Serialize, ToSchema)]
pub struct KeyView {
    id: String,
    name: String,
    role: Role,
    tenant: String,
    teams: Vec<String>,
    /// What the key allows.
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
    /// Number of secrets that are valid now; more than one during a rotation.
    secrets: usize,
    /// Whether the key is valid now.
    in_force: bool,
    /// The last recorded use; recorded periodically, so it may lag behind.
    last_used: Option<Use>,
}

impl KeyView {
    fn with_last_use(key: &Key, gate: &Gate) -> Self {
        Self::new(key, gate.keys.last_use(&key.id))
    }

    /// A key with its last recorded use.
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

/// A key with a new secret. The token is shown only once.
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

/// Lists the keys of the tenants that the caller administers.
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

/// Creates a key.
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

/// Returns one key.
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

/// Replaces the secret of a key.
///
/// The previous secret stays valid for a while, but cannot rotate the key again: if the response was lost, use another
/// key.
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

/// Gives a key that is in force another end.
#[utoipa::path(
    post,
    path = "/v1/admin/keys/{id}/expire",
    tag = "admin",
    params(("id" = String, Path, description = "The key.")),
    request_body = Expiry,
    responses((status = 200, description = "The key.", body = KeyView))
)]
pub async fn expire(
    State(api): State<Api>,
    actor: Actor,
    VisibleKey(key): VisibleKey,
    JsonBody(expiry): JsonBody<Expiry>,
) -> Result<Json<KeyView>, Problem> {
    let key = Changes::new(&api.gate, &actor).expire(&key, expiry.expires_at).await?;
    Ok(Json(KeyView::with_last_use(&key, &api.gate)))
}

/// Revokes a key, immediately and permanently.
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

/// The keys of these tenants, each with its last use.
pub(super) fn visible(gate: &Gate, seen_by: &TenantGrant) -> Vec<(Arc<Key>, Option<Use>)> {
    let keys = gate.keys.all().filter(|key| seen_by.covers(&key.tenant));
    let with_last_use = keys.map(|key| {
        let used = gate.keys.last_use(&key.id);
        (key, used)
    });
    with_last_use.collect()
}

/// The key that the path names, if the caller may see it.
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
