//! The broker: one Apache Kafka node (KRaft) on loopback, run from its jars.
//!
//! Enters: a data folder, ports, a heap size. Leaves: the configuration files, a formatted log folder and the
//! [`Launch`] of the broker. A folder is formatted once; later starts keep its cluster id and records.
//! Never does: start a process that outlives the call (formatting is awaited).

mod config;
mod topics;

use std::path::{Path, PathBuf};
use std::process::Command;

use rand::distr::{Alphanumeric, SampleString};

use crate::process::Launch;

pub use config::MESSAGE_BYTES_MAX;
pub use topics::{Topic, TopicError, ensure_topics, is_ready};

/// Paths are relative to the broker's own folder, which is its working directory. Kafka reads its properties as ISO
/// 8859-1 and splits `log.dirs` at commas, so an absolute path with other characters or a comma would name another
/// folder.
const PROPERTIES: &str = "server.properties";
const LOG_CONFIGURATION: &str = "log4j2.xml";
const RECORDS: &str = "records";
/// Java decodes file names by this locale.
const LOCALE: (&str, &str) = ("LC_ALL", "C.UTF-8");

/// Why the broker's folder cannot be prepared.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// A file cannot be written.
    #[error("cannot write {path}: {source}")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Java cannot be started.
    #[error("cannot start {java}: {source}")]
    Java {
        /// The program.
        java: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Kafka's storage tool refused.
    #[error("kafka could not format {folder}: {output}")]
    Format {
        /// The data folder.
        folder: PathBuf,
        /// What it printed.
        output: String,
    },
}

/// A broker that can be started.
#[derive(Debug, Clone)]
pub struct Broker {
    /// The `java` program.
    pub java: PathBuf,
    /// Folder with Kafka's jars.
    pub jars: PathBuf,
    /// Folder for records and configuration.
    pub folder: PathBuf,
    /// Port for clients.
    pub port: u16,
    /// Port of the controller.
    pub controller_port: u16,
    /// Java heap, in MiB.
    pub heap_mib: u64,
}

impl Broker {
    /// `host:port` for clients.
    pub fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Writes the configuration and formats the folder when that has not been done.
    pub fn prepare(&self) -> Result<(), BrokerError> {
        let write = |path: &Path, text: &str| {
            std::fs::write(path, text).map_err(|source| BrokerError::Write {
                path: path.to_owned(),
                source,
            })
        };
        std::fs::create_dir_all(&self.folder).map_err(|source| BrokerError::Write {
            path: self.folder.clone(),
            source,
        })?;
        write(&self.folder.join(PROPERTIES), &config::server_properties(self))?;
        write(&self.folder.join(LOG_CONFIGURATION), config::LOG_CONFIGURATION)?;
        if self.records().join("meta.properties").exists() {
            Ok(())
        } else {
            self.format()
        }
    }

    /// How to start it; call [`Self::prepare`] first.
    pub fn launch(&self, log: impl Into<PathBuf>) -> Launch {
        let mut launch = Launch::new("broker", &self.java, log);
        for argument in [format!("-Xms{}m", self.heap_mib), format!("-Xmx{}m", self.heap_mib)] {
            launch = launch.arg(argument);
        }
        // The serial collector needs the least memory and threads. A broker that runs out of memory exits and is
        // restarted.
        for argument in [
            "-XX:+UseSerialGC",
            "-XX:MaxDirectMemorySize=256m",
            "-XX:+ExitOnOutOfMemoryError",
        ] {
            launch = launch.arg(argument);
        }
        launch.args.extend(self.java_arguments());
        launch.folder = Some(self.folder.clone());
        launch.env(LOCALE.0, LOCALE.1).arg("kafka.Kafka").arg(PROPERTIES)
    }

    /// Where Kafka keeps the records.
    pub fn records(&self) -> PathBuf {
        self.folder.join(RECORDS)
    }

    fn java_arguments(&self) -> Vec<std::ffi::OsString> {
        vec![
            "-Djava.awt.headless=true".into(),
            "-Djava.net.preferIPv4Stack=true".into(),
            format!("-Dlog4j2.configurationFile={LOG_CONFIGURATION}").into(),
            "-cp".into(),
            self.jars.join("*").into(),
        ]
    }

    fn format(&self) -> Result<(), BrokerError> {
        // A cluster id is 16 bytes in url-safe base64 without padding: 22 characters, the last of which carries two bits.
        let cluster_id = Alphanumeric.sample_string(&mut rand::rng(), 21) + "A";
        let output = Command::new(&self.java)
            .args(["-Xmx128m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"])
            .args(self.java_arguments())
            .args([
                "kafka.tools.StorageTool",
                "format",
                "--cluster-id",
                &cluster_id,
                "--config",
            ])
            .arg(PROPERTIES)
            .env(LOCALE.0, LOCALE.1)
            .current_dir(&self.folder)
            .output()
            .map_err(|source| BrokerError::Java {
                java: self.java.clone(),
                source,
            })?;
        if output.status.success() {
            return Ok(());
        }
        let output = [output.stdout, output.stderr].concat();
        Err(BrokerError::Format {
            folder: self.folder.clone(),
            output: String::from_utf8_lossy(&output).trim().to_owned(),
        })
    }
}
