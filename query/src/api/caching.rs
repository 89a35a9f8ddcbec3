//! Conditional and compressed responses.
//!
//! Enters: a response whose body is in memory. Leaves: the same with a strong `ETag` (RFC 9110, 8.8.3) over its content
//! and encoding, compressed with zstd or gzip if the caller accepts it, or 304 if `If-None-Match` names that tag. The
//! content includes the time through which it is complete, so the tag changes with it. Streams (downloads) pass
//! unchanged. Responses hold places for their bytes until they are read ([`crate::api::outgoing`]). Embedded files are
//! encoded once.

use std::collections::HashMap;
use std::io::{self, Write};
use std::sync::Arc;

use axum::body::{Body, Bytes, HttpBody, to_bytes};
use axum::extract::{Request, State};
use axum::http::response::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use flate2::write::GzEncoder;
use parking_lot::Mutex;

use crate::access::Principal;
use crate::api::Problem;
use crate::api::accept::weighted;
use crate::api::outgoing::Outgoing;

/// Compressing smaller bodies does not pay.
const COMPRESS_BYTES_MIN: usize = 1_024;
/// The fastest level: an answer is sent only once.
const ZSTD_LEVEL: i32 = 1;
/// Bytes of the hash that become the tag: enough that nobody finds two answers with the same one.
const TAG_BYTES: usize = 16;

/// The encoding of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Zstd,
    Gzip,
    Identity,
}

impl Encoding {
    fn name(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Gzip => "gzip",
            Self::Identity => "identity",
        }
    }

    /// The encoding that `Accept-Encoding` prefers; among equals zstd, then gzip, then none.
    fn negotiate(headers: &HeaderMap) -> Self {
        let accepted = weighted(headers, header::ACCEPT_ENCODING);
        let of = |name: &str| {
            let mut items = accepted.iter();
            items.find(|item| item.0.eq_ignore_ascii_case(name)).map(|item| item.1)
        };
        let weight = |encoding: Self| of(encoding.name()).or_else(|| of("*")).unwrap_or(0);
        let [zstd, gzip] = [Self::Zstd, Self::Gzip].map(weight);
        match () {
            () if zstd > 0 && zstd >= gzip => Self::Zstd,
            () if gzip > 0 => Self::Gzip,
            () => Self::Identity,
        }
    }

    fn encode(self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        match self {
            Self::Zstd => zstd::bulk::compress(bytes, ZSTD_LEVEL),
            Self::Gzip => {
                let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
                encoder.write_all(bytes)?;
                encoder.finish()
            }
            Self::Identity => Ok(bytes.to_vec()),
        }
    }
}

/// Marks a response as an embedded file: the same for everybody while the program runs.
#[derive(Debug, Clone, Copy)]
struct OfProgram;

/// The middleware for embedded files.
pub async fn of_program(mut response: Response) -> Response {
    response.extensions_mut().insert(OfProgram);
    response
}

/// The state of the middleware.
#[derive(Debug, Clone)]
pub struct Caching {
    outgoing: Outgoing,
    /// Encoded embedded files, by their tags.
    files: Arc<Mutex<HashMap<String, Bytes>>>,
}

impl Caching {
    /// Answers that are sent through `outgoing`.
    pub fn new(outgoing: Outgoing) -> Self {
        Self {
            outgoing,
            files: Arc::default(),
        }
    }

    /// An encoded file, made once: otherwise callers without a key could have megabytes encoded as often as they like.
    fn file(&self, tag: &str, make: impl FnOnce() -> io::Result<Bytes>) -> io::Result<Bytes> {
        let files = || self.files.lock();
        let known = files().get(tag).cloned();
        if let Some(known) = known {
            return Ok(known);
        }
        let made = make()?;
        files().insert(tag.to_owned(), made.clone());
        Ok(made)
    }
}

/// The middleware.
pub async fn tag_and_compress(State(caching): State<Caching>, request: Request, next: Next) -> Response {
    let asked = request.headers().clone();
    let principal = request.extensions().get::<Principal>().cloned();
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    let response = next.run(request).await;
    let Some(size) = response.body().size_hint().exact() else {
        return response;
    };
    let answers = response.status() == StatusCode::OK && size > 0;
    let is_encoded =
        response.headers().contains_key(header::CONTENT_ENCODING) || response.headers().contains_key(header::ETAG);
    if !reads || !answers || is_encoded {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    // The body is already in memory, so its size is known.
    let Ok(bytes) = to_bytes(body, usize::MAX).await else {
        return Response::from_parts(parts, Body::empty());
    };
    let encoding = match bytes.len() >= COMPRESS_BYTES_MIN {
        true => Encoding::negotiate(&asked),
        false => Encoding::Identity,
    };
    let tag = tag(&bytes, encoding);
    label(&mut parts.headers, &tag);
    if is_known(&asked, &tag) {
        return not_modified(parts);
    }
    let make = move || encode(encoding, bytes);
    let made = match parts.extensions.get::<OfProgram>() {
        Some(OfProgram) => caching.file(&tag, make),
        None => make(),
    };
    let Ok(body) = made else {
        return Problem::Internal.into_response();
    };
    if encoding != Encoding::Identity {
        parts.headers.remove(header::CONTENT_LENGTH);
        parts
            .headers
            .insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding.name()));
    }
    // Callers without a key get only embedded files or small answers, so these need no places.
    let Some(principal) = principal else {
        return Response::from_parts(parts, body.into());
    };
    match caching.outgoing.hold(principal.facts().tenant.as_str(), body).await {
        Ok(held) => Response::from_parts(parts, held.into()),
        Err(problem) => problem.into_response(),
    }
}

/// What caches need to know, with any status.
fn label(headers: &mut HeaderMap, tag: &str) {
    headers.append(
        header::VARY,
        HeaderValue::from_static("accept, accept-encoding, authorization, cookie"),
    );
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("private, no-cache"));
    if let Ok(value) = HeaderValue::from_str(tag) {
        headers.insert(header::ETAG, value);
    }
}

fn not_modified(mut parts: Parts) -> Response {
    parts.status = StatusCode::NOT_MODIFIED;
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.remove(header::CONTENT_TYPE);
    Response::from_parts(parts, Body::empty())
}

/// Runs on a blocking thread: encoding a large page takes milliseconds.
fn encode(encoding: Encoding, bytes: Bytes) -> io::Result<Bytes> {
    match encoding {
        Encoding::Identity => Ok(bytes),
        encoding => tokio::task::block_in_place(|| encoding.encode(&bytes)).map(Bytes::from),
    }
}

fn tag(bytes: &[u8], encoding: Encoding) -> String {
    let hash = blake3::hash(bytes);
    let tag = URL_SAFE_NO_PAD.encode(&hash.as_bytes()[..TAG_BYTES]);
    format!("\"{tag}-{}\"", encoding.name())
}

/// `If-None-Match`, compared weakly as RFC 9110, 13.1.2 requires.
pub fn is_known(headers: &HeaderMap, tag: &str) -> bool {
    let known = headers
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok());
    known
        .flat_map(|list| list.split(','))
        .map(|known| known.trim().trim_start_matches("W/"))
        .any(|known| known == tag || known == "*")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::LimitsConfig;

    fn negotiated(accept: &str) -> Encoding {
        Encoding::negotiate(&HeaderMap::from_iter([(
            header::ACCEPT_ENCODING,
            accept.parse().unwrap(),
        )]))
    }

    #[test]
    fn the_encoding_is_one_the_caller_takes() {
        for (accept, encoding) in [
            ("gzip, deflate, br, zstd", Encoding::Zstd),
            ("gzip, deflate", Encoding::Gzip),
            ("zstd;q=0.1, gzip;q=0.5", Encoding::Gzip),
            ("zstd;q=0, *", Encoding::Gzip),
            ("br", Encoding::Identity),
            ("*;q=0", Encoding::Identity),
            ("gzip;q=0", Encoding::Identity),
            ("", Encoding::Identity),
            (";;q=,,", Encoding::Identity),
        ] {
            assert_eq!(negotiated(accept), encoding, "{accept}");
        }
    }

    #[test]
    fn what_was_encoded_is_decoded_to_the_same() {
        let text = b"horolog ".repeat(1_000);
        let gzip = Encoding::Gzip.encode(&text).unwrap();
        let mut decoded = Vec::new();
        std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&gzip[..]), &mut decoded).unwrap();
        assert_eq!(decoded, text);
        assert_eq!(
            zstd::bulk::decompress(&Encoding::Zstd.encode(&text).unwrap(), text.len()).unwrap(),
            text
        );
        assert_ne!(tag(&text, Encoding::Gzip), tag(&text, Encoding::Zstd));
    }

    #[test]
    fn a_file_of_the_program_is_encoded_once() {
        let caching = Caching::new(Outgoing::new(&LimitsConfig::default()));
        let made = || caching.file("a", || Ok(Bytes::from_static(b"made")));
        assert_eq!(made().unwrap(), "made");
        assert_eq!(caching.file("a", || panic!("made again")).unwrap(), "made");
        assert!(caching.file("b", || Err(io::ErrorKind::Other.into())).is_err());
        assert!(
            caching.file("b", || Ok(Bytes::new())).is_ok(),
            "what failed is tried again"
        );
    }

    #[test]
    fn a_known_tag_is_recognised_in_any_list() {
        let tag = tag(b"x", Encoding::Identity);
        for (given, known) in [
            (tag.clone(), true),
            (format!("\"other\", W/{tag}"), true),
            ("*".to_owned(), true),
            ("\"other\"".to_owned(), false),
        ] {
            let headers = HeaderMap::from_iter([(header::IF_NONE_MATCH, given.parse().unwrap())]);
            assert_eq!(is_known(&headers, &tag), known, "{given}");
        }
    }
}
