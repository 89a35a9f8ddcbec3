//! What `verify-export` finds: each way to tamper with an export, and the limit of what a folder can tell.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use reqwest::Method;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::asking::{call, make_key};
use crate::bed::{Bed, Proc, http, wait_until};
use crate::client::{ready, service};
use crate::history::{insert_history, insert_large_events};
use crate::requester::{
    DEADLINE, EXPORTS, assert_broken, assert_verifies, ended, export, file_names, folder, look, manifest_of, of, verify,
};

fn copy_of(folder: &Path, name: &str) -> PathBuf {
    let copy = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("tampered-{}-{name}", std::process::id()));
    let _ = fs::remove_dir_all(&copy);
    fs::create_dir_all(&copy).unwrap();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), copy.join(entry.file_name())).unwrap();
    }
    copy
}

/// What a requester fetches over HTTP: the files of an export, and some of those beside them.
fn download(service: &Proc, tenant: &str, export: &Value, beside: &[&str]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let names = file_names(export)
        .into_iter()
        .chain(beside.iter().map(|&name| name.to_owned()));
    for name in names {
        let path = format!("/{}/files/{name}", export["id"].as_str().unwrap());
        let url = format!("{}{EXPORTS}{path}?tenant_id={tenant}", service.http());
        let bed = Bed::shared();
        let request = http().get(url).bearer_auth(bed.key("auditor"));
        let bytes = bed.block_on(async { request.send().await.unwrap().error_for_status().unwrap().bytes().await });
        fs::write(folder.path().join(name), bytes.unwrap()).unwrap();
    }
    folder
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn change_manifest(folder: &Path, change: impl FnOnce(&mut Value)) {
    let path = folder.join("manifest.json");
    let mut manifest = manifest_of(folder);
    change(&mut manifest);
    let bytes = serde_json::to_vec_pretty(&manifest).unwrap();
    fs::write(
        folder.join("manifest.json.sha256"),
        format!("{}  manifest.json\n", hex(&bytes)),
    )
    .unwrap();
    fs::write(path, bytes).unwrap();
}

#[test]
fn every_way_to_tamper_with_an_export_is_found() {
    insert_history("tampered", 131, 480);
    let service = ready(Bed::shared(), &[]);
    let (made, original) = export(&service, "tampered", &of("ndjson", "none"));
    assert_verifies(&original, &[]);
    let file = made["files"][3]["name"].as_str().unwrap();

    let folder = copy_of(&original, "byte");
    let mut bytes = fs::read(folder.join(file)).unwrap();
    let at = bytes.windows(4).position(|window| window == b"user").unwrap();
    bytes[at] = b'U';
    fs::write(folder.join(file), bytes).unwrap();
    assert!(assert_broken(&folder, &[]).contains(&format!("{file:?}: size or SHA-256")));

    // A row is removed, and the file's entry in the manifest is made to fit.
    let folder = copy_of(&original, "row");
    let text = fs::read_to_string(folder.join(file)).unwrap();
    let rest = text.split_once('\n').unwrap().1.to_owned();
    fs::write(folder.join(file), &rest).unwrap();
    change_manifest(&folder, |manifest| {
        let entry = &mut manifest["files"][3];
        (entry["bytes"], entry["sha256"]) = (rest.len().into(), hex(rest.as_bytes()).into());
        entry["rows"] = (entry["rows"].as_u64().unwrap() - 1).into();
        (manifest["rows"], manifest["bytes"]) = (
            479.into(),
            (manifest["bytes"].as_u64().unwrap() - (text.len() - rest.len()) as u64).into(),
        );
    });
    let broken = assert_broken(&folder, &[]);
    assert!(
        broken.contains("other rows than the manifest says, by partition"),
        "{broken}"
    );

    let folder = copy_of(&original, "removed");
    fs::remove_file(folder.join(file)).unwrap();
    assert!(assert_broken(&folder, &[]).contains(file));

    let folder = copy_of(&original, "added");
    fs::write(folder.join("audit-2023-12-0001.ndjson"), "").unwrap();
    assert!(assert_broken(&folder, &[]).contains("not in the manifest: [\"audit-2023-12-0001.ndjson\"]"));

    // Names that would control the terminal, or forge a line of our output.
    let folder = copy_of(&original, "names");
    fs::write(folder.join("\u{1b}[2J\n  - each event occurs once"), "").unwrap();
    change_manifest(&folder, |manifest| {
        manifest["files"][3]["name"] = "\u{1b}[8mhidden".into();
        manifest["ledger"]["topic"] = "\u{1b}[8m\n".into();
        manifest["masked"] = json!({"\u{9b}8m": "hidden"});
    });
    let output = verify(&folder, &[]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said:?}");
    assert!(!said.contains(|c: char| c.is_control() && c != '\n'), "{said:?}");
    assert_eq!(said.matches("\n  - each event occurs once\n").count(), 1, "{said:?}");
    assert!(said.contains("\"\\u{1b}[8mhidden\": "), "{said:?}");

    let folder = copy_of(&original, "manifest");
    let text = fs::read_to_string(folder.join("manifest.json")).unwrap();
    fs::write(
        folder.join("manifest.json"),
        text.replace("\"tenant_id\": \"tampered\"", "\"tenant_id\": \"tampereD\""),
    )
    .unwrap();
    assert!(assert_broken(&folder, &[]).contains("the manifest is not the one whose digest"));

    for (said, broken) in [
        (
            json!({"filter": {"user_id": "user7"}}),
            "have another user_id than the filter",
        ),
        (
            json!({"filter": {"status": "success"}}),
            "have another status than the filter",
        ),
        (
            json!({"masked": {"old_value": "hidden"}}),
            "old_value does not have the form of the mask",
        ),
        (
            json!({"masked": {"metadata": "hidden"}}),
            "metadata does not have the form of the mask",
        ),
        (
            json!({"masked": {"user_id": "keyed_hash"}}),
            "user_id does not have the form of the mask",
        ),
        (
            json!({"masked": {"ip_address": "partial"}}),
            "ip_address does not have the form of the mask",
        ),
    ] {
        let folder = copy_of(&original, "said");
        change_manifest(&folder, |manifest| {
            manifest
                .as_object_mut()
                .unwrap()
                .extend(said.as_object().unwrap().clone());
        });
        assert!(assert_broken(&folder, &[]).contains(broken), "{said}");
    }

    // As an earlier release wrote it.
    let folder = copy_of(&original, "earlier");
    change_manifest(&folder, |manifest| {
        for later in ["unread", "other_topics", "kept_from"] {
            assert!(
                manifest["ledger"].as_object_mut().unwrap().remove(later).is_some(),
                "{later}"
            );
        }
    });
    assert_verifies(&folder, &[]);

    // If everything is made to fit, only the digest that the requester was told reveals it, and nothing in the folder.
    let folder = copy_of(&original, "requester");
    change_manifest(&folder, |manifest| manifest["requested_by"] = "somebody else".into());
    assert!(assert_verifies(&folder, &[]).contains("whether folder and manifest were replaced together"));
    assert!(assert_broken(&folder, &["--digest", made["digest"].as_str().unwrap()]).contains("not the one given"));

    assert_eq!(verify(Path::new("/nonexistent"), &[]).status.code(), Some(2));
}

#[test]
fn another_genuine_export_in_its_place_is_found_by_the_name_of_the_folder() {
    insert_history("replaced", 137, 60);
    let service = ready(Bed::shared(), &[]);
    let [(meant, folder), (other, in_its_place)] = [(); 2].map(|()| {
        export(
            &service,
            "replaced",
            &json!({"format": "csv", "filter": {"status": "failure"}}),
        )
    });
    let said = assert_verifies(&folder, &[]);
    for line in [
        "the folder is named after this export".to_owned(),
        format!("id: {}", meant["id"].as_str().unwrap()),
        "tenant: \"replaced\"".to_owned(),
        "filter: \"status\" = \"failure\"".to_owned(),
        format!("requested by: {}", meant["requested_by"]),
        "requested at: \"20".to_owned(),
    ] {
        assert!(said.contains(&line), "{line}: {said}");
    }
    let copy = copy_of(&in_its_place, "replaced");
    assert!(assert_verifies(&copy, &[]).contains("the folder is not named after an export"));
    let named = copy.with_file_name(format!("export-{}", meant["id"].as_str().unwrap()));
    fs::rename(copy, &named).unwrap();
    let broken = assert_broken(&named, &[]);
    assert!(
        broken.contains(&format!(
            "the manifest is of the export {}",
            other["id"].as_str().unwrap()
        )),
        "{broken}"
    );
    fs::remove_dir_all(named).unwrap();
}

#[test]
fn a_downloaded_export_verifies_with_or_without_the_digest_beside_it() {
    insert_history("downloaded", 140, 60);
    let service = ready(Bed::shared(), &[]);
    let (made, _) = export(&service, "downloaded", &of("ndjson", "zstd"));
    let folder = download(&service, "downloaded", &made, &["manifest.json"]);
    let said = assert_verifies(folder.path(), &["--digest", made["digest"].as_str().unwrap()]);
    assert!(
        said.contains("no manifest.json.sha256 lies beside the manifest"),
        "{said}"
    );

    let folder = download(
        &service,
        "downloaded",
        &made,
        &["manifest.json", "manifest.json.sha256"],
    );
    let said = assert_verifies(folder.path(), &[]);
    assert!(
        said.contains("the manifest has the digest that lies beside it"),
        "{said}"
    );
    fs::write(folder.path().join("manifest.json.sha256"), "").unwrap();
    assert!(assert_broken(folder.path(), &[]).contains("the manifest is not the one whose digest"));
    let signature = format!("/{}/files/manifest.json.sig", made["id"].as_str().unwrap());
    assert_eq!(look(&service, "downloaded", &signature).status, 404);
}

#[test]
fn an_export_is_compared_with_its_filter_and_its_masks() {
    insert_history("partly", 134, 60);
    let scopes = json!({"scopes": ["audit:read", "audit:export"]});
    let token = make_key("auditor", "partly", scopes).token;
    for format in ["parquet", "ndjson", "csv"] {
        let asked =
            json!({"format": format, "filter": {"status": "success", "session_id": "", "ip_address": "10.0.0.0/8"}});
        let answer = call(&token, Method::POST, EXPORTS, Some(&asked));
        assert_eq!(answer.status, 202, "{}", answer.text);
        let id = answer.json()["id"].as_str().unwrap().to_owned();
        let made = ended(service(), "partly", &id);
        assert_eq!((&made["state"], &made["rows"]), (&json!("complete"), &json!(54)));
        let said = assert_verifies(&folder(service(), &id), &[]);
        for claim in [
            "old_value has the form of the mask hidden",
            "metadata has the form of the mask hidden",
            "every row has the status of the filter, \"success\"",
            "whether every row matches the filter ip_address = \"10.0.0.0/8\"",
        ] {
            assert!(said.contains(claim), "{said}");
        }
    }
}

#[test]
fn an_export_of_some_teams_says_so_and_is_compared_with_them() {
    let tenant = "teamed";
    insert_history(tenant, 135, 60);
    insert_large_events(tenant, 136, 3, 100); // of no team
    let made = |more: Value| {
        let token = make_key("auditor", tenant, more).token;
        let answer = call(&token, Method::POST, EXPORTS, Some(&of("ndjson", "none")));
        assert_eq!(answer.status, 202, "{}", answer.text);
        let made = ended(service(), tenant, answer.json()["id"].as_str().unwrap());
        let folder = folder(service(), made["id"].as_str().unwrap());
        let manifest = manifest_of(&folder);
        (made, manifest, folder)
    };
    let (whole, manifest, folder) = made(json!({}));
    assert_eq!((&whole["rows"], &whole["teams"]), (&json!(63), &json!([])));
    assert!(manifest.get("teams").is_none());
    assert!(!assert_verifies(&folder, &[]).contains("teams"));

    let (some, manifest, folder) = made(json!({"teams": ["team"]}));
    assert_eq!((&some["rows"], &some["teams"]), (&json!(60), &json!(["team"])));
    assert_eq!(manifest["teams"], json!(["team"]));
    let row = format!(
        "select toString(teams) from audit_exports final where export_id = '{}'",
        some["id"].as_str().unwrap()
    );
    wait_until(DEADLINE, "so it is in SQL", || {
        Bed::shared().sql::<String>(&row) == ["['team']"]
    });
    let said = assert_verifies(&folder, &[]);
    assert!(
        said.contains("every row is of one of the teams") && said.contains("ONLY events of the teams [\"team\"]"),
        "{said}"
    );
    let tampered = copy_of(&folder, "teams");
    change_manifest(&tampered, |manifest| manifest["teams"] = json!(["other"]));
    assert!(assert_broken(&tampered, &[]).contains("60 rows are of none of the teams"));
}

#[test]
fn a_signed_manifest_is_checked_with_the_public_key_by_us_and_by_openssl() {
    insert_history("signed", 132, 30);
    let keys = tempfile::tempdir().unwrap();
    let openssl = |arguments: &[&str]| {
        let output = Command::new("openssl")
            .args(arguments)
            .current_dir(keys.path())
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    };
    for name in ["private.pem", "other.pem"] {
        openssl(&["genpkey", "-algorithm", "ed25519", "-out", name]);
    }
    openssl(&["pkey", "-in", "private.pem", "-pubout", "-out", "public.pem"]);
    openssl(&["pkey", "-in", "other.pem", "-pubout", "-out", "stranger.pem"]);
    let path = |name: &str| keys.path().join(name).to_str().unwrap().to_owned();
    let service = ready(
        Bed::shared(),
        &[("HOROLOG_QUERY__EXPORTS__SIGNING_KEY_FILE", &path("private.pem"))],
    );
    let (made, folder) = export(&service, "signed", &of("csv", "gzip"));
    let said = assert_verifies(&folder, &["--public-key", &path("public.pem")]);
    assert!(said.contains("signed with the key"), "{said}");
    let downloaded = download(&service, "signed", &made, &["manifest.json", "manifest.json.sig"]);
    assert_verifies(downloaded.path(), &["--public-key", &path("public.pem")]);
    fs::remove_file(downloaded.path().join("manifest.json.sig")).unwrap();
    let broken = assert_broken(downloaded.path(), &["--public-key", &path("public.pem")]);
    assert!(
        broken.contains("signature file manifest.json.sig is missing"),
        "{broken}"
    );
    assert!(assert_broken(&folder, &["--public-key", &path("stranger.pem")]).contains("does not match this key"));
    let file = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    openssl(&[
        "pkeyutl",
        "-verify",
        "-pubin",
        "-inkey",
        "public.pem",
        "-rawin",
        "-in",
        &file("manifest.json"),
        "-sigfile",
        &file("manifest.json.sig"),
    ]);
}
