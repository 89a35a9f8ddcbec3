//! Where a test imports from and to: a folder and topics of its own, on a broker that all of them share.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use horolog_schemas::{AuditEvent, MetricSample};

use crate::bed::{self, Bed, BedOptions};
use crate::received;

/// Without tables: what counts is what is in the log.
pub fn bed() -> &'static Bed {
    static SHARED: OnceLock<Bed> = OnceLock::new();
    SHARED.get_or_init(|| {
        Bed::start_with(&BedOptions {
            migrate: false,
            ..BedOptions::default()
        })
    })
}

/// A test's own folder and topics.
pub struct Place {
    pub folder: tempfile::TempDir,
    pub metrics: String,
    pub audits: String,
}

impl Place {
    pub fn new(name: &str) -> Self {
        let place = Self {
            folder: tempfile::tempdir().unwrap(),
            metrics: format!("metrics-{name}"),
            audits: format!("audit-{name}"),
        };
        bed().topic(&place.metrics, 3);
        bed().topic(&place.audits, 3);
        place
    }

    pub fn file(&self, path: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path
    }

    pub fn command(&self, arguments: &[&str], files: &[&Path]) -> Command {
        let mut command = Command::new(bed::HOROLOG);
        command.args(["import", "--kafka", &bed().kafka()]);
        command.args(["--topic-metrics", &self.metrics, "--topic-audit", &self.audits]);
        command.args(arguments).args(files);
        command
    }

    pub fn import(&self, arguments: &[&str], files: &[&Path]) -> Imported {
        self.command(arguments, files).output().unwrap().into()
    }

    pub fn samples(&self) -> Vec<MetricSample> {
        received::samples(&bed().kafka(), &self.metrics)
    }

    pub fn events(&self) -> Vec<AuditEvent> {
        received::events(&bed().kafka(), &self.audits)
    }
}

#[derive(Debug)]
pub struct Imported {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl From<Output> for Imported {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self {
            code: output.status.code(),
            out: text(output.stdout),
            err: text(output.stderr),
        }
    }
}

pub fn gzip(content: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(content.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

/// Two CloudTrail events, one per line.
pub const EVENTS: &str = concat!(
    r#"{"eventID":"3c856bc0-1a07-4c18-89d9-4d9205856714","eventTime":"2023-07-10T11:42:44Z","eventSource":"s3.amazonaws.com","eventName":"GetObject"}"#,
    "\n",
    r#"{"eventTime":"2023-07-10T11:43:44Z","eventSource":"s3.amazonaws.com","eventName":"PutObject","errorCode":"AccessDenied"}"#,
    "\n",
);
