//! TLS, renewed certificates, and the headers for browsers.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use reqwest::{Certificate, Client, Response};

use crate::bed::{Bed, Proc, wait_until};
use crate::client::{DEADLINE, EVENTS, get, get_at, ready};

const ONE: [&[u8]; 2] = [include_bytes!("tls/one.cert.pem"), include_bytes!("tls/one.key.pem")];
const TWO: [&[u8]; 2] = [include_bytes!("tls/two.cert.pem"), include_bytes!("tls/two.key.pem")];

fn put(folder: &Path, [certificate, key]: [&[u8]; 2]) {
    std::fs::write(folder.join("cert.pem"), certificate).unwrap();
    std::fs::write(folder.join("key.pem"), key).unwrap();
}

/// An answer over TLS from a service with this certificate; `None` if it has another one.
fn answer(service: &Proc, [certificate, _]: [&[u8]; 2], path: &str) -> Option<Response> {
    let trusting = Client::builder().tls_certs_only([Certificate::from_pem(certificate).unwrap()]);
    let client = trusting.timeout(DEADLINE).build().unwrap();
    let url = format!("{}{path}", service.http().replace("http://", "https://"));
    Bed::shared().block_on(async { client.get(url).send().await }).ok()
}

#[test]
fn a_renewed_certificate_is_used_at_once_and_a_broken_one_never() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    put(folder.path(), ONE);
    let service = Bed::shared().spawn(
        "horolog-query",
        &[
            ("HOROLOG_QUERY__HTTP__TLS_CERTIFICATE_FILE", &path("cert.pem")),
            ("HOROLOG_QUERY__HTTP__TLS_KEY_FILE", &path("key.pem")),
            ("HOROLOG_QUERY__HTTP__TLS_RELOAD_INTERVAL_S", "1"),
        ],
    );
    wait_until(DEADLINE, "the service is ready over TLS", || {
        answer(&service, ONE, "/readyz").is_some()
    });
    let first = answer(&service, ONE, EVENTS).unwrap();
    assert_eq!(first.status(), 401);
    assert_eq!(first.headers()["strict-transport-security"], "max-age=31536000");
    assert!(answer(&service, TWO, "/readyz").is_none(), "it is not the other one");
    assert!(
        Bed::shared().try_get(&format!("{}/readyz", service.http())).is_err(),
        "nothing is answered in the clear"
    );

    put(folder.path(), TWO);
    wait_until(DEADLINE, "the new certificate is used", || {
        answer(&service, TWO, "/readyz").is_some()
    });
    put(folder.path(), [ONE[0], TWO[1]]);
    wait_until(DEADLINE, "the mismatch is told", || {
        std::fs::read_to_string(service.log())
            .unwrap()
            .contains("the previous one stays in use")
    });
    assert!(
        answer(&service, TWO, "/readyz").is_some(),
        "the one before is still used"
    );
}

#[test]
fn certificates_that_do_not_fit_stop_the_start_and_name_the_setting() {
    let folder = tempfile::tempdir().unwrap();
    put(folder.path(), [ONE[0], TWO[1]]);
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    for (certificate, key, said) in [
        (
            path("cert.pem"),
            path("key.pem"),
            "http.tls_certificate_file, http.tls_key_file",
        ),
        (path("nothing"), path("key.pem"), "http.tls_certificate_file = "),
        (path("cert.pem"), path("nothing"), "http.tls_key_file = "),
        (
            path("key.pem"),
            path("key.pem"),
            "http.tls_certificate_file, http.tls_key_file",
        ),
    ] {
        let environment = [
            ("HOROLOG_QUERY__HTTP__TLS_CERTIFICATE_FILE", certificate.as_str()),
            ("HOROLOG_QUERY__HTTP__TLS_KEY_FILE", key.as_str()),
        ];
        let mut service = Bed::shared().spawn("horolog-query", &environment);
        assert!(!service.wait(DEADLINE).success());
        let log = std::fs::read_to_string(service.log()).unwrap();
        assert!(log.contains(said), "{log}");
        assert_eq!(log.trim_end().lines().count(), 1, "{log}");
    }
}

#[test]
fn no_answer_can_be_framed_sniffed_or_read_by_other_pages() {
    for path in [
        "/",
        "/ui/js/main.js",
        "/docs/",
        "/openapi.json",
        "/livez",
        "/metrics",
        "/nowhere",
        EVENTS,
        "/v1/metrics/hourly?x=1",
    ] {
        let answer = get(path, &[]);
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "no-referrer"),
            ("cross-origin-opener-policy", "same-origin"),
            ("cross-origin-resource-policy", "same-origin"),
        ] {
            assert_eq!(answer.header(name), value, "{path}: {name}");
        }
        let policy = answer.header("content-security-policy");
        assert!(
            policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"),
            "{path}: {policy}"
        );
        assert!(
            !policy.contains("script-src") || policy.contains("script-src 'self';"),
            "{path}: {policy}"
        );
        assert_eq!(
            answer.header("strict-transport-security"),
            "",
            "{path}: nothing is promised in the clear"
        );
        assert_eq!(answer.header("access-control-allow-origin"), "", "{path}");
    }
}

/// Terminates TLS in front of the engine, which speaks plain HTTP.
struct TlsBeforeEngine {
    child: Child,
    port: u16,
}

impl TlsBeforeEngine {
    fn start(folder: &Path) -> Self {
        let engine = Bed::shared().layout().clickhouse_url();
        let engine_port = engine.rsplit(':').next().unwrap().trim_end_matches('/');
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/query/tls/end_tls.py");
        let mut child = Command::new("python3")
            .arg(script)
            .args([folder.join("cert.pem"), folder.join("key.pem")])
            .arg(engine_port)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let port = line.trim().parse().unwrap();
        Self { child, port }
    }
}

impl Drop for TlsBeforeEngine {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn clickhouse_is_asked_over_tls_where_its_address_says_so() {
    let folder = tempfile::tempdir().unwrap();
    put(folder.path(), ONE);
    let before = TlsBeforeEngine::start(folder.path());
    let url = (
        "HOROLOG_QUERY__CLICKHOUSE__URL",
        &*format!("https://127.0.0.1:{}", before.port),
    );
    let authorities = folder.path().join("cert.pem");
    let trusting = ready(Bed::shared(), &[url, ("SSL_CERT_FILE", authorities.to_str().unwrap())]);
    let answer = get_at(Bed::shared(), &trusting, EVENTS, &[("tenant_id", "over-tls")]);
    assert_eq!(answer.status, 200, "{}", answer.text);
    let mut distrusting = Bed::shared().spawn("horolog-query", &[url]);
    assert!(
        !distrusting.wait(DEADLINE).success(),
        "nobody vouches for the certificate"
    );
    let log = std::fs::read_to_string(distrusting.log()).unwrap();
    assert!(log.contains("certificate verify failed"), "{log}");
}
