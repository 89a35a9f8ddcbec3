//! How each part of a local stack is started: its program, its arguments, its environment.
//!
//! Configuration reaches the services as environment variables, exactly as an operator would set them elsewhere. What
//! the user has set in the environment stays, except for the addresses, which are the stack's.

use std::path::{Path, PathBuf};

use horolog_schemas::migrate::{ConfigError, MigrateConfig, Retention};
use horolog_stage::settings::BatchConfig;

use crate::broker::Broker;
use crate::process::Launch;
use crate::setup::Kit;

use super::folder::DataFolder;
use super::ports::Ports;

/// Storage policy of the local engine: recent parts in one place, old ones in another.
const STORAGE_POLICY: &str = "tiered";

/// For each of the first keys: on one machine nobody else is disturbed, and the line about the flow asks every few
/// seconds.
const LOCAL_REQUESTS_PER_HOUR: &str = "1000000";

/// Everything that is needed to start a part.
#[derive(Debug, Clone)]
pub struct Layout {
    /// The binary of this crate.
    pub horolog: PathBuf,
    /// Where the programs' binaries are.
    pub programs: PathBuf,
    /// Java, Kafka and the engine.
    pub kit: Kit,
    /// Where everything is kept.
    pub folder: DataFolder,
    /// Where everything listens.
    pub ports: Ports,
    /// Java heap of the broker, in MiB.
    pub kafka_mib: u64,
    /// Memory of the store, in MiB.
    pub clickhouse_mib: u64,
    /// Never delete by age.
    pub keep_all: bool,
    /// Allow a retention that is shorter than the tables' current one.
    pub shorten_retention: bool,
}

impl Layout {
    /// The broker.
    pub fn broker(&self) -> Broker {
        Broker {
            java: self.kit.java.clone(),
            jars: self.kit.kafka_jars.clone(),
            folder: self.folder.kafka(),
            port: self.ports.kafka,
            controller_port: self.ports.kafka_controller,
            heap_mib: self.kafka_mib,
        }
    }

    /// Address of the store.
    pub fn clickhouse_url(&self) -> String {
        url(self.ports.clickhouse)
    }

    /// Address of the query API.
    pub fn query_url(&self) -> String {
        url(self.ports.query)
    }

    /// The store: ClickHouse's engine behind an HTTP front.
    pub fn engine(&self) -> Launch {
        Launch::new("clickhouse", &self.horolog, self.folder.log("clickhouse"))
            .arg("engine")
            .arg("--listen")
            .arg(loopback(self.ports.clickhouse))
            .arg("--data")
            .arg(self.folder.clickhouse())
            .arg("--library")
            .arg(&self.kit.engine_library)
            .arg("--password-file")
            .arg(self.folder.password_file())
            .arg("--memory-bytes")
            .arg((self.clickhouse_mib << 20).to_string())
    }

    /// The migrations, run to their end before the services start.
    pub fn migrate(&self) -> Launch {
        let mut launch = self
            .with_clickhouse(self.program("horolog-migrate"), "MIGRATE")
            .arg("up")
            // Nobody else migrates this stack's own engine: an existing lock was left by a killed runner.
            .arg("--break-lock");
        launch = launch.env("HOROLOG_MIGRATE__TABLES__STORAGE_POLICY", STORAGE_POLICY);
        if self.keep_all {
            launch = launch.env("HOROLOG_MIGRATE__RETENTION__KEEP_ALL", "true");
        }
        if self.shorten_retention {
            launch = launch.arg("--shorten-retention");
        }
        launch
    }

    /// The retention that the migrations apply: they read the same environment as this process.
    pub fn retention(&self) -> Result<Retention, ConfigError> {
        let mut retention = MigrateConfig::load(None, &[])?.retention;
        retention.keep_all |= self.keep_all;
        Ok(retention)
    }

    /// Kafka to raw tables.
    pub fn ingest(&self) -> Launch {
        self.stage("horolog-ingest", "INGEST", self.ports.ingest)
    }

    /// Kafka to hourly aggregates.
    pub fn aggregate(&self) -> Launch {
        self.stage("horolog-aggregate", "AGGREGATE", self.ports.aggregate)
    }

    /// The HTTP API.
    pub fn query(&self) -> Launch {
        self.service("horolog-query", "QUERY", self.ports.query)
            .env("HOROLOG_QUERY__EXPORTS__FOLDER", self.folder.exports())
    }

    /// Makes the keys that are not there yet, run to its end before the API starts. Each is NAME=ROLE:TENANT.
    pub fn keys(&self, wanted: &[&str]) -> Launch {
        let mut launch = self.query();
        launch.log = self.folder.log("keys");
        let launch = launch
            .arg("keys")
            .arg("ensure")
            .arg("--requests-per-hour")
            .arg(LOCAL_REQUESTS_PER_HOUR)
            .arg("--folder")
            .arg(self.folder.keys());
        wanted.iter().fold(launch, |launch, wanted| launch.arg(wanted))
    }

    /// The live sample stream.
    pub fn sample(&self) -> Launch {
        Launch::new("sample", &self.horolog, self.folder.log("sample"))
            .arg("sample")
            .arg("--bootstrap")
            .arg(self.broker().bootstrap())
    }

    /// A program of the workspace by name, with its log in the data folder.
    pub fn program(&self, name: &str) -> Launch {
        Launch::new(name, self.programs.join(name), self.folder.log(name))
    }

    /// The first of the programs that is not there.
    pub fn missing_program(&self) -> Option<PathBuf> {
        let names = [
            "horolog-migrate",
            "horolog-ingest",
            "horolog-aggregate",
            "horolog-query",
        ];
        names
            .iter()
            .map(|name| self.programs.join(name))
            .find(|path| !Path::exists(path))
    }

    fn service(&self, name: &str, binary: &str, port: u16) -> Launch {
        self.with_clickhouse(self.program(name), binary)
            .env(format!("HOROLOG_{binary}__KAFKA__BOOTSTRAP"), self.broker().bootstrap())
            .env(format!("HOROLOG_{binary}__HTTP__LISTEN"), loopback(port))
            .env(format!("HOROLOG_{binary}__CLICKHOUSE__COMPRESSION"), "none")
            // Freed blocks of megabytes go back to the system at once; by default glibc keeps half as much again.
            .env("MALLOC_MMAP_THRESHOLD_", "262144")
            .env("MALLOC_ARENA_MAX", "2")
    }

    /// A service that stores batches. Limits them to what the store has memory for: inserting one takes some five times
    /// its bytes, and a batch that never fits is retried for ever, because once begun it cannot be made smaller.
    fn stage(&self, name: &str, binary: &str, port: u16) -> Launch {
        let launch = self.service(name, binary, port);
        let name = format!("HOROLOG_{binary}__BATCH__BYTES_MAX");
        let bytes_max = (self.clickhouse_mib << 20) / 16;
        match std::env::var_os(&name) {
            None if bytes_max < BatchConfig::default().bytes_max as u64 => launch.env(name, bytes_max.to_string()),
            _ => launch,
        }
    }

    fn with_clickhouse(&self, launch: Launch, binary: &str) -> Launch {
        launch
            .env(format!("HOROLOG_{binary}__CLICKHOUSE__URL"), self.clickhouse_url())
            .env(
                format!("HOROLOG_{binary}__CLICKHOUSE__PASSWORD_FILE"),
                self.folder.password_file(),
            )
    }
}

fn loopback(port: u16) -> String {
    format!("127.0.0.1:{port}")
}

fn url(port: u16) -> String {
    format!("http://{}", loopback(port))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the stages of a stack with a store of this size are told of the size of batches.
    fn batch_bytes_max(clickhouse_mib: u64) -> [Option<String>; 2] {
        let layout = Layout {
            horolog: PathBuf::new(),
            programs: PathBuf::new(),
            kit: Kit {
                java: PathBuf::new(),
                kafka_jars: PathBuf::new(),
                engine_library: PathBuf::new(),
            },
            folder: DataFolder::at(Path::new("data")).unwrap(),
            ports: Ports {
                kafka: 1,
                kafka_controller: 2,
                clickhouse: 3,
                query: 4,
                ingest: 5,
                aggregate: 6,
            },
            kafka_mib: 256,
            clickhouse_mib,
            keep_all: false,
            shorten_retention: false,
        };
        [(layout.ingest(), "INGEST"), (layout.aggregate(), "AGGREGATE")].map(|(launch, binary)| {
            let name = format!("HOROLOG_{binary}__BATCH__BYTES_MAX");
            let mut variables = launch.env.into_iter();
            let (_, value) = variables.find(|(known, _)| *known == name)?;
            value.into_string().ok()
        })
    }

    #[test]
    fn a_small_store_is_sent_small_batches_and_any_other_those_by_default() {
        let mib = |size: u64| Some((size << 20).to_string());
        assert_eq!(batch_bytes_max(256), [mib(16), mib(16)]);
        assert_eq!(batch_bytes_max(512), [mib(32), mib(32)]);
        assert_eq!(batch_bytes_max(1024), [None, None]);
        assert_eq!(batch_bytes_max(4096), [None, None]);
    }
}
