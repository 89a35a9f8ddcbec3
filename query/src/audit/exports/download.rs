//! `GET /v1/audit/exports/{id}/files/{name}`: a finished file, whole or in ranges (RFC 9110, 14).
//!
//! Enters: the name of a file of an export of the caller's tenant. Leaves: its bytes, from folder or bucket. Only names
//! that the export lists are looked up, so path traversal is impossible; a finished file is available while others are
//! still being written. Its tag is its SHA-256, so a download that is resumed later continues with the same file. It is
//! cut off if the caller's key, or their secret of it, ends meanwhile.

use std::io;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::Utc;
use futures_util::StreamExt;

use super::bucket::BucketError;
use super::handlers::export_id;
use super::job::Job;
use super::manifest::{DIGEST_NAME, NAME, SIGNATURE_NAME};
use super::ranges::{Wanted, wanted};
use super::shelf::Shelf;
use crate::access::key::Key;
use crate::access::keys::Keys;
use crate::access::{Caller, Facts, Identity};
use crate::api::caching::is_known;
use crate::api::{Named, Problem};
use crate::handler::Api;

/// Downloads a file of an export, whole or in ranges.
///
/// `manifest.json` exists once the export is complete.
#[utoipa::path(
    get,
    path = "/v1/audit/exports/{id}/files/{name}",
    tag = "audit",
    params(("id" = uuid::Uuid, Path, description = "The export."), ("name" = String, Path, description = "The file.")),
    responses(
        (status = 200, description = "The file.", content_type = "application/octet-stream"),
        (status = 206, description = "The requested range of the file.", content_type = "application/octet-stream"),
    )
)]
pub async fn download(
    State(api): State<Api>,
    caller: Caller,
    Named((id, name)): Named<(String, String)>,
    asked: HeaderMap,
) -> Result<Response, Problem> {
    let (exports, id) = (api.exports()?, export_id(&id)?);
    let job = exports.job(&caller, id)?;
    let file = Stated::find(&exports.shelf, &job, &name).await?;
    let mut answer = HeaderMap::new();
    let mut say = |name: HeaderName, value: String| {
        if let Ok(value) = HeaderValue::from_str(&value) {
            answer.insert(name, value);
        }
    };
    say(header::ACCEPT_RANGES, "bytes".to_owned());
    if let Some(tag) = file.tag() {
        if is_known(&asked, &tag) {
            return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, tag)]).into_response());
        }
        say(header::ETAG, tag);
    }
    let (status, range) = match file.wanted(&asked) {
        Wanted::Whole => (StatusCode::OK, 0..file.bytes),
        Wanted::Part(range) => {
            let place = format!("bytes {}-{}/{}", range.start, range.end - 1, file.bytes);
            say(header::CONTENT_RANGE, place);
            (StatusCode::PARTIAL_CONTENT, range)
        }
        Wanted::Beyond => {
            let size = [(header::CONTENT_RANGE, format!("bytes */{}", file.bytes))];
            return Ok((size, Problem::NoSuchRange { bytes: file.bytes }).into_response());
        }
    };
    let media = match name == NAME {
        true => "application/json",
        false => "application/octet-stream",
    };
    say(header::CONTENT_TYPE, media.to_owned());
    say(header::CONTENT_LENGTH, (range.end - range.start).to_string());
    say(header::CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\""));
    let place = api.admit_download(caller.principal()).await?;
    let content = exports.shelf.read(&job, &name, range).await.map_err(unreadable)?;
    let (keys, facts) = (api.gate.keys.clone(), caller.principal().facts().clone());
    let content = content.map(move |chunk| {
        _ = &place; // held until the last byte is sent
        match is_let_in(&keys, &facts) {
            true => chunk,
            false => Err(io::Error::other("the key is no longer in force")),
        }
    });
    Ok((status, answer, Body::from_stream(content)).into_response())
}

/// Whether a caller is still authorized, with the secret that they used: a download may take hours. Tokens of an
/// identity provider are not checked again: they cannot be revoked.
fn is_let_in(keys: &Keys, facts: &Facts) -> bool {
    let now = Utc::now();
    let is_taken = |key: &Key| {
        let made_at = facts.secret_created_at;
        key.is_in_force(now) && made_at.is_none_or(|made_at| key.secret_in_force(made_at, now).is_some())
    };
    match &facts.identity {
        Identity::Key(id) => keys.get(id).is_some_and(|key| is_taken(&key)),
        Identity::Subject(_) => true,
    }
}

/// Metadata of a file, known before it is read.
struct Stated {
    bytes: u64,
    sha256: Option<String>,
}

impl Stated {
    async fn find(shelf: &Shelf, job: &Job, name: &str) -> Result<Self, Problem> {
        if let Some(file) = job.files.iter().find(|file| file.name == name) {
            return Ok(Self {
                bytes: file.bytes,
                sha256: Some(file.sha256.clone()),
            });
        }
        if job.digest.is_none() || ![NAME, DIGEST_NAME, SIGNATURE_NAME].contains(&name) {
            return Err(Problem::NotFound);
        }
        Ok(Self {
            bytes: shelf.size(job, name).await.map_err(unreadable)?,
            sha256: job.digest.clone().filter(|_| name == NAME),
        })
    }

    fn tag(&self) -> Option<String> {
        self.sha256.as_ref().map(|sha256| format!("\"{sha256}\""))
    }

    /// A range is ignored if `If-Range` names another version of the file (RFC 9110, 13.1.5).
    fn wanted(&self, asked: &HeaderMap) -> Wanted {
        let text = |name| asked.get(name).and_then(|value| value.to_str().ok());
        match text(header::IF_RANGE) {
            Some(tag) if self.tag().as_deref() != Some(tag) => Wanted::Whole,
            _ => wanted(text(header::RANGE), self.bytes),
        }
    }
}

fn unreadable(error: io::Error) -> Problem {
    tracing::warn!(%error, "a file of an export cannot be read");
    if error.kind() == io::ErrorKind::NotFound {
        return Problem::NotFound;
    }
    match error.downcast::<BucketError>() {
        Ok(BucketError::NotFound(_)) => Problem::NotFound,
        Ok(elsewhere @ BucketError::Elsewhere(_)) => Problem::forbidden(elsewhere.to_string()),
        Ok(_) => Problem::StoreUnavailable,
        Err(_) => Problem::Internal,
    }
}
