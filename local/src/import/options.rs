//! The command line of `horolog import`.
//!
//! Enters: arguments. Leaves: files, a mapping, and where Kafka is. Never connects to anything.

use std::path::PathBuf;

use clap::Args;
use horolog_schemas::configuration::Secret;
use horolog_schemas::migrate::Retention;
use horolog_stage::config::KafkaConfig;

use super::mapping::Mapping;
use crate::command::data::DataOption;
use crate::producer::Topics;
use crate::stack::{Phase, StackState};

/// Options of `horolog import`.
#[derive(Debug, Args)]
#[command(after_help = "\
A file may be plain or gzip-compressed; - is standard input. Times are RFC 3339 (without an offset: of --time-zone; also 2024/05/01 \
10:00 and 20240501T100000Z) or numbers since 1970 in seconds, milliseconds, microseconds or nanoseconds, unless --time-format says \
otherwise.

JSON may be one object a line, objects over several lines, arrays of objects, or documents with such an array in a field \
Records, records, Events, events, value or items.

Columns of CSV are separated by commas, semicolons, tabs or vertical bars, as the header shows. Lines before it that are empty or \
begin with # are ignored. A quoted field cannot contain a line break: such a \
line is skipped and reported. A file with two columns of the same name is refused.

Wide files: with a pod or service column (PodName, ServiceName, pod, service, service_id, or the one that --service-column names), \
every other column of numbers is a metric of that service; without one, every column of numbers is a service, and the metric is \
named after the file. Use --columns to choose. A cell that is empty, N/A, NULL, ? or the like is not a sample. A column tenant or \
environment (also tenant_id, env) fills that field, unless it holds a number that is not whole; so does a column plugin, user or \
team of text, and plugin_id, user_id or team_id also of whole numbers. With --columns services, columns of numbers are always \
services. Other columns of text become labels. The first 100 lines decide what a column is, or the first value after them.

Files with one sample per line: these columns fill their fields, and so do metric, metric_type, service and unit; all others are \
labels.

The exit code is 0 when every file could be read to its end and at least one record was sent, even if single lines were \
skipped: those are listed. It is 1 when a file could not be read, no line of a file could be read as a record, nothing was sent, \
or Kafka did not accept a record. Records that the pipeline then rejects (NaN, a time before 2000 or more than a day ahead, …) go \
to the table rejected_records, and are reported. Metrics are not recognised when they are imported again: they count twice. Audit \
events are, by their ids; an event whose id is missing or not a UUID gets one made of its contents, and keeps its own as metadata \
event_id, or event_id_of_source where it has an event_id there. Of events that share an id only one is shown: how many say something \
else is told at the end.")]
pub struct ImportOptions {
    /// Files to import, in this order. A folder stands for the files in it and in its folders, by name, but hidden ones.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    #[command(flatten)]
    pub(super) mapping: Mapping,
    /// Shift the times of all metrics by the same amount, so that the newest becomes now. Audit events keep theirs.
    #[arg(long)]
    pub(super) shift_to_now: bool,
    #[command(flatten)]
    pub(super) target: Target,
    #[command(flatten)]
    pub(super) topics: Topics,
}

/// Where Kafka is.
#[derive(Debug, Args)]
pub(super) struct Target {
    #[command(flatten)]
    data: DataOption,
    /// Kafka's address, if not the local stack's; overrides --data.
    #[arg(long, value_name = "HOST:PORT")]
    kafka: Option<String>,
    /// A property of librdkafka; can be repeated.
    #[arg(long, value_name = "NAME=VALUE", value_parser = property)]
    kafka_property: Vec<(String, Secret)>,
}

impl Target {
    /// How to connect.
    pub(super) fn kafka(&self) -> anyhow::Result<KafkaConfig> {
        let bootstrap = match &self.kafka {
            Some(bootstrap) => bootstrap.clone(),
            None => self.local_kafka()?,
        };
        Ok(KafkaConfig {
            bootstrap,
            properties: self.kafka_property.iter().cloned().collect(),
        })
    }

    /// The retention of the running local stack; `None` if it keeps everything or the target is another Kafka.
    pub(super) fn retention(&self) -> Option<Retention> {
        if self.kafka.is_some() {
            return None;
        }
        let stack = StackState::current(&self.data.folder().ok()?)?;
        (!stack.retention.keep_all).then_some(stack.retention)
    }

    /// The address of the broker of the stack that runs on the data folder.
    fn local_kafka(&self) -> anyhow::Result<String> {
        let folder = self.data.folder()?;
        match StackState::current(&folder) {
            Some(StackState {
                state: Phase::Starting | Phase::Ready,
                kafka,
                ..
            }) => Ok(kafka.bootstrap),
            _ => anyhow::bail!(
                "no stack runs on {}: start it with `horolog up`, or name Kafka with --kafka HOST:PORT",
                folder.path().display()
            ),
        }
    }
}

fn property(text: &str) -> Result<(String, Secret), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned().into()))
}

#[cfg(test)]
mod tests {
    use clap::{Command, FromArgMatches};

    use super::*;
    use crate::process::Identity;
    use crate::stack::{ClickHouseAddress, DataFolder, KafkaAddress, QueryAddress};

    fn target(arguments: &[&str]) -> Target {
        let command = Target::augment_args(Command::new("import").no_binary_name(true));
        Target::from_arg_matches(&command.try_get_matches_from(arguments).unwrap()).unwrap()
    }

    fn state(folder: &DataFolder) -> StackState {
        let http = || "http://127.0.0.1:1".to_owned();
        StackState {
            state: Phase::Ready,
            reason: None,
            data: folder.path().to_owned(),
            supervisor: Identity::own().unwrap(),
            retention: Retention {
                metrics_days: 90,
                ..Retention::default()
            },
            query: QueryAddress {
                url: http(),
                keys: "keys".into(),
            },
            clickhouse: ClickHouseAddress {
                url: http(),
                user: String::new(),
                database: String::new(),
                password_file: PathBuf::new(),
            },
            kafka: KafkaAddress {
                bootstrap: "127.0.0.1:19092".to_owned(),
            },
            processes: Vec::new(),
        }
    }

    #[test]
    fn the_broker_is_that_of_the_stack_that_runs_on_the_data_folder() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = DataFolder::at(temporary.path()).unwrap();
        state(&folder).write(&folder).unwrap();
        let target = target(&[
            "--data",
            temporary.path().to_str().unwrap(),
            "--kafka-property",
            "linger.ms=1",
        ]);
        assert!(
            target.kafka().unwrap_err().to_string().contains("--kafka HOST:PORT"),
            "nobody runs it"
        );
        let _lock = folder.lock().unwrap();
        let kafka = target.kafka().unwrap();
        assert_eq!(
            (kafka.bootstrap.as_str(), kafka.properties["linger.ms"].expose()),
            ("127.0.0.1:19092", "1")
        );
        assert_eq!(target.retention().unwrap().metrics_days, 90);
    }

    #[test]
    fn a_named_broker_goes_before_any_stack() {
        let target = target(&["--kafka", "far:9092", "--data", "/nowhere"]);
        assert_eq!(target.kafka().unwrap().bootstrap, "far:9092");
        assert_eq!(target.retention(), None, "nothing is known of its store");
    }
}
