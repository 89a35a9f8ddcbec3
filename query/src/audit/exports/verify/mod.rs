//! Verifies an export offline: from its folder alone, without the service, the store or the log.
//!
//! Enters: a folder, and what its reader knows from elsewhere (the digest from the API or the audit trail, a public key).
//! Leaves: a [`Report`] of what holds, what does not, and what cannot be told from a folder. Memory does not grow with the
//! export: identities are sorted into files by their first byte and compared there.

mod identities;
mod ledger;
mod read;
mod rows;

use std::collections::BTreeSet;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use sha2::{Digest, Sha256};

use self::identities::Identities;
use self::rows::Checked;
use super::manifest::{self, DIGEST_NAME, Manifest, NAME, SIGNATURE_NAME};
use super::part::hex;
use super::signature::PublicKey;

/// What the reader knows from elsewhere.
#[derive(Debug, Default, clap::Args)]
pub struct Arguments {
    /// Folder of the export, with its manifest.json.
    pub folder: PathBuf,
    /// SHA-256 of the manifest, as the API and the audit trail told it when the export was complete.
    #[arg(long, value_name = "HEX")]
    pub digest: Option<String>,
    /// Public key (PEM) of the signer of the manifest.
    #[arg(long, value_name = "FILE")]
    pub public_key: Option<PathBuf>,
}

/// What was found.
#[derive(Debug, Default)]
pub struct Report {
    /// What holds.
    pub proved: Vec<String>,
    /// What does not.
    pub broken: Vec<String>,
    /// What is as it is, and its reader should know.
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
            ("proved", &self.proved),
            ("noted", &self.noted),
            ("cannot be told from this folder", &self.unknown),
            ("BROKEN", &self.broken),
        ] {
            if !lines.is_empty() {
                writeln!(f, "{title}:")?;
                lines.iter().try_for_each(|line| writeln!(f, "  - {line}"))?;
            }
        }
        match self.holds() {
            true => write!(f, "the export is whole"),
            false => write!(f, "THE EXPORT IS NOT WHAT ITS MANIFEST SAYS"),
        }
    }
}

/// Verifies a folder, says what was found, and gives the exit code.
pub fn run(arguments: &Arguments) -> ExitCode {
    match verify(arguments) {
        Ok(report) => {
            println!("{report}");
            if report.holds() {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            }
        }
        Err(error) => {
            eprintln!("horolog-query: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Verifies a folder. An error is one of reading it; what is wrong with it is in the report.
pub fn verify(arguments: &Arguments) -> anyhow::Result<Report> {
    let mut report = Report::default();
    let path = arguments.folder.join(NAME);
    let bytes = fs::read(&path).map_err(|error| anyhow::anyhow!("cannot read {}: {error}", path.display()))?;
    origin(&mut report, arguments, &bytes)?;
    let manifest: Manifest = match serde_json::from_slice(&bytes) {
        Ok(manifest) => manifest,
        Err(error) => {
            report.broken.push(format!("{NAME} cannot be read: {error}"));
            return Ok(report);
        }
    };
    if manifest.format_version != manifest::VERSION {
        anyhow::bail!(
            "{NAME} has version {}, this program knows {}",
            manifest.format_version,
            manifest::VERSION
        );
    }
    listing(&mut report, &arguments.folder, &manifest)?;
    let schema_fits = manifest.schema == manifest::schema();
    report.claim(schema_fits, "the schema is that of this version", || {
        "the manifest's schema is another".to_owned()
    });
    let mut checked = Checked::new(&manifest, Identities::new()?);
    let mut hashes_hold = true;
    for file in &manifest.files {
        let path = arguments.folder.join(&file.name);
        match hash(&path) {
            Ok((bytes, sha256)) if (bytes, sha256.as_str()) == (file.bytes, file.sha256.as_str()) => {}
            Ok(_) => {
                hashes_hold = false;
                report
                    .broken
                    .push(format!("{}: size or SHA-256 is not that of the manifest", file.name));
            }
            Err(error) => {
                hashes_hold = false;
                report.broken.push(format!("{}: {error}", file.name));
                continue;
            }
        }
        checked.begin(file);
        if let Err(error) = read::batches(&path, &manifest, |batch| checked.batch(&batch)) {
            report.broken.push(format!(
                "{}: cannot be read as {:?}: {error:#}",
                file.name, manifest.format
            ));
        }
        checked.end(file);
    }
    if hashes_hold {
        report.proved.push(format!(
            "all {} files have the size and SHA-256 of the manifest",
            manifest.files.len()
        ));
    }
    checked.report(&mut report)?;
    ledger::check(&mut report, &manifest);
    Ok(report)
}

/// Whether the manifest is the one that was made.
fn origin(report: &mut Report, arguments: &Arguments, bytes: &[u8]) -> anyhow::Result<()> {
    let digest = hex(&Sha256::digest(bytes));
    let beside = fs::read_to_string(arguments.folder.join(DIGEST_NAME)).unwrap_or_default();
    let fits = beside.split_whitespace().next() == Some(digest.as_str());
    report.claim(fits, "the manifest has the digest that lies beside it", || {
        format!("the manifest is not the one whose digest is in {DIGEST_NAME}")
    });
    match &arguments.digest {
        Some(told) => {
            let fits = told.eq_ignore_ascii_case(&digest);
            report.claim(fits, "the manifest has the digest that was given", || {
                format!("the manifest's digest is {digest}, not the one given")
            });
        }
        None => report.unknown.push(format!(
            "whether folder and manifest were replaced together: compare the digest {digest} with the one the API or the audit trail told"
        )),
    }
    let signature = fs::read(arguments.folder.join(SIGNATURE_NAME));
    match (&arguments.public_key, signature) {
        (Some(key), Ok(signature)) => {
            let fits = PublicKey::load(key)?.verifies(bytes, &signature);
            report.claim(fits, "the manifest is signed with the key", || {
                "the signature is not of this key and manifest".to_owned()
            });
        }
        (Some(_), Err(_)) => report
            .broken
            .push(format!("there is no {SIGNATURE_NAME} to check with the key")),
        (None, Ok(_)) => report
            .unknown
            .push("whose signature it has: give the public key".to_owned()),
        (None, Err(_)) => report.noted.push("the manifest is not signed".to_owned()),
    }
    Ok(())
}

/// Whether the folder holds the manifest's files and no others.
fn listing(report: &mut Report, folder: &Path, manifest: &Manifest) -> io::Result<()> {
    let mut named: BTreeSet<&str> = manifest.files.iter().map(|file| file.name.as_str()).collect();
    let twice = named.len() < manifest.files.len();
    named.extend([NAME, DIGEST_NAME, SIGNATURE_NAME]);
    let mut added = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if !named.contains(name.as_str()) {
            added.push(name);
        }
    }
    report.claim(!twice, "no file is named twice", || {
        "the manifest names a file twice".to_owned()
    });
    report.claim(added.is_empty(), "the folder holds no other files", || {
        format!("not in the manifest: {}", added.join(", "))
    });
    Ok(())
}

fn hash(path: &Path) -> io::Result<(u64, String)> {
    let (mut file, mut hash) = (File::open(path)?, Sha256::new());
    let (mut buffer, mut bytes) = (vec![0; 1 << 20], 0);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok((bytes, hex(&hash.finalize()))),
            read => {
                hash.update(&buffer[..read]);
                bytes += read as u64;
            }
        }
    }
}
