//! `GET /v1/whoami`: who the caller is to the service, so that a client offers no more than they may. Whoever is let in may ask.

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
    /// What people call it: a key's name, or the subject of a token.
    name: String,
    /// What it is.
    role: Role,
    /// Whose rows it sees: a tenant's, or, where `*`, those of the tenant that a request names.
    tenant: String,
    /// The teams whose rows it sees; all of the tenant's where empty.
    teams: Vec<String>,
    /// What it may do.
    permissions: BTreeSet<Permission>,
    /// Requests an hour.
    requests_per_hour: u32,
    /// What its requests may take, where that is less than the service allows.
    limits: KeyLimits,
}

/// The route.
pub fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(who_am_i))
}

/// Who you are, and what you may do.
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
