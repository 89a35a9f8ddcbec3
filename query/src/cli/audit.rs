//! `horolog-query audit`: search, one event with what it changed, time lines, counts.

use chrono::Utc;
use clap::{Subcommand, ValueEnum};
use serde_json::Value;

use super::client::{Client, Parameters};
use super::error::CliError;
use super::filter::{self, EventFilterArgs};
use super::output::Output;
use super::table::{self, Column, at, number, plain, shown, text};

const EVENTS_PATH: &str = "/v1/audit/events";
const EVENTS: [Column; 8] = [
    text("TIME", "occurred_at"),
    text("STATUS", "status"),
    text("USER", "user_id"),
    text("ACTION", "action"),
    text("TYPE", "resource_type"),
    text("RESOURCE", "resource_id"),
    text("ADDRESS", "ip_address"),
    text("EVENT", "event_id"),
];
/// An event, field by field, in the order in which people ask: what, who, on what, from where, and the evidence.
const EVENT_FIELDS: [&str; 24] = [
    "occurred_at",
    "status",
    "error_message",
    "action",
    "user_id",
    "team_id",
    "resource_type",
    "resource_id",
    "resource_name",
    "source",
    "service_id",
    "plugin_id",
    "ip_address",
    "user_agent",
    "session_id",
    "request_id",
    "metadata",
    "event_id",
    "tenant_id",
    "kafka.topic",
    "kafka.partition",
    "kafka.offset",
    "kafka.timestamp",
    "inserted_at",
];

/// What can be asked.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Events that match every filter, newest first
    Search {
        /// Which events
        #[command(flatten)]
        filter: EventFilterArgs,
        /// Events at most
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
    },
    /// One event, with what it changed
    Show {
        /// The event's id
        event: String,
    },
    /// What a user did, or what was done to a resource, newest first
    Timeline {
        /// The user
        #[arg(long, required_unless_present = "resource", conflicts_with = "resource")]
        user: Option<String>,
        /// The resource's id
        #[arg(long, requires = "resource_type")]
        resource: Option<String>,
        /// The resource's type
        #[arg(long, requires = "resource")]
        resource_type: Option<String>,
        /// The oldest first
        #[arg(long)]
        oldest: bool,
        /// Events at most
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
    },
    /// How many events, by a column and over time
    Counts {
        /// Which events
        #[command(flatten)]
        filter: EventFilterArgs,
        /// The column
        #[arg(long, default_value = "action")]
        by: String,
        /// In steps of this length
        #[arg(long)]
        bucket: Option<Bucket>,
    },
}

/// Steps of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Bucket {
    /// Hours.
    Hour,
    /// Days, UTC.
    Day,
    /// Months, UTC.
    Month,
}

/// Does it.
pub async fn run(command: AuditCommand, client: &Client, output: Output) -> Result<(), CliError> {
    match command {
        AuditCommand::Search { filter, limit } => events(&filter.parameters(Utc::now()), limit, client, output).await,
        AuditCommand::Timeline {
            user,
            resource,
            resource_type,
            oldest,
            limit,
        } => {
            let asked = [
                ("user_id", user),
                ("resource_type", resource_type),
                ("resource_id", resource),
                ("order", oldest.then(|| "oldest".to_owned())),
            ];
            let asked: Parameters = asked
                .into_iter()
                .filter_map(|(name, value)| Some((name, value?)))
                .collect();
            events(&asked, limit, client, output).await
        }
        AuditCommand::Show { event } => show(&event, client, output).await,
        AuditCommand::Counts { filter, by, bucket } => {
            let mut asked = filter.parameters(Utc::now());
            asked.push(("by", by));
            asked.extend(bucket.map(|bucket| ("bucket", filter::name(bucket))));
            counts(&asked, client, output).await
        }
    }
}

async fn events(asked: &Parameters, limit: u32, client: &Client, output: Output) -> Result<(), CliError> {
    let mut rows: Vec<Value> = Vec::new();
    let more = client
        .rows(EVENTS_PATH, asked, limit as usize, |page, _| {
            if output.is_json() {
                return output.documents(&page);
            }
            rows.extend(page);
            Ok(())
        })
        .await?;
    if !output.is_json() {
        if rows.is_empty() {
            output.hint("no events match");
            return Ok(());
        }
        output.line(&table::of_rows(&EVENTS, &rows))?;
    }
    if more {
        output.hint("there are more: raise --limit, or narrow the question");
    }
    Ok(())
}

async fn show(event: &str, client: &Client, output: Output) -> Result<(), CliError> {
    let path = format!(
        "/v1/audit/events/{}",
        percent_encoding::utf8_percent_encode(event, percent_encoding::NON_ALPHANUMERIC)
    );
    let answer = client.get(&path, &[]).await?;
    if output.is_json() {
        return output.documents(&[answer]);
    }
    let facts: Vec<(&str, String)> = EVENT_FIELDS
        .iter()
        .map(|&path| (path, shown(at(&answer["event"], path))))
        .collect();
    output.line(&table::of_facts(&facts))?;
    for line in changes(&answer) {
        output.line(&line)?;
    }
    Ok(())
}

/// What it changed, a line for each field that was added, removed or changed.
fn changes(answer: &Value) -> Vec<String> {
    let changes = answer["difference"]["changes"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let mut lines = vec![String::new()];
    for change in changes {
        let value = |side: &str| plain(&change[side].to_string());
        let path = plain(change["path"].as_str().unwrap_or_default());
        lines.push(match change["op"].as_str() {
            Some("add") => format!("+ {path}: {}", value("new")),
            Some("remove") => format!("- {path}: {}", value("old")),
            _ => format!("~ {path}: {} -> {}", value("old"), value("new")),
        });
    }
    if lines.len() == 1 { Vec::new() } else { lines }
}

async fn counts(asked: &Parameters, client: &Client, output: Output) -> Result<(), CliError> {
    let answer = client.get("/v1/audit/counts", asked).await?;
    let rows = answer["rows"].as_array().map(Vec::as_slice).unwrap_or_default();
    if output.is_json() {
        return output.documents(rows);
    }
    output.line(&table::of_rows(
        &[text("TIME", "time"), text("VALUE", "value"), number("EVENTS", "count")],
        rows,
    ))
}
