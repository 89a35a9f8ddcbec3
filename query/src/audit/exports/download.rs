//! `GET /v1/audit/exports/{id}/files/{name}`: a finished file, whole or in ranges (RFC 9110, 14).
//!
//! Enters: the name of a file of an export of the caller's tenant. Leaves: its bytes. Only names that the export has are looked
//! up, so no path can be smuggled in; a file is there once it is finished, also while others are still being written.

use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use tower::ServiceExt;
use tower_http::services::ServeFile;

use super::handlers::export_id;
use super::manifest::{DIGEST_NAME, NAME, SIGNATURE_NAME};
use crate::access::Caller;
use crate::api::{Api, Problem};

/// A file of an export, whole or in ranges. `manifest.json` is there once the export is complete.
#[utoipa::path(
    get,
    path = "/v1/audit/exports/{id}/files/{name}",
    tag = "audit",
    params(("id" = uuid::Uuid, Path, description = "The export."), ("name" = String, Path, description = "The file.")),
    responses(
        (status = 200, description = "The file.", content_type = "application/octet-stream"),
        (status = 206, description = "The range of it that was asked for.", content_type = "application/octet-stream"),
    )
)]
pub async fn download(
    State(api): State<Api>,
    caller: Caller,
    Path((id, name)): Path<(String, String)>,
    request: Request,
) -> Result<Response, Problem> {
    let (exports, id) = (api.exports()?, export_id(&id)?);
    let shown = exports.get(caller.tenant().as_str(), id)?;
    let beside = [NAME, DIGEST_NAME, SIGNATURE_NAME].contains(&name.as_str());
    if !beside && !shown.files.iter().any(|file| file.name == name) {
        return Err(Problem::NotFound);
    }
    let service = ServeFile::new(exports.shelf.files(id).join(&name));
    let Ok(response) = service.oneshot(request).await;
    if response.status() == axum::http::StatusCode::NOT_FOUND {
        return Err(Problem::NotFound);
    }
    let mut response = response.map(Body::new).into_response();
    let headers = response.headers_mut();
    let media = if name == NAME {
        "application/json"
    } else {
        "application/octet-stream"
    };
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
    if let Ok(value) = HeaderValue::from_str(&format!("attachment; filename=\"{name}\"")) {
        headers.insert(header::CONTENT_DISPOSITION, value);
    }
    Ok(response)
}
