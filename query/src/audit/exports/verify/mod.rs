//! Verifies an export offline: from its files alone, without the service, the store or the log.
//!
//! Enters: a folder or the address of one in a bucket, and what its reader knows from elsewhere (the digest from the
//! API or the audit trail, a public key). Leaves: a [`Report`] of what holds, what does not, and what a folder cannot
//! tell. Memory does not grow with the export: identities are partitioned into files and compared there.

mod about;
mod identities;
mod ledger;
mod read;
mod rows;
mod source;
mod stored;
mod told;

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use arrow::datatypes::SchemaRef;
use horolog_schemas::digest::{self, hex};
use horolog_schemas::errors::in_words;
use horolog_stage::config::ConfigArgs;
use sha2::{Digest, Sha256};
use tokio::runtime::Handle;

use self::identities::Identities;
use self::rows::Checked;
use self::source::Source;
use self::told::Told;
use super::manifest::{self, DIGEST_NAME, Manifest, NAME, SIGNATURE_NAME};
use super::signature::PublicKey;
use crate::config::QueryConfig;
use horolog_stage::steering::steers;

/// What the reader knows from elsewhere.
#[derive(Debug, Default, clap::Args)]
pub struct Arguments {
    /// Folder of the export, with its manifest.json; or s3://BUCKET/PREFIX/ID, with the endpoint from exports.s3 of
    /// --config or --set, and the credentials from there or from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.
    pub export: String,
    /// Expected SHA-256 of the manifest, from the API once the export was complete or from table audit_exports.
    #[arg(long, value_name = "HEX")]
    pub digest: Option<String>,
    /// Public key (PEM) to verify the manifest's signature with.
    #[arg(long, value_name = "FILE")]
    pub public_key: Option<PathBuf>,
}

/// The result of a verification.
#[derive(Debug, Default)]
pub struct Report {
    /// Which export it claims to be.
    pub about: Vec<String>,
    /// What holds.
    pub proved: Vec<String>,
    /// What does not.
    pub broken: Vec<String>,
    /// Facts that the reader should know.
    pub noted: Vec<String>,
    /// What a folder cannot tell.
    pub unknown: Vec<String>,
}

impl Report {
    fn claim(&mut self, holds: bool, claim: impl Into<String>, otherwise: impl FnOnce() -> String) {
        match holds {
            true => self.proved.push(claim.into()),
            false => self.broken.push(otherwise()),
        }
    }

    /// Whether nothing is broken.
    pub fn holds(&self) -> bool {
        self.broken.is_empty()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (title, lines) in [
            ("export", &self.about),
            ("proved", &self.proved),
            ("noted", &self.noted),
            ("cannot be told from this folder", &self.unknown),
            ("BROKEN", &self.broken),
        ] {
            if !lines.is_empty() {
                writeln!(f, "{title}:")?;
                // A manifest may be a stranger's: control characters could steer the terminal, and line breaks could
                // forge lines of this report.
                let plain = |line: &String| line.replace(steers, "\u{fffd}");
                lines.iter().try_for_each(|line| writeln!(f, "  - {}", plain(line)))?;
            }
        }
        match self.holds() {
            true => write!(f, "the export is whole"),
            false => write!(f, "THE EXPORT IS NOT WHAT ITS MANIFEST SAYS"),
        }
    }
}

/// Verifies an export, prints the report, and returns the exit code.
pub async fn run(arguments: Arguments, config: ConfigArgs) -> ExitCode {
    let runtime = Handle::current();
    let settings = move || Ok(QueryConfig::load(&config)?.exports.s3);
    let verified = tokio::task::spawn_blocking(move || {
        let source = Source::new(&arguments.export, settings, runtime)?;
        verify(&arguments, &source)
    });
    match verified.await.map_err(anyhow::Error::from).flatten() {
        Ok(report) => {
            println!("{report}");
            if report.holds() {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            }
        }
        Err(error) => {
            eprintln!("horolog-query: {}", in_words(&*error));
            ExitCode::from(2)
        }
    }
}

/// Verifies an export. Errors are those of reading it; what is wrong with the export is in the report.
fn verify(arguments: &Arguments, source: &Source) -> anyhow::Result<Report> {
    let mut report = Report::default();
    let bytes = source
        .read(NAME)
        .map_err(|error| anyhow::anyhow!("cannot read {}/{NAME}: {error}", arguments.export))?;
    origin(&mut report, arguments, source, &bytes)?;
    let manifest: Manifest = match serde_json::from_slice(&bytes) {
        Ok(manifest) => manifest,
        Err(error) => {
            report.broken.push(format!("{NAME} cannot be read: {error}"));
            return Ok(report);
        }
    };
    if manifest.format_version != manifest::VERSION {
        anyhow::bail!(
            "{NAME} has format version {}, but this program knows only {}",
            manifest.format_version,
            manifest::VERSION
        );
    }
    let Some(schema) = manifest::known(&manifest.schema) else {
        anyhow::bail!("{NAME} has columns that this program does not know; verify it with a newer one");
    };
    report.proved.push("it has columns that this program knows".to_owned());
    about::check(&mut report, &manifest, source.folder_name()?.as_deref());
    listing(&mut report, source, &manifest)?;
    files(&mut report, source, &manifest, &schema)?;
    ledger::check(&mut report, &manifest);
    Ok(report)
}

/// Whether every file has the bytes and rows that the manifest says, and the rows are valid.
fn files(report: &mut Report, source: &Source, manifest: &Manifest, schema: &SchemaRef) -> anyhow::Result<()> {
    let mut checked = Checked::new(manifest, Identities::new()?);
    let mut told = Told::by(manifest, schema);
    let mut hashes_hold = true;
    for file in &manifest.files {
        let there = source
            .open(&file.name)
            .and_then(|there| Ok((digest::of_file(there.path())?, there)));
        let ((bytes, sha256), there) = match there {
            Ok(there) => there,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidInput) => {
                hashes_hold = false;
                report.broken.push(format!("{:?}: {error}", file.name));
                continue;
            }
            Err(error) => anyhow::bail!("cannot read {:?}: {error}", file.name),
        };
        if (bytes, sha256.as_str()) != (file.bytes, file.sha256.as_str()) {
            hashes_hold = false;
            let differs = format!("{:?}: size or SHA-256 is not that in the manifest", file.name);
            report.broken.push(differs);
        }
        checked.begin(file);
        let read = read::batches(there.path(), manifest, schema, |batch| {
            told.batch(&batch);
            checked.batch(&batch)
        });
        if let Err(error) = read {
            report.broken.push(format!(
                "{:?}: cannot be read as {:?}: {error:#}",
                file.name, manifest.format
            ));
        }
        checked.end(file);
    }
    if hashes_hold {
        report.proved.push(format!(
            "all {} files have the size and SHA-256 in the manifest",
            manifest.files.len()
        ));
    }
    checked.report(report)?;
    told.report(report);
    Ok(())
}

/// Whether the manifest is the original.
fn origin(report: &mut Report, arguments: &Arguments, source: &Source, bytes: &[u8]) -> anyhow::Result<()> {
    let digest = hex(&Sha256::digest(bytes));
    match source.read_if_there(DIGEST_NAME)? {
        Some(beside) => {
            let fits = String::from_utf8_lossy(&beside).split_whitespace().next() == Some(digest.as_str());
            report.claim(fits, "the manifest has the digest that lies beside it", || {
                format!("the manifest is not the one whose digest is in {DIGEST_NAME}")
            });
        }
        None => report
            .noted
            .push(format!("no {DIGEST_NAME} lies beside the manifest to compare it with")),
    }
    match &arguments.digest {
        Some(told) => {
            let fits = told.eq_ignore_ascii_case(&digest);
            report.claim(fits, "the manifest has the digest that was given", || {
                format!("the manifest's digest is {digest}, not the one given")
            });
        }
        None => report.unknown.push(format!(
            "whether folder and manifest were replaced together: compare the digest {digest} with the one from the API or from table audit_exports"
        )),
    }
    match (&arguments.public_key, source.read_if_there(SIGNATURE_NAME)?) {
        (Some(key), Some(signature)) => {
            let fits = PublicKey::load(key)?.verifies(bytes, &signature);
            report.claim(fits, "the manifest is signed with the key", || {
                "the signature does not match this key and manifest".to_owned()
            });
        }
        (Some(_), None) => report.broken.push(format!(
            "the signature file {SIGNATURE_NAME} is missing, so the manifest cannot be checked with the key"
        )),
        (None, Some(_)) => report
            .unknown
            .push("who signed the manifest: give --public-key to check".to_owned()),
        (None, None) => report
            .noted
            .push(format!("no signature ({SIGNATURE_NAME}) lies beside the manifest")),
    }
    Ok(())
}

/// Whether the folder holds the manifest's files and no others.
fn listing(report: &mut Report, source: &Source, manifest: &Manifest) -> io::Result<()> {
    let mut named: BTreeSet<&str> = manifest.files.iter().map(|file| file.name.as_str()).collect();
    let twice = named.len() < manifest.files.len();
    named.extend([NAME, DIGEST_NAME, SIGNATURE_NAME]);
    let mut added = source.names()?;
    added.retain(|name| !named.contains(name.as_str()));
    report.claim(!twice, "no file is named twice", || {
        "the manifest names a file twice".to_owned()
    });
    report.claim(added.is_empty(), "the folder holds no other files", || {
        format!("not in the manifest: {added:?}")
    });
    Ok(())
}
