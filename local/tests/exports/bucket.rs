//! Exports in a bucket of an independent S3 server.

use std::collections::BTreeSet;
use std::process::{Command, Output};

use horolog_local::stack::Ports;
use reqwest::header;
use serde_json::{Value, json};

use crate::bed::{Bed, http, wait_until};
use crate::client::{Answer, ready, send, wait_until_ready};
use crate::history::{insert_history, insert_wide_history};
use crate::requester::{
    DEADLINE, EXPORTS, begin, complete, delete, ended, export, file_names, horolog_query, look, of,
};
use crate::s3::{S3, SECRET, settings_at};

/// Verifies an export where it lies.
fn verify(server: &S3, location: &str) -> Output {
    let mut command: Command = horolog_query();
    command
        .args(["verify-export", location, "--set"])
        .arg(format!("exports.s3.endpoint={}", server.url()))
        .env("AWS_ACCESS_KEY_ID", "auditor")
        .env("AWS_SECRET_ACCESS_KEY", "theirs");
    command.output().unwrap()
}

#[track_caller]
fn assert_verifies(server: &S3, location: &str) {
    let output = verify(server, location);
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(
        output.status.code(),
        Some(0),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// The ids of uploads that the service of an export has on disk.
fn noted_uploads(id: &str) -> BTreeSet<String> {
    let services = std::fs::read_dir(Bed::shared().layout().folder.exports()).unwrap();
    let mut folders = services.map(|service| service.unwrap().path().join(".jobs").join(id));
    let folder = folders.find(|folder| folder.is_dir()).unwrap();
    let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    files
        .filter(|file| file.extension().is_some_and(|extension| extension == "upload"))
        .map(|file| std::fs::read_to_string(file).unwrap())
        .collect()
}

#[test]
fn an_export_in_a_bucket_has_the_bytes_of_one_in_the_folder() {
    insert_history("shelved", 151, 400);
    let server = S3::start();
    server.make_bucket("shelved");
    let in_folder = ready(Bed::shared(), &[]);
    let in_bucket = ready(Bed::shared(), &server.settings("shelved"));
    for (format, compression) in [("parquet", "zstd"), ("csv", "gzip")] {
        let (there, folder) = export(&in_folder, "shelved", &of(format, compression));
        let here = complete(&in_bucket, "shelved", &of(format, compression));
        assert_eq!(here["files"], there["files"]);
        assert_eq!(there["location"], Value::Null);
        let location = here["location"].as_str().unwrap();
        assert_eq!(
            location,
            format!("s3://shelved/audit/exports/{}", here["id"].as_str().unwrap())
        );
        assert_verifies(&server, location);

        let file = here["files"][3]["name"].as_str().unwrap();
        let path = format!("/{}/files/{file}", here["id"].as_str().unwrap());
        let bytes = std::fs::read(folder.join(file)).unwrap();
        let ask = |headers: &[(header::HeaderName, &str)]| {
            let url = format!("{}{EXPORTS}{path}?tenant_id=shelved", in_bucket.http());
            let request = headers
                .iter()
                .fold(http().get(url), |request, (name, value)| request.header(name, *value));
            send(Bed::shared(), request)
        };
        let whole: Answer = ask(&[]);
        let tag = whole.header("etag").to_owned();
        assert_eq!(
            (whole.status, whole.header("content-length")),
            (200, &*bytes.len().to_string())
        );
        assert_eq!(tag, format!("\"{}\"", here["files"][3]["sha256"].as_str().unwrap()));
        let part = ask(&[(header::RANGE, "bytes=10-19"), (header::IF_RANGE, &tag)]);
        assert_eq!(
            (part.status, part.text),
            (206, String::from_utf8_lossy(&bytes[10..20]).into_owned())
        );
        assert_eq!(part.headers["content-range"], *format!("bytes 10-19/{}", bytes.len()));
        assert_eq!(
            ask(&[(header::RANGE, "bytes=10-19"), (header::IF_RANGE, "\"other\"")]).status,
            200
        );
        assert_eq!(ask(&[(header::RANGE, "bytes=99999999-")]).status, 416);
        assert_eq!(ask(&[(header::IF_NONE_MATCH, &tag)]).status, 304);
        assert_eq!(look(&in_bucket, "other", &path).status, 404);
    }
}

#[test]
fn a_bucket_on_this_machine_is_asked_through_no_proxy() {
    insert_history("direct", 156, 24);
    let server = S3::start();
    server.make_bucket("direct");
    let mut settings = server.settings("direct");
    settings.extend([("http_proxy", "http://127.0.0.1:1"), ("no_proxy", "")]);
    let service = ready(Bed::shared(), &settings);
    complete(&service, "direct", &of("csv", "none"));
}

#[test]
fn a_bucket_is_searched_for_what_does_not_belong_and_emptied_of_what_is_removed() {
    insert_history("emptied", 152, 100);
    let server = S3::start();
    server.make_bucket("emptied");
    let service = ready(Bed::shared(), &server.settings("emptied"));
    let made = complete(&service, "emptied", &of("ndjson", "none"));
    let (id, location) = (made["id"].as_str().unwrap(), made["location"].as_str().unwrap());
    server.put("emptied", "audit/exports/another", "stays");
    server.put(
        "emptied",
        &format!("audit/exports/{id}/audit-1999-01-0001.ndjson"),
        "{}",
    );
    let output = verify(&server, location);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        said.contains("not in the manifest: [\"audit-1999-01-0001.ndjson\"]"),
        "{said}"
    );
    delete(&service, "emptied", id, 204);
    assert_eq!(server.objects("emptied"), ["audit/exports/another"]);
    assert_eq!(look(&service, "emptied", &format!("/{id}")).status, 404);
    assert_eq!(verify(&server, location).status.code(), Some(2));
}

#[test]
fn an_export_that_was_killed_leaves_no_upload_and_writes_no_finished_object_again() {
    insert_wide_history("cut", 153, 9_000);
    let bed = Bed::shared();
    let mut server = S3::start();
    server.make_bucket("cut");
    let mut settings = server
        .settings("cut")
        .into_iter()
        .map(|(name, value)| (name, value.to_owned()))
        .collect::<Vec<_>>();
    settings.push(("HOROLOG_QUERY__EXPORTS__ROWS_PER_FILE", "2000".to_owned()));
    let settings: Vec<(&str, &str)> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let mut service = ready(bed, &settings);
    let whole = complete(&service, "cut", &of("ndjson", "none"));
    assert!(whole["files"][0]["bytes"].as_u64().unwrap() > 6_000_000, "{whole}");
    // Killed between two parts of a file. The upload may be faster than the kill: then another export is tried.
    let killed = (0..20).find_map(|_| {
        let id = begin(&service, "cut", &of("ndjson", "none"));
        let mut finished = Vec::new();
        wait_until(DEADLINE, "some files are finished", || {
            let export = look(&service, "cut", &format!("/{id}")).json();
            finished = file_names(&export);
            finished.len() >= 2 && (!server.uploads("cut").is_empty() || export["state"] == "complete")
        });
        server.pause();
        service.kill9();
        server.go_on();
        let mut under_way = noted_uploads(&id);
        let begun = server.uploads("cut");
        under_way.retain(|upload| begun.contains_key(upload));
        service.restart();
        wait_until_ready(bed, &mut service);
        let export = ended(&service, "cut", &id);
        assert_eq!(export["state"], "complete", "{export}\n{}", service.log_tail());
        (!under_way.is_empty()).then_some((id, finished, under_way, export))
    });
    let (id, finished, under_way, export) = killed.expect("an export was killed while a file was on its way");
    assert_eq!(
        export["files"], whole["files"],
        "the same files as of an export that was not interrupted"
    );
    let versions = server.versions("cut");
    for name in finished {
        assert_eq!(versions[&format!("audit/exports/{id}/{name}")], 1, "{name}");
    }
    // An upload that was begun at the moment of a kill, before its id was on disk, is orphaned; it holds no parts.
    for (upload, key) in server.uploads("cut") {
        assert!(!under_way.contains(&upload), "{key}");
        assert_eq!(server.parts("cut", &key, &upload), 0, "{key}");
    }
    assert_verifies(&server, export["location"].as_str().unwrap());
}

#[test]
fn a_bucket_that_refuses_is_told_of_by_the_setting_at_the_start_and_at_the_request() {
    insert_history("refused", 154, 100);
    let (bed, server) = (Bed::shared(), S3::start());
    server.make_bucket("refused");
    let refused = |settings: &[(&str, &str)], setting: &str| {
        let mut service = bed.spawn("horolog-query", settings);
        assert!(!service.wait(DEADLINE).success());
        let log = service.log_tail();
        assert!(log.contains(&format!("{setting}: ")) && !log.contains(SECRET), "{log}");
    };
    refused(&server.settings("nowhere"), "exports.s3.bucket");
    let mut wrong = server.settings("refused");
    wrong.push(("HOROLOG_QUERY__EXPORTS__S3__ENDPOINT", "http://minio.example:9000"));
    refused(&wrong, "exports.s3.endpoint");
    let service = ready(bed, &server.settings("refused"));
    server.refuse();
    let export = ended(&service, "refused", &begin(&service, "refused", &json!({})));
    assert_eq!(export["state"], "failed");
    let error = export["error"].as_str().unwrap();
    assert!(
        error.contains("exports.s3.access_key_id") && !error.contains("http"),
        "{error}"
    );
    assert!(!service.log_tail().contains(SECRET));
    refused(&server.settings("refused"), "exports.s3.access_key_id");
}

#[test]
fn an_export_waits_for_a_bucket_that_is_away() {
    insert_history("patient", 155, 100);
    let port = Ports::free().unwrap().query;
    let nobody = format!("http://127.0.0.1:{port}");
    let mut service = ready(Bed::shared(), &settings_at(&nobody, "patient"));
    let id = begin(&service, "patient", &of("parquet", "zstd"));
    wait_until(DEADLINE, "the export waits", || {
        std::fs::read_to_string(service.log())
            .unwrap()
            .contains("an export waits")
    });
    assert_eq!(look(&service, "patient", &format!("/{id}")).json()["state"], "running");
    // It is paused between the start of the server and the creation of the bucket: a missing bucket would be a refusal.
    service.stop();
    let server = S3::start_at(port);
    server.make_bucket("patient");
    service.cont();
    let export = ended(&service, "patient", &id);
    assert_eq!(export["state"], "complete", "{export}\n{}", service.log_tail());
    assert_verifies(&server, export["location"].as_str().unwrap());
}
