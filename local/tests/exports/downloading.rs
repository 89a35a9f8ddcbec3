//! An export that is fetched from the command line is all that its recipient needs to verify it.

use std::path::Path;
use std::process::Command;

use crate::bed::{Bed, Proc};
use crate::client::ready;
use crate::history::insert_history;
use crate::requester::{assert_verifies, complete, horolog_query, of};

/// Fetches an export into a folder.
#[track_caller]
fn download(service: &Proc, tenant: &str, id: &str, folder: &Path) {
    let output = horolog_query()
        .args(["exports", "download", id, "--to"])
        .arg(folder)
        .env("HOROLOG_QUERY_URL", service.http())
        .env("HOROLOG_API_KEY", Bed::shared().key("auditor"))
        .env("HOROLOG_TENANT", tenant)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn what_was_downloaded_verifies_with_its_signature_where_there_is_one() {
    let tenant = "downloaded";
    insert_history(tenant, 133, 60);
    let keys = tempfile::tempdir().unwrap();
    let path = |name: &str| keys.path().join(name).to_str().unwrap().to_owned();
    let openssl = |arguments: &[&str]| {
        let output = Command::new("openssl").args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}");
    };
    let (private, public) = (path("private.pem"), path("public.pem"));
    openssl(&["genpkey", "-algorithm", "ed25519", "-out", &private]);
    openssl(&["pkey", "-in", &private, "-pubout", "-out", &public]);
    let signing = [("HOROLOG_QUERY__EXPORTS__SIGNING_KEY_FILE", private.as_str())];
    for (settings, arguments) in [(&[][..], vec![]), (&signing, vec!["--public-key", public.as_str()])] {
        let service = ready(Bed::shared(), settings);
        let export = complete(&service, tenant, &of("parquet", "zstd"));
        let (id, digest) = (export["id"].as_str().unwrap(), export["digest"].as_str().unwrap());
        let folder = tempfile::tempdir().unwrap();
        download(&service, tenant, id, folder.path());
        assert_verifies(folder.path(), &[&["--digest", digest][..], &arguments].concat());
        // Once more, over what is there.
        download(&service, tenant, id, folder.path());
        assert_verifies(folder.path(), &arguments);
        let is_signed = folder.path().join("manifest.json.sig").is_file();
        assert_eq!(is_signed, !arguments.is_empty());
    }
}
