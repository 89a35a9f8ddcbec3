//! `horolog-query audit`: search, one event with what it changed, timelines, counts.

use chrono::Utc;
use clap::Subcommand;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::client::{Client, Parameters, Take};
use super::error::CliError;
use super::filter::{self, EventFilterArgs, SpanArgs};
use super::listing::{Listing, Row};
use super::output::Output;
use super::table::{self, Column, number, one_line, plain, text};
use crate::audit::counts::Bucket;

pub(super) const EVENTS_PATH: &str = "/v1/audit/events";
const NO_EVENTS: &str = "no events match";
const COUNTS: [Column; 3] = [text("TIME", "time"), text("VALUE", "value"), number("EVENTS", "count")];
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
/// The fields of an event, in the order in which people ask: what, who, on what, from where, and the evidence.
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

/// Commands about audit events.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// List events that match every filter, newest first
    Search {
        /// Which events
        #[command(flatten)]
        filter: EventFilterArgs,
        /// List the oldest first
        #[arg(long)]
        oldest: bool,
        /// Maximum number of events
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
    },
    /// Show one event and what it changed
    Show {
        /// Id of the event
        event: Uuid,
    },
    /// List what a user did, or what was done to a resource, newest first
    Timeline {
        /// Id of the user
        #[arg(long, required_unless_present = "resource", conflicts_with = "resource")]
        user: Option<String>,
        /// Id of the resource; with --resource-type
        #[arg(long, requires = "resource_type")]
        resource: Option<String>,
        /// Type of the resource; with --resource
        #[arg(long, requires = "resource")]
        resource_type: Option<String>,
        /// When
        #[command(flatten)]
        span: SpanArgs,
        /// List the oldest first
        #[arg(long)]
        oldest: bool,
        /// Maximum number of events
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
    },
    /// Count events by a column and over time
    Counts {
        /// Which events
        #[command(flatten)]
        filter: EventFilterArgs,
        /// Column to count by: action, user_id, service_id, resource_type, status, …
        #[arg(long, default_value = "action")]
        by: String,
        /// Size of the time buckets, in UTC
        #[arg(long)]
        bucket: Option<Bucket>,
        /// Maximum number of groups, up to 10000: the largest, or with --bucket the first
        #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
    },
}

/// Runs a command.
pub async fn run(command: AuditCommand, client: &Client, output: Output) -> Result<(), CliError> {
    match command {
        AuditCommand::Search { filter, oldest, limit } => {
            let mut asked = filter.parameters(Utc::now());
            asked.extend(order(oldest));
            events(asked, limit, client, output).await
        }
        AuditCommand::Timeline {
            user,
            resource,
            resource_type,
            span,
            oldest,
            limit,
        } => {
            let of = [
                ("user_id", user),
                ("resource_type", resource_type),
                ("resource_id", resource),
            ];
            let mut asked = span.parameters(Utc::now());
            asked.extend(of.into_iter().filter_map(|(name, value)| Some((name, value?))));
            asked.extend(order(oldest));
            events(asked, limit, client, output).await
        }
        AuditCommand::Show { event } => show(event, client, output).await,
        AuditCommand::Counts {
            filter,
            by,
            bucket,
            limit,
        } => {
            let mut asked = filter.parameters(Utc::now());
            asked.push(("by", by));
            asked.extend(bucket.map(|bucket| ("bucket", filter::name(bucket))));
            let listing = Listing {
                path: "/v1/audit/counts",
                asked,
                take: Take::Once(limit),
                columns: &COUNTS,
                nothing: NO_EVENTS,
            };
            listing.show(client, output).await
        }
    }
}

/// Newest first is the API's default.
fn order(oldest: bool) -> Option<(&'static str, String)> {
    oldest.then(|| ("order", "oldest".to_owned()))
}

async fn events(asked: Parameters, limit: u32, client: &Client, output: Output) -> Result<(), CliError> {
    let listing = Listing {
        path: EVENTS_PATH,
        asked,
        take: Take::Pages(limit),
        columns: &EVENTS,
        nothing: NO_EVENTS,
    };
    listing.show(client, output).await
}

async fn show(event: Uuid, client: &Client, output: Output) -> Result<(), CliError> {
    let path = format!("{EVENTS_PATH}/{event}");
    let json = client.text(&path, &[]).await?;
    if output.is_json() {
        return output.document(&json);
    }
    let answer: Answer = client.parsed(&path, &json)?;
    output.line(&table::of_members(&answer.event.0, &EVENT_FIELDS))?;
    for line in changes(&answer.difference) {
        output.line(&line)?;
    }
    if let Some(line) = repeats(&answer) {
        output.line(&line)?;
    }
    Ok(())
}

/// How many later records have the event's id, and whether they say the same: the service takes the first one.
fn repeats(answer: &Answer) -> Option<String> {
    let content = |event: &Row| {
        let mut members = event.0.as_object().cloned().unwrap_or_default();
        members.retain(|name, _| name != "kafka" && name != "inserted_at");
        members
    };
    let of_first = content(&answer.event);
    let different = answer
        .repeats
        .iter()
        .filter(|repeat| content(repeat) != of_first)
        .count();
    match (answer.repeats.len(), different) {
        (0, _) => None,
        (1, 0) => Some("1 later record repeats it".to_owned()),
        (all, 0) => Some(format!("{all} later records repeat it")),
        (all, different) => Some(format!(
            "later records with this id: {all}, of which {different} say something else; --json shows them"
        )),
    }
}

/// The fields of the answer that are shown.
#[derive(Debug, Deserialize)]
struct Answer {
    event: Row,
    difference: Difference,
    repeats: Vec<Row>,
}

/// What the event changed. Values stay as they were written: a number of thirty digits keeps them all.
#[derive(Debug, Deserialize)]
struct Difference {
    changes: Vec<Change>,
    truncated: bool,
}

#[derive(Debug, Deserialize)]
struct Change {
    op: String,
    path: String,
    #[serde(default, deserialize_with = "there")]
    old: Option<Box<RawValue>>,
    #[serde(default, deserialize_with = "there")]
    new: Option<Box<RawValue>>,
}

/// A value that is present, even if `null`.
fn there<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Box<RawValue>>, D::Error> {
    Box::deserialize(deserializer).map(Some)
}

/// A line for each added, removed or changed field.
fn changes(difference: &Difference) -> Vec<String> {
    let mut lines = vec![String::new()];
    for change in &difference.changes {
        let value = |side: &Option<Box<RawValue>>| side.as_ref().map_or_else(String::new, |json| plain(json.get()));
        let (path, old, new) = (one_line(&plain(&change.path)), value(&change.old), value(&change.new));
        lines.push(match change.op.as_str() {
            "add" => format!("+ {path}: {new}"),
            "remove" => format!("- {path}: {old}"),
            _ => format!("~ {path}: {old} -> {new}"),
        });
    }
    if difference.truncated {
        lines.push("there are more changes; --json shows both values in full".to_owned());
    }
    if lines.len() == 1 { Vec::new() } else { lines }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_is_a_value() {
        let json = r#"{"truncated":false,"changes":[{"op":"replace","path":"/a","old":null,"new":1},
            {"op":"add","path":"/b","new":null},{"op":"remove","path":"/c","old":null}]}"#;
        let lines = changes(&serde_json::from_str(json).unwrap());
        assert_eq!(lines, ["", "~ /a: null -> 1", "+ /b: null", "- /c: null"]);
    }
}
