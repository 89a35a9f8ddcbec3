//! Downloads files of an export: resumable, and checked before they get their name.
//!
//! Enters: a file's name, size and SHA-256, as far as the service states them. Leaves: the file, or an error.
//! Guarantees: a file under its own name has the stated SHA-256; an unfinished one is called `….part`; no name leads
//! out of the folder.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;

use horolog_schemas::digest;
use indicatif::ProgressBar;
use reqwest::StatusCode;

use super::client::Client;
use super::error::CliError;

/// A file to fetch.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Its name.
    pub name: String,
    /// SHA-256 of its bytes, hexadecimal, if stated.
    pub sha256: Option<String>,
    /// Its size, if stated.
    pub bytes: Option<u64>,
}

/// A name from the service as a plain file name, without path separators.
pub fn file_name(name: &str) -> String {
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() || "-_.".contains(c) {
            c
        } else {
            '_'
        }
    };
    let name: String = name.chars().map(plain).collect();
    match name.trim_start_matches('.') {
        "" => "unnamed".to_owned(),
        rest => rest.to_owned(),
    }
}

/// Downloads the file into the folder, unless it is already there.
pub async fn fetch(
    client: &Client,
    path: &str,
    wanted: &Wanted,
    folder: &Path,
    bar: &ProgressBar,
) -> Result<(), CliError> {
    let target = folder.join(file_name(&wanted.name));
    if wanted.sha256.is_some() && target.is_file() && Some(sha256(&target)?) == wanted.sha256 {
        bar.inc(wanted.bytes.unwrap_or_default());
        return Ok(());
    }
    let part = folder.join(format!("{}.part", file_name(&wanted.name)));
    append(client, path, wanted, &part, bar).await?;
    if let Some(expected) = &wanted.sha256 {
        let found = sha256(&part)?;
        if found != *expected {
            fs::remove_file(&part).map_err(CliError::file(&part))?;
            return Err(CliError::Checksum {
                path: target,
                found,
                expected: expected.clone(),
            });
        }
    }
    fs::rename(&part, &target).map_err(CliError::file(&target))
}

/// Downloads the missing rest of an unfinished file.
async fn append(client: &Client, path: &str, wanted: &Wanted, part: &Path, bar: &ProgressBar) -> Result<(), CliError> {
    let have = fs::metadata(part).map_or(0, |file| file.len());
    // A file of unknown size is small, and one that is longer than stated is a different one: both start over.
    let from = if wanted.bytes.is_some_and(|bytes| have <= bytes) {
        have
    } else {
        0
    };
    if from > 0 && wanted.bytes == Some(from) {
        bar.inc(from);
        return Ok(());
    }
    let mut response = client.bytes(path, &[], "*/*", from).await?;
    let continues = from > 0 && response.status() == StatusCode::PARTIAL_CONTENT;
    let mut options = OpenOptions::new();
    options.create(true).write(true).append(continues).truncate(!continues);
    let mut file = options.open(part).map_err(CliError::file(part))?;
    bar.inc(if continues { from } else { 0 });
    while let Some(chunk) = response.chunk().await.map_err(|error| client.unreached(&error))? {
        file.write_all(&chunk).map_err(CliError::file(part))?;
        bar.inc(chunk.len() as u64);
    }
    file.sync_all().map_err(CliError::file(part))
}

fn sha256(path: &Path) -> Result<String, CliError> {
    let (_, sha256) = digest::of_file(path).map_err(CliError::file(path))?;
    Ok(sha256)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_leads_out_of_the_folder() {
        for (name, kept) in [
            ("audit-2026-01-0001.ndjson.zst", "audit-2026-01-0001.ndjson.zst"),
            ("../../etc/passwd", "_.._etc_passwd"),
            ("/etc/passwd", "_etc_passwd"),
            ("..", "unnamed"),
            ("a\\b\0c", "a_b_c"),
        ] {
            assert_eq!(file_name(name), kept);
        }
    }
}
