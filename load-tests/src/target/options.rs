//! The options that select the system under test.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, anyhow, bail};
use horolog_schemas::Kind;

use crate::process::Process;
use crate::producer::KafkaAddress;
use crate::store::Store;

use super::{Processes, QueryAddress, Target};

/// The system under test. By default a new local stack, which is removed at the end.
#[derive(Clone, clap::Args)]
#[command(next_help_heading = "Target (default: a new local stack)")]
pub struct TargetOptions {
    /// A running local stack, by its data folder.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["kafka", "data"])]
    pub stack: Option<PathBuf>,
    /// Kafka brokers of any other target.
    #[arg(long, value_name = "HOST:PORT,…", requires = "clickhouse_url")]
    pub kafka: Option<String>,
    /// A librdkafka property, verbatim: `security.protocol=SASL_SSL`, `sasl.password=…`. Can be repeated. Properties
    /// with secrets are better set in HOROLOG_LOAD_KAFKA_PROPERTIES, one per line.
    #[arg(long = "kafka-property", value_name = "KEY=VALUE", value_parser = property)]
    pub kafka_properties: Vec<(String, String)>,
    /// Topic of metric samples.
    #[arg(long, value_name = "TOPIC", default_value = Kind::MetricSample.default_topic())]
    pub topic_metrics: String,
    /// Topic of audit events.
    #[arg(long, value_name = "TOPIC", default_value = Kind::AuditEvent.default_topic())]
    pub topic_audit: String,
    /// ClickHouse's HTTP address.
    #[arg(long, value_name = "URL", requires = "kafka")]
    pub clickhouse_url: Option<String>,
    /// ClickHouse's user.
    #[arg(long, value_name = "NAME", default_value = "default")]
    pub clickhouse_user: String,
    /// ClickHouse's password.
    #[arg(
        long,
        value_name = "TEXT",
        env = "HOROLOG_LOAD_CLICKHOUSE_PASSWORD",
        hide_env_values = true,
        default_value = "",
        hide_default_value = true
    )]
    pub clickhouse_password: String,
    /// ClickHouse's database.
    #[arg(long, value_name = "NAME", default_value = "horolog")]
    pub clickhouse_database: String,
    /// The query API; without it, no queries are measured.
    #[arg(long, value_name = "URL", requires = "kafka")]
    pub query_url: Option<String>,
    /// Key of the query API, sent as a bearer token.
    #[arg(long, value_name = "KEY", env = "HOROLOG_LOAD_QUERY_KEY", hide_env_values = true)]
    pub query_key: Option<String>,
    /// A process of the target on this machine, to measure its CPU, memory and disk use. Can be repeated.
    #[arg(long = "process", value_name = "NAME=PID", value_parser = process)]
    pub processes: Vec<Process>,
    /// Folder for the data of a new local stack, which must not exist [default: a temporary folder].
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Keep the data folder and its logs.
    #[arg(long)]
    pub keep: bool,
    /// The `horolog` program [default: the one beside this program].
    #[arg(long, value_name = "FILE")]
    pub horolog: Option<PathBuf>,
}

impl TargetOptions {
    /// The target if it is not a local stack.
    pub(super) fn remote(&self) -> anyhow::Result<Option<Target>> {
        let (Some(bootstrap), Some(url)) = (&self.kafka, &self.clickhouse_url) else {
            return Ok(None);
        };
        let key = self.query_key.clone();
        Ok(Some(Target {
            kafka: KafkaAddress {
                bootstrap: bootstrap.clone(),
                ..self.kafka_address()?
            },
            store: Store::new(
                url,
                &self.clickhouse_user,
                &self.clickhouse_password,
                &self.clickhouse_database,
            ),
            query: self.query_url.as_ref().map(|url| QueryAddress {
                url: url.trim_end_matches('/').to_owned(),
                key,
            }),
            processes: Processes::Fixed(self.processes.clone()),
            name: format!("kafka {bootstrap}, clickhouse {url}"),
            own: None,
        }))
    }

    /// Topics and properties, without the bootstrap address.
    pub(super) fn kafka_address(&self) -> anyhow::Result<KafkaAddress> {
        let from_environment = std::env::var("HOROLOG_LOAD_KAFKA_PROPERTIES").unwrap_or_default();
        let lines = from_environment.lines().map(str::trim).filter(|line| !line.is_empty());
        let mut properties: BTreeMap<String, String> = lines
            .map(property)
            .collect::<Result<_, _>>()
            .map_err(|error| anyhow!("HOROLOG_LOAD_KAFKA_PROPERTIES: a line is {error}"))?;
        properties.extend(self.kafka_properties.iter().cloned());
        Ok(KafkaAddress {
            bootstrap: String::new(),
            properties,
            topic_metrics: self.topic_metrics.clone(),
            topic_audit: self.topic_audit.clone(),
        })
    }

    /// Chaos and configurations need a local stack, whose processes and settings they control.
    pub fn require_local(&self, what: &str) -> anyhow::Result<()> {
        if self.kafka.is_some() {
            bail!("{what} works with a local stack only; leave out --kafka");
        }
        Ok(())
    }
}

fn property(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        // The text is not quoted, because it may be a secret.
        _ => Err("not KEY=VALUE".to_owned()),
    }
}

fn process(text: &str) -> Result<Process, String> {
    let parsed = || {
        let (name, pid) = text.split_once('=').context("write NAME=PID")?;
        let pid = pid.parse().with_context(|| format!("`{pid}` is not a process id"))?;
        Process::running(name, pid).with_context(|| format!("no process {pid} is running"))
    };
    parsed().map_err(|error: anyhow::Error| format!("{error:#}"))
}
