//! The web page: static files of `query/web`, embedded in the binary, so that it works without internet access or a
//! build step.
//!
//! Enters: a request for `/` or for a file under `/ui/`. Leaves: its bytes, and a policy under which the page can load
//! nothing from elsewhere and run no scripts but its own files; [`crate::api::caching`] tags and compresses them, once
//! each. Never reads the disk, and never sees a tenant's data: that comes from the API, with the reader's key.

use std::borrow::Cow;

use axum::Router;
use axum::body::Bytes;
use axum::extract::Path;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use rust_embed::RustEmbed;

use crate::api::Problem;

/// What the page may use: its own files and its own API, nothing else. `data:` is only for images.
pub const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Beside those of every answer.
const HEADERS: [(HeaderName, &str); 2] = [
    (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
    // The files of a page belong together, so browsers must revalidate each of them.
    (header::CACHE_CONTROL, "no-cache"),
];

#[derive(RustEmbed)]
#[folder = "web/"]
struct Files;

/// The page at `/` and its files under `/ui/`.
pub fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new()
        .route("/", get(async || serve("index.html")))
        .route("/ui/{*path}", get(async |Path(path): Path<String>| serve(&path)))
}

fn serve(path: &str) -> Response {
    let Some((file, kind)) = Files::get(path).zip(content_type(path)) else {
        return Problem::NotFound.into_response();
    };
    let body = match file.data {
        Cow::Borrowed(bytes) => Bytes::from_static(bytes),
        Cow::Owned(bytes) => Bytes::from(bytes),
    };
    let mut response = ([(header::CONTENT_TYPE, kind)], body).into_response();
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// For the types of file that a page uses; others (licences, notes) are embedded but not served.
fn content_type(path: &str) -> Option<&'static str> {
    Some(match path.rsplit_once('.')?.1 {
        "html" => "text/html; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "svg" => "image/svg+xml",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;
    use horolog_schemas::digest::hex;
    use sha2::{Digest, Sha256};

    use super::*;

    fn text(path: &str) -> String {
        let file = Files::get(path).unwrap_or_else(|| panic!("{path} is not embedded"));
        String::from_utf8(file.data.into_owned()).unwrap()
    }

    /// Values of an attribute or of an import that name a file.
    fn quoted_after<'a>(text: &'a str, before: &str) -> Vec<&'a str> {
        let ends = text.split(before).skip(1);
        ends.filter_map(|rest| rest.split('"').next()).collect()
    }

    #[test]
    fn everything_that_is_named_is_embedded() {
        let page = text("index.html");
        for path in quoted_after(&page, "href=\"/ui/")
            .into_iter()
            .chain(quoted_after(&page, "src=\"/ui/"))
        {
            assert!(Files::get(path).is_some(), "{path}");
        }
        for script in Files::iter().filter(|path| path.starts_with("js/")) {
            let folder = script.rsplit_once('/').unwrap().0;
            for import in quoted_after(&text(&script), "from \"") {
                let (folder, name) = match import.strip_prefix("../") {
                    Some(name) => (folder.rsplit_once('/').unwrap().0, name),
                    None => (folder, import.strip_prefix("./").unwrap()),
                };
                assert!(Files::get(&format!("{folder}/{name}")).is_some(), "{script}: {import}");
            }
        }
    }

    #[test]
    fn nothing_is_loaded_from_elsewhere_and_nothing_inline_runs() {
        for path in Files::iter().filter(|path| !path.starts_with("vendor/")) {
            let text = text(&path).replace("http://www.w3.org/2000/svg", "");
            assert!(!text.contains("http://") && !text.contains("https://"), "{path}");
            assert!(!text.contains("innerHTML") && !text.contains("eval("), "{path}");
        }
        let page = text("index.html");
        assert!(!page.contains("style=") && !page.contains("<style") && !page.contains("onclick"));
        assert_eq!(
            page.matches("<script").count(),
            page.matches("<script src=\"/ui/").count()
        );
    }

    #[test]
    fn what_others_made_is_unchanged_and_has_its_licence() {
        let sums = text("vendor/SHA256SUMS");
        let listed: Vec<(&str, &str)> = sums.lines().filter_map(|line| line.split_once("  ")).collect();
        let vendored = Files::iter().filter(|path| path.starts_with("vendor/") && path.ends_with(['s', 'E']));
        for path in vendored.filter(|path| !path.ends_with("SHA256SUMS")) {
            let found = hex(&Sha256::digest(Files::get(&path).unwrap().data));
            let name = path.trim_start_matches("vendor/");
            assert!(listed.contains(&(found.as_str(), name)), "{path}: {found}");
        }
        assert!(text("vendor/uplot/LICENSE").contains("MIT"));
    }

    #[test]
    fn files_of_the_page_come_with_its_policy_and_others_not_at_all() {
        for path in [
            "index.html",
            "app.css",
            "js/main.js",
            "logo.svg",
            "vendor/uplot/uPlot.iife.min.js",
        ] {
            let response = serve(path);
            assert_eq!(response.status(), StatusCode::OK, "{path}");
            assert_eq!(
                response.headers()[header::CONTENT_SECURITY_POLICY],
                CONTENT_SECURITY_POLICY
            );
        }
        for path in [
            "",
            "../Cargo.toml",
            "nothing.js",
            "vendor/uplot/LICENSE",
            "vendor/README.md",
        ] {
            assert_eq!(serve(path).status(), StatusCode::NOT_FOUND, "{path}");
        }
    }
}
