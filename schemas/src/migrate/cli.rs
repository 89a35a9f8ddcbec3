//! The command line of `horolog-migrate`.
//!
//! Enters: arguments. Leaves: text or JSON on standard output, and an exit code: 0 success, 1 `check` found
//! differences, 2 an error (one line on standard error).

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;
use clap::{Args, Parser, Subcommand};

use super::check::check;
use super::config::MigrateConfig;
use super::diff::Difference;
use super::history::State;
use super::lock::Runner;
use super::server::Server;
use super::status::{Status, status};
use super::up::{Report, RunOptions, down, up};
use crate::Termination;

/// Set by the first SIGINT or SIGTERM: the run stops before its next step and releases its lock.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// ClickHouse migrations of Horolog.
#[derive(Debug, Parser)]
#[command(name = "horolog-migrate", version)]
pub struct Cli {
    #[command(flatten)]
    source: Source,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Args)]
struct Source {
    /// TOML file with the sections clickhouse, tables and retention.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// One setting: `--set retention.audit_days=3650`. Can be repeated. Also HOROLOG_MIGRATE__RETENTION__AUDIT_DAYS.
    #[arg(long, global = true, value_name = "SECTION.KEY=VALUE")]
    set: Vec<String>,
    /// Same as `--set clickhouse.url=…`.
    #[arg(long, global = true)]
    url: Option<String>,
    /// Same as `--set clickhouse.database=…`.
    #[arg(long, global = true)]
    database: Option<String>,
    /// Same as `--set clickhouse.user=…`.
    #[arg(long, global = true)]
    user: Option<String>,
    /// Same as `--set clickhouse.password_file=…`.
    #[arg(long, global = true, value_name = "FILE")]
    password_file: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Apply all pending migrations, and set the retention.
    Up {
        /// Stop after this version.
        #[arg(long, value_name = "VERSION")]
        to: Option<u32>,
        /// Proceed even if tables would then delete rows sooner, or no longer move them.
        #[arg(long)]
        shorten_retention: bool,
        /// Take over the lock of a runner that has died.
        #[arg(long)]
        break_lock: bool,
    },
    /// Revert all migrations above a version.
    Down {
        /// The version to go back to; 0 reverts everything.
        #[arg(long, value_name = "VERSION")]
        to: u32,
        /// Also drop tables that contain rows.
        #[arg(long)]
        destroy_data: bool,
        /// Take over the lock of a runner that has died.
        #[arg(long)]
        break_lock: bool,
    },
    /// Show which migrations are applied.
    Status {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Report every difference between the live schema and the migrations; exit code 1 if there is any.
    Check {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

impl Source {
    fn server(&self) -> anyhow::Result<Server> {
        let flags = [
            ("url", &self.url),
            ("database", &self.database),
            ("user", &self.user),
            ("password_file", &self.password_file),
        ];
        let quoted = |value: &String| serde_json::Value::from(value.as_str()); // a flag is text, even if it looks like TOML
        let flags = flags.into_iter().filter_map(|(key, value)| {
            value
                .as_ref()
                .map(|value| format!("clickhouse.{key}={}", quoted(value)))
        });
        let assignments: Vec<String> = self.set.iter().cloned().chain(flags).collect();
        Ok(MigrateConfig::load(self.config.as_deref(), &assignments)?.server()?)
    }
}

/// Runs the command.
pub async fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let server = cli.source.server()?;
    match cli.command {
        Command::Up {
            to,
            shorten_retention,
            break_lock,
        } => {
            stop_on_signals()?;
            let to_version = to.map_or_else(String::new, |to| format!(" --to {to}"));
            let shorten = if shorten_retention { " --shorten-retention" } else { "" };
            let options = options(&format!("up{to_version}{shorten}"), break_lock);
            print_report("applied", &up(&server, to, shorten_retention, &options).await?);
        }
        Command::Down {
            to,
            destroy_data,
            break_lock,
        } => {
            stop_on_signals()?;
            let command = format!("down --to {to}{}", if destroy_data { " --destroy-data" } else { "" });
            print_report(
                "reverted",
                &down(&server, to, destroy_data, &options(&command, break_lock)).await?,
            );
        }
        Command::Status { json: false } => print_status(&status(&server).await?),
        Command::Status { json: true } => println!("{}", serde_json::to_string_pretty(&status(&server).await?)?),
        Command::Check { json } => return print_differences(&check(&server).await?, json),
    }
    Ok(ExitCode::SUCCESS)
}

fn options(command: &str, break_lock: bool) -> RunOptions<'static> {
    RunOptions {
        runner: Runner::this_process(command),
        break_lock,
        interrupted: &INTERRUPTED,
    }
}

fn stop_on_signals() -> anyhow::Result<()> {
    let mut termination = Termination::listen().context("cannot listen for signals")?;
    tokio::spawn(async move {
        termination.requested().await;
        INTERRUPTED.store(true, Ordering::Relaxed);
    });
    Ok(())
}

fn print_report(what: &str, report: &Report) {
    for migration in &report.migrations {
        println!("{what} {migration}");
    }
    for table in &report.retention {
        println!("set the retention of {table}");
    }
    if report.row_policies {
        println!("set up roles and row policies");
    }
    if !report.newer.is_empty() {
        println!(
            "nothing to do: a newer release has migrated the tables ({}); this release works with them",
            report.newer.join(", ")
        );
    }
    if *report == Report::default() {
        println!("nothing to do");
    }
}

fn print_status(status: &Status) {
    for entry in &status.migrations.entries {
        let state = match entry.state {
            State::Applied => "applied",
            State::Pending => "pending",
            State::Changed => "changed after it was applied",
            State::Unknown => "applied by a newer release",
        };
        let at = entry
            .applied_at
            .map_or_else(String::new, |at| at.format("%Y-%m-%d %H:%M:%S UTC").to_string());
        println!("{:<32} {state:<10} {at}", entry.id);
    }
    if let Some(holder) = &status.lock {
        println!("locked by {holder}");
    }
}

fn print_differences(differences: &[Difference], json: bool) -> anyhow::Result<ExitCode> {
    if json {
        println!("{}", serde_json::to_string_pretty(differences)?);
    } else if differences.is_empty() {
        println!("no differences");
    } else {
        differences.iter().for_each(|difference| println!("{difference}"));
    }
    Ok(if differences.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(1)
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn down_wants_to_know_how_far() {
        assert!(Cli::try_parse_from(["horolog-migrate", "down"]).is_err());
    }
}
