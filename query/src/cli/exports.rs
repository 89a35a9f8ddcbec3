//! `horolog-query exports`: create, list, watch, download, cancel.

use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::Utc;
use clap::{Subcommand, ValueEnum, ValueHint};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Map, Value, json};
use tokio::time::sleep;

use super::client::Client;
use super::error::CliError;
use super::filter::{self, EventFilterArgs};
use super::output::Output;
use super::table::{self, Column, at, number, shown, text};
use super::transfer::{self, Wanted};

const PATH: &str = "/v1/audit/exports";
/// Between two looks at an export under way.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);
const JOBS: [Column; 8] = [
    text("EXPORT", "id"),
    text("STATE", "state"),
    text("REQUESTED", "requested_at"),
    text("BY", "requested_by"),
    text("FORMAT", "format"),
    number("EVENTS", "rows"),
    number("BYTES", "bytes"),
    text("FILTER", "filter"),
];
const FILES: [Column; 4] = [
    text("FILE", "name"),
    number("EVENTS", "rows"),
    number("BYTES", "bytes"),
    text("SHA-256", "sha256"),
];
const JOB_FIELDS: [&str; 12] = [
    "id",
    "state",
    "error",
    "filter",
    "format",
    "compression",
    "requested_by",
    "requested_at",
    "finished_at",
    "rows",
    "bytes",
    "digest",
];

/// What can be done.
#[derive(Debug, Subcommand)]
#[allow(clippy::large_enum_variant)] // made once a process
pub enum ExportsCommand {
    /// Ask for an export of all events that match every filter
    Create {
        /// Which events
        #[command(flatten)]
        filter: EventFilterArgs,
        /// How events are written
        #[arg(long, default_value = "parquet")]
        format: Format,
        /// How files are compressed
        #[arg(long, default_value = "zstd")]
        compression: Compression,
        /// Wait until it is complete
        #[arg(long)]
        watch: bool,
    },
    /// Exports, newest first
    List {
        /// Exports at most
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
    },
    /// One export and its files
    Show {
        /// The export's id
        export: String,
    },
    /// Wait until an export is complete
    Watch {
        /// The export's id
        export: String,
    },
    /// Fetch the files and the manifest of a complete export; what is there already is not fetched again
    Download {
        /// The export's id
        export: String,
        /// The folder to put them into, made where there is none [default: export-ID]
        #[arg(long, value_hint = ValueHint::DirPath)]
        to: Option<PathBuf>,
    },
    /// End an export under way
    Cancel {
        /// The export's id
        export: String,
    },
}

/// How events are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Apache Parquet.
    Parquet,
    /// A JSON document a line.
    Ndjson,
    /// RFC 4180.
    Csv,
}

/// How files are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Compression {
    /// Zstandard.
    Zstd,
    /// Gzip.
    Gzip,
    /// Not at all.
    None,
}

/// Does it.
pub async fn run(command: ExportsCommand, client: &Client, output: Output) -> Result<(), CliError> {
    match command {
        ExportsCommand::Create {
            filter,
            format,
            compression,
            watch,
        } => {
            let given = filter.parameters(Utc::now()).into_iter();
            let filter: Map<String, Value> = given.map(|(name, value)| (name.to_owned(), value.into())).collect();
            let body = json!({
                "filter": filter,
                "format": filter::name(format),
                "compression": filter::name(compression),
            });
            let job = client.post(PATH, &body).await?;
            match watch {
                true => show(&watched(job, client, output).await?, output),
                false => show(&job, output),
            }
        }
        ExportsCommand::List { limit } => list(limit, client, output).await,
        ExportsCommand::Show { export } => show(&client.get(&path_of(&export), &[]).await?, output),
        ExportsCommand::Watch { export } => {
            let job = client.get(&path_of(&export), &[]).await?;
            show(&watched(job, client, output).await?, output)
        }
        ExportsCommand::Download { export, to } => {
            let folder = to.unwrap_or_else(|| PathBuf::from(format!("export-{}", transfer::file_name(&export))));
            download(&export, &folder, client, output).await
        }
        ExportsCommand::Cancel { export } => {
            client.delete(&path_of(&export)).await?;
            show(&client.get(&path_of(&export), &[]).await?, output)
        }
    }
}

fn path_of(export: &str) -> String {
    let export = percent_encoding::utf8_percent_encode(export, percent_encoding::NON_ALPHANUMERIC);
    format!("{PATH}/{export}")
}

async fn list(limit: u32, client: &Client, output: Output) -> Result<(), CliError> {
    let mut jobs = Vec::new();
    client
        .rows(PATH, &Vec::new(), limit as usize, |page, _| {
            jobs.extend(page);
            Ok(())
        })
        .await?;
    if output.is_json() {
        return output.documents(&jobs);
    }
    if jobs.is_empty() {
        output.hint("there are no exports");
        return Ok(());
    }
    output.line(&table::of_rows(&JOBS, &jobs))
}

fn show(job: &Value, output: Output) -> Result<(), CliError> {
    if output.is_json() {
        return output.documents(std::slice::from_ref(job));
    }
    let facts: Vec<(&str, String)> = JOB_FIELDS.iter().map(|&path| (path, shown(at(job, path)))).collect();
    output.line(&table::of_facts(&facts))?;
    match files(job) {
        [] => Ok(()),
        files => output.line(&format!("\n{}", table::of_rows(&FILES, files))),
    }
}

fn files(job: &Value) -> &[Value] {
    job["files"].as_array().map(Vec::as_slice).unwrap_or_default()
}

/// The export once it is complete; an error where it ends otherwise.
async fn watched(mut job: Value, client: &Client, output: Output) -> Result<Value, CliError> {
    let path = path_of(job["id"].as_str().unwrap_or_default());
    let bar = bar(
        "{spinner} {msg} {wide_bar} {human_pos} of {human_len} events, {eta} left",
        output,
    );
    loop {
        bar.set_message(shown(&job["state"]));
        bar.set_length(job["rows_planned"].as_u64().unwrap_or_default());
        bar.set_position(job["rows"].as_u64().unwrap_or_default());
        match job["state"].as_str() {
            Some("complete") => {
                bar.finish_and_clear();
                return Ok(job);
            }
            Some("queued" | "running") => {}
            state => return Err(ended(&job, state.unwrap_or("in no state"))),
        }
        sleep(LOOK_INTERVAL).await;
        job = client.get(&path, &[]).await?;
    }
}

fn ended(job: &Value, state: &str) -> CliError {
    CliError::Export {
        id: shown(&job["id"]),
        state: state.to_owned(),
        reason: job["error"]
            .as_str()
            .map(|reason| format!(": {reason}"))
            .unwrap_or_default(),
    }
}

async fn download(export: &str, folder: &Path, client: &Client, output: Output) -> Result<(), CliError> {
    let job = client.get(&path_of(export), &[]).await?;
    if job["state"] != "complete" {
        return Err(ended(&job, job["state"].as_str().unwrap_or("in no state")));
    }
    std::fs::create_dir_all(folder).map_err(|source| CliError::File {
        path: folder.to_owned(),
        source,
    })?;
    let manifest = Wanted {
        name: "manifest.json".to_owned(),
        sha256: shown(&job["digest"]),
        bytes: None,
    };
    let wanted = files(&job).iter().map(|file| Wanted {
        name: shown(&file["name"]),
        sha256: shown(&file["sha256"]),
        bytes: file["bytes"].as_u64(),
    });
    let wanted: Vec<Wanted> = wanted.chain([manifest]).collect();
    let bar = bar(
        "{msg} {wide_bar} {binary_bytes} of {binary_total_bytes}, {eta} left",
        output,
    );
    bar.set_length(wanted.iter().filter_map(|file| file.bytes).sum());
    for file in &wanted {
        bar.set_message(file.name.clone());
        let path = format!("{}/files/{}", path_of(export), transfer::file_name(&file.name));
        transfer::fetch(client, &path, file, folder, &bar).await?;
    }
    bar.finish_and_clear();
    if output.is_json() {
        return output.documents(files(&job));
    }
    output.line(&format!("{} files in {}", wanted.len(), folder.display()))?;
    output.hint(&format!(
        "check them with: horolog-query verify-export {}",
        folder.display()
    ));
    Ok(())
}

/// On standard error, and only where somebody watches.
fn bar(template: &str, output: Output) -> ProgressBar {
    if output.is_json() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(0);
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}
