//! The service against its own OpenAPI document: schemathesis derives good and bad requests from it, and judges the
//! answers.
//!
//! It asks as analyst, auditor and admin of a tenant of its own, whose keys and exports it may make and change. Only
//! the revocation of keys is tested by itself, as it might hit the test's own key. The seed is printed.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::asking::make_key;
use crate::bed::{Bed, python};
use crate::client::{get, ready};
use crate::rows::{insert_event, insert_hours};

const TENANT: &str = "openapi";
/// For each role.
const SECONDS: &str = "12";

#[test]
fn every_reference_in_the_document_leads_somewhere() {
    fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
        match value {
            Value::Object(members) => {
                found.extend(members.get("$ref").and_then(Value::as_str));
                members.values().for_each(|member| references(member, found));
            }
            Value::Array(items) => items.iter().for_each(|item| references(item, found)),
            _ => {}
        }
    }
    let document = get("/openapi.json", &[]).json();
    let mut found = Vec::new();
    references(&document, &mut found);
    assert!(found.len() > 20, "{found:?}");
    found.retain(|reference| document.pointer(reference.trim_start_matches('#')).is_none());
    assert_eq!(found, [""; 0]);
}

#[test]
fn every_answer_is_one_that_the_openapi_document_tells_of() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/query/openapi");
    let python = python("openapi", include_str!("openapi/requirements.txt"));
    insert_hours(TENANT, 24);
    insert_event(TENANT, 1, &[]);
    let service = ready(Bed::shared(), &[]);
    // It leaves a cache where it runs.
    let runs_in = Path::new(env!("CARGO_TARGET_TMPDIR")).join("openapi");
    std::fs::create_dir_all(&runs_in).unwrap();
    std::fs::copy(folder.join("schemathesis.toml"), runs_in.join("schemathesis.toml")).unwrap();
    // The same requests each time, unless another seed is given.
    let seed = std::env::var("HOROLOG_SEED").unwrap_or_else(|_| "1".to_owned());
    println!("HOROLOG_SEED={seed}");
    const REVOKE: &str = "/v1/admin/keys/{id}/revoke";
    for (role, path) in [
        ("analyst", ["--exclude-path", REVOKE]),
        ("auditor", ["--exclude-path", REVOKE]),
        ("admin", ["--exclude-path", REVOKE]),
        ("admin", ["--include-path", REVOKE]),
    ] {
        let key = make_key(role, TENANT, json!({"requests_per_hour": 1_000_000}));
        let output = Command::new(python.with_file_name("schemathesis"))
            .args(["run", &format!("{}/openapi.json", service.http())])
            .args(["--header", &format!("Authorization: Bearer {}", key.token)])
            .args(["--max-time", SECONDS, "--seed", &seed])
            .args(path)
            // The speed of generating and answering requests is not judged: the machine may be busy.
            .args(["--request-timeout", "120", "--suppress-health-check", "too_slow"])
            // The service also refuses what a schema cannot express (`to` must be after `from`, a cursor must be one of
            // ours).
            .args(["--exclude-checks", "unsupported_method,positive_data_acceptance"])
            .current_dir(&runs_in)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "as {role}:\n{said}\n{}", service.log_tail());
        println!(
            "as {role}:\n{}",
            said.lines().rev().take(12).collect::<Vec<_>>().join("\n")
        );
    }
}
