//! `/v1/audit/exports`: creates, lists, shows, cancels and removes exports.
//!
//! Enters: requests of a caller. Leaves: JSON. An export of another tenant, or one that shows more than the caller may
//! see, does not exist for the caller; creating and removing one are audit events, acknowledged before they take
//! effect.

use axum::extract::State;
use axum::http::{HeaderName, StatusCode, header};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::download;
use super::shown::{Shown, Summary};
use super::spec::{NewExport, Spec};
use crate::access::Caller;
use crate::access::trail::{Act, Actor, Recorded};
use crate::api::body::JsonBody;
use crate::api::page::{Limit, Page};
use crate::api::{Asked, Named, Problem, RequestId};
use crate::handler::Api;

/// A page of exports.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default)]
pub struct ExportsParameters {
    /// Exports per page.
    #[param(inline)]
    limit: Limit<1_000, 10_000>,
    /// `next_cursor` of the previous page.
    cursor: Option<String>,
}

/// A page of the exports of a tenant.
#[derive(Debug, Serialize, ToSchema)]
pub struct ExportsAnswer {
    /// Newest first, without files; request a single export to see its files.
    rows: Vec<Summary>,
    /// Cursor of the next page; `null` at the end.
    next_cursor: Option<String>,
}

/// The routes.
pub fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(get, delete))
        .routes(routes!(download::download))
}

/// Creates an export of audit events.
///
/// It is written in the background: poll it until its state is `complete`.
#[utoipa::path(
    post,
    path = "/v1/audit/exports",
    tag = "audit",
    request_body = NewExport,
    responses((status = 202, description = "The export, which is queued. Location is its URL.", body = Shown))
)]
pub async fn create(
    State(api): State<Api>,
    caller: Caller,
    actor: Actor,
    request: RequestId,
    JsonBody(asked): JsonBody<NewExport>,
) -> Result<(StatusCode, [(HeaderName, String); 1], Extension<Recorded>, Json<Shown>), Problem> {
    let spec = Spec::new(caller.tenant().as_str(), asked)?;
    let (exports, id) = (api.exports()?, Uuid::new_v4());
    // Trail first: an export without a record is worse than a record of an export that was not created.
    let act = act(&caller, "export.create", id, &spec, caller.teams());
    api.gate.trail.record(&actor, act).await?;
    let shown = exports.submit(id, spec, &caller, &request).await?;
    let location = format!("/v1/audit/exports/{id}");
    let headers = [(header::LOCATION, location)];
    Ok((StatusCode::ACCEPTED, headers, Extension(Recorded), Json(shown)))
}

/// Lists exports of audit events, newest first, without their files.
#[utoipa::path(
    get,
    path = "/v1/audit/exports",
    tag = "audit",
    params(ExportsParameters),
    responses((status = 200, description = "A page of exports.", body = ExportsAnswer))
)]
pub async fn list(
    State(api): State<Api>,
    caller: Caller,
    Asked(asked): Asked<ExportsParameters>,
) -> Result<Json<ExportsAnswer>, Problem> {
    let cursors = api.gate.cursor_key.bind("audit/exports", &caller, &asked)?;
    let after = cursors.key(asked.cursor.as_deref())?;
    let mut page = Page::new(asked.limit.rows(), api.config.limits.page_bytes_max);
    api.exports()?.list(&caller, after, &mut page);
    let next_cursor = page.continues_after().map(|last| cursors.after(&last.position()));
    Ok(Json(ExportsAnswer {
        next_cursor: next_cursor.transpose()?,
        rows: page.into_rows(),
    }))
}

/// Shows one export: its state, progress and files.
#[utoipa::path(
    get,
    path = "/v1/audit/exports/{id}",
    tag = "audit",
    params(("id" = Uuid, Path, description = "The export.")),
    responses((status = 200, description = "The export.", body = Shown))
)]
pub async fn get(State(api): State<Api>, caller: Caller, Named(id): Named<String>) -> Result<Json<Shown>, Problem> {
    Ok(Json(api.exports()?.get(&caller, export_id(&id)?)?))
}

/// Cancels an export that is queued or running; removes a finished one with its files.
#[utoipa::path(
    delete,
    path = "/v1/audit/exports/{id}",
    tag = "audit",
    params(("id" = Uuid, Path, description = "The export.")),
    responses((status = 204, description = "The export is cancelled or removed."))
)]
pub async fn delete(
    State(api): State<Api>,
    caller: Caller,
    actor: Actor,
    Named(id): Named<String>,
) -> Result<(StatusCode, Extension<Recorded>), Problem> {
    let (exports, id) = (api.exports()?, export_id(&id)?);
    let shown = exports.get(&caller, id)?;
    let act = act(&caller, "export.delete", id, &shown.summary.spec, &shown.summary.teams);
    api.gate.trail.record(&actor, act).await?;
    exports.delete(&caller, id).await?;
    Ok((StatusCode::NO_CONTENT, Extension(Recorded)))
}

fn act(caller: &Caller, action: &'static str, id: Uuid, spec: &Spec, teams: &[String]) -> Act {
    let asked = serde_json::to_string(spec).unwrap_or_default();
    let teams = (!teams.is_empty()).then(|| ("teams".to_owned(), serde_json::to_string(teams).unwrap_or_default()));
    let facts = [("asked".to_owned(), asked)].into_iter().chain(teams).collect();
    Act::done(caller.tenant().clone(), action, ("export", id.to_string()), facts)
}

/// Whatever is not a UUID names no export.
pub(super) fn export_id(text: &str) -> Result<Uuid, Problem> {
    text.parse().map_err(|_| Problem::NotFound)
}
