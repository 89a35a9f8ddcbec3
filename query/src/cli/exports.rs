//! `horolog-query exports`: create, list, watch, download, cancel.

use std::path::{Path, PathBuf};

use chrono::Utc;
use clap::{Subcommand, ValueHint};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Map, Value, json};
use tokio::time::sleep;

use super::client::{Client, Take};
use super::error::CliError;
use super::filter::{self, EventFilterArgs};
use super::listing::Listing;
use super::output::Output;
use super::patience;
use super::table::{self, Column, number, shown, text};
use super::transfer::{self, Wanted};
use crate::audit::exports::manifest;
use crate::audit::exports::spec::{Compression, Format};

const PATH: &str = "/v1/audit/exports";
/// Optional files beside a manifest. Their hashes are not known, so they are downloaded each time.
const BESIDE: [&str; 2] = [manifest::DIGEST_NAME, manifest::SIGNATURE_NAME];
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
const JOB_FIELDS: [&str; 16] = [
    "id",
    "state",
    "error",
    "filter",
    "teams",
    "format",
    "compression",
    "requested_by",
    "requested_at",
    "finished_at",
    "rows",
    "repeats",
    "differing",
    "bytes",
    "location",
    "digest",
];

/// Commands about exports.
#[derive(Debug, Subcommand)]
#[allow(clippy::large_enum_variant)] // created once per process
pub enum ExportsCommand {
    /// Export all events that match every filter
    Create {
        /// Which events
        #[command(flatten)]
        filter: EventFilterArgs,
        /// Format of the rows
        #[arg(long, default_value = "parquet")]
        format: Format,
        /// Compression of the files
        #[arg(long, default_value = "zstd")]
        compression: Compression,
        /// Wait until it is complete
        #[arg(long)]
        watch: bool,
    },
    /// List exports, newest first
    List {
        /// Maximum number of exports
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
    },
    /// Show one export and its files
    Show {
        /// Id of the export
        export: String,
    },
    /// Wait until an export is complete
    Watch {
        /// Id of the export
        export: String,
    },
    /// Download the files and the manifest of a complete export, ready for verify-export; files that are already there
    /// are skipped
    Download {
        /// Id of the export
        export: String,
        /// Folder to download to, created if necessary [default: export-ID]
        #[arg(long, value_hint = ValueHint::DirPath)]
        to: Option<PathBuf>,
    },
    /// Cancel an unfinished export; remove a finished one with its files
    #[command(alias = "cancel")]
    Remove {
        /// Id of the export
        export: String,
    },
}

/// Runs a command.
pub async fn run(command: ExportsCommand, client: &Client, output: Output) -> Result<(), CliError> {
    match command {
        ExportsCommand::Create {
            filter,
            format,
            compression,
            watch,
        } => {
            let asked = filter.parameters(Utc::now()).into_iter();
            let asked: Map<String, Value> = asked.map(|(name, value)| (name.to_owned(), value.into())).collect();
            let body = json!({
                "filter": asked, "format": filter::name(format), "compression": filter::name(compression),
            });
            let job = Job::parse(client, client.post(PATH, &body).await?)?;
            let job = if watch {
                // Whoever stops to watch looks for it by its id.
                output.hint(&format!("export {}", job.id()));
                watched(job, client, output).await?
            } else {
                job
            };
            show(&job, output)
        }
        ExportsCommand::List { limit } => list(limit, client, output).await,
        ExportsCommand::Show { export } => show(&Job::get(client, &export).await?, output),
        ExportsCommand::Watch { export } => show(
            &watched(Job::get(client, &export).await?, client, output).await?,
            output,
        ),
        ExportsCommand::Download { export, to } => {
            let folder = to.unwrap_or_else(|| PathBuf::from(format!("export-{}", transfer::file_name(&export))));
            download(&export, &folder, client, output).await
        }
        ExportsCommand::Remove { export } => end(&export, client, output).await,
    }
}

fn path_of(export: &str) -> String {
    let export = percent_encoding::utf8_percent_encode(export, percent_encoding::NON_ALPHANUMERIC);
    format!("{PATH}/{export}")
}

/// An export, as the API returned it.
#[derive(Debug)]
struct Job {
    json: String,
    members: Value,
}

impl Job {
    async fn get(client: &Client, export: &str) -> Result<Self, CliError> {
        Self::parse(client, client.text(&path_of(export), &[]).await?)
    }

    fn parse(client: &Client, json: String) -> Result<Self, CliError> {
        let members = client.parsed(PATH, &json)?;
        Ok(Self { json, members })
    }

    fn id(&self) -> String {
        shown(&self.members["id"])
    }

    fn state(&self) -> &str {
        self.members["state"].as_str().unwrap_or("in an unknown state")
    }

    fn files(&self) -> &[Value] {
        self.members["files"].as_array().map(Vec::as_slice).unwrap_or_default()
    }

    /// The error of an export that ended without a result.
    fn ended(&self) -> CliError {
        let reason = self.members["error"].as_str();
        CliError::Export {
            id: self.id(),
            state: self.state().to_owned(),
            reason: reason.map(|reason| format!(": {reason}")).unwrap_or_default(),
        }
    }
}

async fn list(limit: u32, client: &Client, output: Output) -> Result<(), CliError> {
    let listing = Listing {
        path: PATH,
        asked: Vec::new(),
        take: Take::Pages(limit),
        columns: &JOBS,
        nothing: "there are no exports",
    };
    listing.show(client, output).await
}

fn show(job: &Job, output: Output) -> Result<(), CliError> {
    if output.is_json() {
        return output.document(&job.json);
    }
    output.line(&table::of_members(&job.members, &JOB_FIELDS))?;
    match job.files() {
        [] => Ok(()),
        files => output.line(&format!("\n{}", table::of_rows(&FILES, files))),
    }
}

/// Cancels an unfinished export; removes a finished one with its files.
async fn end(export: &str, client: &Client, output: Output) -> Result<(), CliError> {
    client.delete(&path_of(export)).await?;
    output.hint("cancelled if it was unfinished, removed if it was finished");
    Ok(())
}

/// The export once it is complete; an error if it ends otherwise.
async fn watched(mut job: Job, client: &Client, output: Output) -> Result<Job, CliError> {
    let bar = bar(
        "{spinner} {msg} {wide_bar} {human_pos} of {human_len} events, {eta} left",
        output,
    );
    let (mut interval, mut unreached) = (patience::LOOK_INTERVAL, 0);
    loop {
        bar.set_message(job.state().to_owned());
        bar.set_length(job.members["rows_planned"].as_u64().unwrap_or_default());
        bar.set_position(job.members["rows"].as_u64().unwrap_or_default());
        match job.state() {
            "complete" => {
                bar.finish_and_clear();
                return Ok(job);
            }
            "queued" | "running" => {}
            _ => return Err(job.ended()),
        }
        sleep(interval).await;
        interval = patience::longer(interval);
        // The export goes on when the service is back: until then there is nothing new, and its id stays known.
        job = match Job::get(client, &job.id()).await {
            Err(error @ CliError::Unreached { .. }) if unreached < patience::UNREACHED_MAX => {
                bar.suspend(|| eprintln!("horolog-query: export {}: {error}; trying again", job.id()));
                unreached += 1;
                continue;
            }
            looked => looked?,
        };
        unreached = 0;
    }
}

async fn download(export: &str, folder: &Path, client: &Client, output: Output) -> Result<(), CliError> {
    let job = Job::get(client, export).await?;
    if job.state() != "complete" {
        return Err(job.ended());
    }
    std::fs::create_dir_all(folder).map_err(CliError::file(folder))?;
    let wanted = wanted(&job);
    let bar = bar(
        "{msg} {wide_bar} {binary_bytes} of {binary_total_bytes}, {eta} left",
        output,
    );
    bar.set_length(wanted.iter().filter_map(|file| file.bytes).sum());
    let mut fetched = 0;
    for file in &wanted {
        bar.set_message(file.name.clone());
        let path = format!("{}/files/{}", path_of(export), transfer::file_name(&file.name));
        match transfer::fetch(client, &path, file, folder, &bar).await {
            // Not every manifest is signed.
            Err(CliError::Problem { problem, .. }) if problem.status == 404 && BESIDE.contains(&&*file.name) => {}
            done => {
                done?;
                fetched += 1;
            }
        }
    }
    bar.finish_and_clear();
    if output.is_json() {
        return output.document(&job.json);
    }
    output.line(&format!("{fetched} files in {}", folder.display()))?;
    output.hint(&format!(
        "check them with: horolog-query verify-export {}",
        folder.display()
    ));
    Ok(())
}

/// The files of a finished export, and what lies beside them.
fn wanted(job: &Job) -> Vec<Wanted> {
    let manifest = Wanted {
        name: manifest::NAME.to_owned(),
        sha256: Some(shown(&job.members["digest"])),
        bytes: None,
    };
    let files = job.files().iter().map(|file| Wanted {
        name: shown(&file["name"]),
        sha256: Some(shown(&file["sha256"])),
        bytes: file["bytes"].as_u64(),
    });
    let beside = BESIDE.map(|name| Wanted {
        name: name.to_owned(),
        sha256: None,
        bytes: None,
    });
    files.chain([manifest]).chain(beside).collect()
}

/// A progress bar on standard error, only on a terminal.
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
