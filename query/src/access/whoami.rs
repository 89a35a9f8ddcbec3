//! `GET /v1/whoami`: who the caller is to the service, so that a client offers only what they may do. Open to every
//! authenticated caller.

use std::collections::BTreeSet;

use axum::Json;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::access::{KeyLimits, Permission, Principal, Role};
use crate::handler::Api;

/// The caller, as the service knows them.
#[derive(Debug, Serialize, ToSchema)]
pub struct WhoAmI {
    /// Name of the key, or subject of the token.
    name: String,
    /// Role of the caller.
    role: Role,
    /// Tenant whose rows the caller sees; `*` if each request names the tenant.
    tenant: String,
    /// Teams whose rows the caller sees; empty means all teams of the tenant.
    teams: Vec<String>,
    /// What the caller may do.
    permissions: BTreeSet<Permission>,
    /// Requests per hour.
    requests_per_hour: u32,
    /// Limits of the caller's requests that are lower than the service's.
    limits: KeyLimits,
}

/// The route.
pub fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(who_am_i))
}

/// Shows who you are, and what you may do.
#[utoipa::path(get, path = "/v1/whoami", tag = "access", responses((status = 200, description = "The caller.", body = WhoAmI)))]
pub async fn who_am_i(principal: Principal) -> Json<WhoAmI> {
    let facts = principal.facts();
    Json(WhoAmI {
        name: facts.name.clone(),
        role: facts.role,
        tenant: facts.tenant.as_str().to_owned(),
        teams: facts.teams.clone(),
        permissions: facts.permissions.clone(),
        requests_per_hour: facts.requests_per_hour,
        limits: facts.limits,
    })
}
