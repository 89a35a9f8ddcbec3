//! A requester, who asks for exports, waits for them, and verifies them.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use serde_json::{Value, json};

use crate::bed::{Bed, HOROLOG, Proc, http, wait_until};
use crate::client::{Answer, send};

pub(crate) const EXPORTS: &str = "/v1/audit/exports";
/// How long an export of a test may take on a busy machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(300);

pub(crate) fn ask(service: &Proc, tenant: &str, body: &Value) -> Answer {
    let url = format!("{}{EXPORTS}?tenant_id={tenant}", service.http());
    send(Bed::shared(), http().post(url).json(body))
}

pub(crate) fn look(service: &Proc, tenant: &str, path: &str) -> Answer {
    let url = format!("{}{EXPORTS}{path}?tenant_id={tenant}", service.http());
    send(Bed::shared(), http().get(url))
}

/// Cancels or removes an export, which is answered with this status.
#[track_caller]
pub(crate) fn delete(service: &Proc, tenant: &str, id: &str, status: u16) {
    let url = format!("{}{EXPORTS}/{id}?tenant_id={tenant}", service.http());
    let answer = send(Bed::shared(), http().delete(url));
    assert_eq!(answer.status, status, "{}\n{}", answer.text, service.log_tail());
}

/// Asks, and gives the id.
#[track_caller]
pub(crate) fn begin(service: &Proc, tenant: &str, body: &Value) -> String {
    let answer = ask(service, tenant, body);
    assert_eq!(answer.status, 202, "{}", answer.text);
    let id = answer.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(answer.header("location"), format!("{EXPORTS}/{id}"));
    id
}

/// Waits for the end of an export.
#[track_caller]
pub(crate) fn ended(service: &Proc, tenant: &str, id: &str) -> Value {
    let mut export = Value::Null;
    wait_until(DEADLINE, "the export ends", || {
        export = look(service, tenant, &format!("/{id}")).json();
        !["queued", "running"].contains(&export["state"].as_str().unwrap())
    });
    export
}

/// The files that an export says are finished.
pub(crate) fn file_names(export: &Value) -> Vec<String> {
    let files = export["files"].as_array().unwrap().iter();
    files.map(|file| file["name"].as_str().unwrap().to_owned()).collect()
}

/// An export that becomes complete.
#[track_caller]
pub(crate) fn complete(service: &Proc, tenant: &str, body: &Value) -> Value {
    let export = ended(service, tenant, &begin(service, tenant, body));
    assert_eq!(export["state"], "complete", "{export}\n{}", service.log_tail());
    export
}

/// An export that becomes complete, and its folder.
#[track_caller]
pub(crate) fn export(service: &Proc, tenant: &str, body: &Value) -> (Value, PathBuf) {
    let export = complete(service, tenant, body);
    let folder = folder(service, export["id"].as_str().unwrap());
    (export, folder)
}

/// The manifest in a folder.
pub(crate) fn manifest_of(folder: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(folder.join("manifest.json")).unwrap()).unwrap()
}

/// Where the service of this test keeps an export.
pub(crate) fn folder(service: &Proc, id: &str) -> PathBuf {
    folder_in(Bed::shared(), service, id)
}

/// Likewise, a service of another bed.
pub(crate) fn folder_in(bed: &Bed, service: &Proc, id: &str) -> PathBuf {
    let folders = std::fs::read_dir(bed.layout().folder.exports()).unwrap();
    let mut found = folders
        .map(|entry| entry.unwrap().path().join(id))
        .filter(|path| path.is_dir());
    found
        .next()
        .unwrap_or_else(|| panic!("no folder of {id}\n{}", service.log_tail()))
}

pub(crate) fn of(format: &str, compression: &str) -> Value {
    json!({"format": format, "compression": compression})
}

/// The program, as a terminal would start it.
pub(crate) fn horolog_query() -> Command {
    Command::new(Path::new(HOROLOG).with_file_name("horolog-query"))
}

/// Verifies a folder as its recipient would.
pub(crate) fn verify(folder: &Path, arguments: &[&str]) -> Output {
    horolog_query()
        .arg("verify-export")
        .arg(folder)
        .args(arguments)
        .output()
        .unwrap()
}

#[track_caller]
pub(crate) fn assert_verifies(folder: &Path, arguments: &[&str]) -> String {
    let output = verify(folder, arguments);
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(
        output.status.code(),
        Some(0),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    said
}

/// Verifies a folder that was tampered with; returns what is reported as broken.
#[track_caller]
pub(crate) fn assert_broken(folder: &Path, arguments: &[&str]) -> String {
    let output = verify(folder, arguments);
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(
        output.status.code(),
        Some(1),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    said.split_once("BROKEN:").unwrap().1.to_owned()
}
