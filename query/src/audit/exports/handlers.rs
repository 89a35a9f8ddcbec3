//! `/v1/audit/exports`: asked for, listed, looked at, ended, removed.
//!
//! Enters: requests of a caller. Leaves: JSON. An export of another tenant is not there.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderName, StatusCode, header};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::download;
use super::job::Shown;
use super::spec::{NewExport, Spec};
use crate::access::Caller;
use crate::api::body::JsonBody;
use crate::api::{Api, Problem, RequestId};

/// All exports of a tenant.
#[derive(Debug, Serialize, ToSchema)]
pub struct ExportsAnswer {
    /// Newest first.
    rows: Vec<Shown>,
}

/// The routes.
pub fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(get, delete))
        .routes(routes!(download::download))
}

/// Asks for an export of audit events. It is written in the background: look at it until its state is `complete`.
#[utoipa::path(
    post,
    path = "/v1/audit/exports",
    tag = "audit",
    request_body = NewExport,
    responses((status = 202, description = "The export, which waits for its turn. Location is where to look at it.", body = Shown))
)]
pub async fn create(
    State(api): State<Api>,
    caller: Caller,
    request: RequestId,
    JsonBody(asked): JsonBody<NewExport>,
) -> Result<(StatusCode, [(HeaderName, String); 1], Json<Shown>), Problem> {
    let spec = Spec::new(caller.tenant().as_str(), asked)?;
    let shown = api.exports()?.submit(spec, &caller, &request)?;
    let location = format!("/v1/audit/exports/{}", shown.id);
    Ok((StatusCode::ACCEPTED, [(header::LOCATION, location)], Json(shown)))
}

/// Exports of audit events, newest first.
#[utoipa::path(
    get,
    path = "/v1/audit/exports",
    tag = "audit",
    responses((status = 200, description = "The exports.", body = ExportsAnswer))
)]
pub async fn list(State(api): State<Api>, caller: Caller) -> Result<Json<ExportsAnswer>, Problem> {
    Ok(Json(ExportsAnswer {
        rows: api.exports()?.list(caller.tenant().as_str()),
    }))
}

/// One export: its state, its progress, its files.
#[utoipa::path(
    get,
    path = "/v1/audit/exports/{id}",
    tag = "audit",
    params(("id" = Uuid, Path, description = "The export.")),
    responses((status = 200, description = "The export.", body = Shown))
)]
pub async fn get(State(api): State<Api>, caller: Caller, Path(id): Path<String>) -> Result<Json<Shown>, Problem> {
    Ok(Json(api.exports()?.get(caller.tenant().as_str(), export_id(&id)?)?))
}

/// Ends an export that is under way; removes one that came to its end, with its files.
#[utoipa::path(
    delete,
    path = "/v1/audit/exports/{id}",
    tag = "audit",
    params(("id" = Uuid, Path, description = "The export.")),
    responses((status = 204, description = "It is ended, or gone."))
)]
pub async fn delete(State(api): State<Api>, caller: Caller, Path(id): Path<String>) -> Result<StatusCode, Problem> {
    api.exports()?.delete(caller.tenant().as_str(), export_id(&id)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What is no id is the id of nothing.
pub(super) fn export_id(text: &str) -> Result<Uuid, Problem> {
    text.parse().map_err(|_| Problem::NotFound)
}
