//! What callers get over HTTP: ranges, lists, refusals, other tenants.

use reqwest::Method;
use serde_json::json;

use crate::asking::{KEYS, administer, call, make_key};
use crate::bed::{Bed, http};
use crate::client::{Answer, assert_is_problem, ready, send, service};
use crate::history::{insert_history, insert_large_events};
use crate::requester::{EXPORTS, ask, ended, export, look, of};

#[test]
fn a_file_can_be_fetched_whole_and_in_ranges() {
    insert_history("ranges", 121, 100);
    let service = ready(Bed::shared(), &[]);
    let (export, folder) = export(&service, "ranges", &of("csv", "none"));
    let name = export["files"][0]["name"].as_str().unwrap();
    let path = format!("/{}/files/{name}", export["id"].as_str().unwrap());
    let bytes = std::fs::read_to_string(folder.join(name)).unwrap();
    let ranged = |range: &str| {
        let url = format!("{}{EXPORTS}{path}?tenant_id=ranges", service.http());
        send(Bed::shared(), http().get(url).header("range", range))
    };
    let whole: Answer = look(&service, "ranges", &path);
    assert_eq!((whole.status, whole.text.as_str()), (200, bytes.as_str()));
    assert_eq!(whole.header("accept-ranges"), "bytes");
    let part = ranged("bytes=10-19");
    assert_eq!((part.status, part.text.as_str()), (206, &bytes[10..20]));
    assert_eq!(part.header("content-range"), format!("bytes 10-19/{}", bytes.len()));
    assert_eq!(ranged("bytes=-5").text, bytes[bytes.len() - 5..]);
    let beyond = ranged(&format!("bytes={}-", bytes.len()));
    let size = format!("bytes */{}", bytes.len());
    assert_eq!((beyond.status, beyond.header("content-range")), (416, size.as_str()));
    assert_is_problem(&beyond);
    let manifest = look(
        &service,
        "ranges",
        &format!("/{}/files/manifest.json", export["id"].as_str().unwrap()),
    );
    assert_eq!(manifest.json()["export_id"], export["id"]);
}

#[test]
fn a_download_is_cut_off_when_its_key_is_revoked() {
    let tenant = "revoked";
    insert_large_events(tenant, 123, 2_000, 32_000);
    let key = make_key("auditor", tenant, json!({}));
    let answer = call(&key.token, Method::POST, EXPORTS, Some(&of("ndjson", "none")));
    let export = ended(service(), tenant, answer.json()["id"].as_str().unwrap());
    let file = &export["files"][0];
    let (id, name, bytes) = (&export["id"], &file["name"], file["bytes"].as_u64().unwrap());
    let path = format!("{EXPORTS}/{}/files/{}", id.as_str().unwrap(), name.as_str().unwrap());
    let fetch = || {
        http()
            .get(format!("{}{path}", service().http()))
            .bearer_auth(&key.token)
            .send()
    };
    let bed = Bed::shared();
    let mut response = bed.block_on(fetch()).unwrap();
    assert_eq!(response.status(), 200);
    let mut read = bed.block_on(response.chunk()).unwrap().unwrap().len() as u64;
    let revoked = administer(&format!("{KEYS}/{}/revoke", key.id), &json!({}));
    assert_eq!(revoked.status, 200, "{}", revoked.text);
    let outcome = loop {
        match bed.block_on(response.chunk()) {
            Ok(Some(chunk)) => read += chunk.len() as u64,
            outcome => break outcome,
        }
    };
    // What was already in flight is still read.
    assert!(outcome.is_err() && read < bytes, "{read} of {bytes} bytes, {outcome:?}");
    assert_eq!(bed.block_on(fetch()).unwrap().status(), 401);
}

#[test]
fn an_export_of_another_tenant_is_not_there() {
    insert_history("mine", 122, 50);
    let service = ready(Bed::shared(), &[]);
    let (export, _) = export(&service, "mine", &of("ndjson", "none"));
    let id = export["id"].as_str().unwrap();
    let file = export["files"][0]["name"].as_str().unwrap();
    for path in [
        format!("/{id}"),
        format!("/{id}/files/{file}"),
        format!("/{id}/files/manifest.json"),
    ] {
        let (theirs, nowhere) = (
            look(&service, "theirs", &path),
            look(&service, "theirs", &path.replace(id, "7")),
        );
        assert_eq!((theirs.status, nowhere.status), (404, 404), "{path}");
        assert_is_problem(&theirs);
        assert_eq!(look(&service, "mine", &path).status, 200, "{path}");
    }
    assert_eq!(look(&service, "theirs", "").json()["rows"], json!([]));
    assert_eq!(look(&service, "mine", "").json()["rows"][0]["id"], *id);
    for name in ["..%2f..%2f.lock", "job.json", "%2e%2e", "nothing"] {
        assert_eq!(
            look(&service, "mine", &format!("/{id}/files/{name}")).status,
            404,
            "{name}"
        );
    }
}

#[test]
fn what_is_asked_wrongly_is_named() {
    let service = ready(Bed::shared(), &[]);
    for (body, named) in [
        (json!({"format": "xml"}), "format"),
        (json!({"compression": "rar"}), "compression"),
        (json!({"filter": {"usr": "x"}}), "filter.usr"),
        (json!({"filter": {"from": "yesterday"}}), "filter.from"),
        (json!({"filter": {"user_id": 7}}), "filter.user_id"),
        (json!({"filter": {"user_id": "a".repeat(60_000)}}), "filter.user_id"),
        (json!({"filters": {}}), "filters"),
    ] {
        let answer = ask(&service, "wrong", &body);
        assert_eq!(answer.refused_parameter(), named, "{body}");
    }
}
