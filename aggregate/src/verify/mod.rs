//! `horolog-aggregate verify`: compares the hours with the raw rows and with the ledger, and the ledger with the log.
//!
//! [`verifier`] decides what can be compared while records keep arriving; [`keys`] compares key by key, [`totals`]
//! hours as a whole, [`offsets`] the ranges of the ledger. Differences are reported by hour, key and offsets
//! ([`finding`]). Read-only.

mod continuous;
mod differing;
mod finding;
mod keys;
mod offsets;
mod totals;
mod verifier;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use horolog_stage::completeness::{PartitionProgress, complete_hours_end};
use horolog_stage::store::Store;
use serde_json::json;

pub use continuous::{ContinuousVerification, VerifyConfig};
pub use verifier::{Outcome, Verifier};

use crate::broker::Broker;
use crate::config::Config;
use crate::key::HOUR_S;
use crate::ledger;
use crate::scope::{Scope, parse_hour, show_hour};
use crate::tool_error::ToolError;

/// Maximum number of hours without a comparison to name.
const TOLD_MAX: usize = 10;

/// What to verify.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// First hour: 2026-01-31T14:00:00Z, 2026-01-31T14 or 2026-01-31 (UTC). By default as far back as raw rows are
    /// kept.
    #[arg(long, value_name = "HOUR", value_parser = parse_hour)]
    pub from: Option<u32>,
    /// End of the last hour (exclusive), in the same formats. By default all complete hours.
    #[arg(long, value_name = "HOUR", value_parser = parse_hour)]
    pub to: Option<u32>,
    /// Do not ask Kafka; compare tables only.
    #[arg(long)]
    pub without_kafka: bool,
    /// How long to wait for ingest to store what the hours already contain, seconds.
    #[arg(long, default_value_t = 60)]
    pub wait_s: u64,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// How a verification ended, as exit codes of diff(1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Everything that was asked for is equal.
    Equal = 0,
    /// Something differs.
    Differs = 1,
    /// Nothing that could be compared differs, but not everything could be.
    NotCompared = 2,
}

/// Runs the command.
pub async fn run(config: &Config, args: &Args) -> Result<Verdict, ToolError> {
    let store = Store::with_current_tables(&config.clickhouse).await?;
    let broker = match args.without_kafka {
        true => None,
        false => Some(Arc::new(Broker::new(&config.kafka, &config.source.group)?)),
    };
    let verifier = Verifier {
        store,
        broker,
        topic: config.source.metrics_topic.clone(),
        patience: Duration::from_secs(args.wait_s),
    };
    let scope = verifier.scope(args.from, args.to).await?;
    let outcome = verifier.verify(&scope).await?;
    let verdict = outcome.verdict();
    if args.json {
        println!("{}", outcome.to_json(&scope));
    } else {
        outcome.print(&scope);
    }
    Ok(verdict)
}

impl Verifier {
    /// The hours to verify.
    async fn scope(&self, from: Option<u32>, to: Option<u32>) -> Result<Scope, ToolError> {
        let to = match to {
            Some(to) => to,
            None => {
                let progress = ledger::progress(&self.store).await?;
                complete_hours_end_of(&progress, &self.topic).ok_or_else(|| {
                    ToolError::Refused("no hour is complete yet: choose the hours to compare with --to".to_owned())
                })?
            }
        };
        let from = match (from, self.raw_days().await?) {
            (Some(from), _) => from,
            (None, Some(days)) => to.saturating_sub(days.saturating_mul(24 * HOUR_S)),
            (None, None) => self.first_raw_hour().await?,
        };
        if from >= to {
            return Err(ToolError::Refused(format!(
                "--to ({}) must be after --from ({})",
                show_hour(to),
                show_hour(from)
            )));
        }
        Ok(Scope::all(from, to))
    }

    async fn first_raw_hour(&self) -> Result<u32, ToolError> {
        let query = "select toUInt32(toUnixTimestamp(toStartOfHour(min(time)))) from metrics";
        Ok(self.store.client.query(query).fetch_one().await?)
    }
}

/// End of the last complete hour of a topic, from the progress of all topics. `None` while one of its partitions has
/// not reported.
pub(crate) fn complete_hours_end_of(progress: &[PartitionProgress], topic: &str) -> Option<u32> {
    let of_topic = progress.iter().filter(|row| row.kafka_topic == topic);
    complete_hours_end(&of_topic.cloned().collect::<Vec<_>>())
}

impl Outcome {
    /// How it ended.
    pub fn verdict(&self) -> Verdict {
        if !self.findings.is_empty() {
            Verdict::Differs
        } else if self.not_compared.is_empty() && self.failures.is_empty() {
            Verdict::Equal
        } else {
            Verdict::NotCompared
        }
    }

    fn to_json(&self, scope: &Scope) -> serde_json::Value {
        let hours = |hours: &BTreeMap<u32, &'static str>| -> BTreeMap<String, &'static str> {
            hours.iter().map(|(hour, why)| (show_hour(*hour), *why)).collect()
        };
        json!({
            "from": show_hour(scope.from),
            "to": show_hour(scope.to),
            "hours_compared": self.hours.len(),
            "hours_compared_with_the_ledger_alone": self.hours_by_ledger.len(),
            "differences": self.findings,
            "not_compared": hours(&self.not_compared),
            "failures": self.failures,
        })
    }

    fn print(&self, scope: &Scope) {
        for finding in &self.findings {
            println!("differs: {finding}");
        }
        if !self.findings.is_empty() {
            println!(
                "at most {} differing keys are listed per hour, where many hours differ one of each, and offsets of the \
                 first hours",
                keys::TOLD_AN_HOUR_MAX
            );
        }
        for (hour, why) in self.not_compared.iter().take(TOLD_MAX) {
            println!("not compared: {}: {why}", show_hour(*hour));
        }
        if self.not_compared.len() > TOLD_MAX {
            println!("not compared: {} more hours", self.not_compared.len() - TOLD_MAX);
        }
        for failure in &self.failures {
            println!("not compared: {failure}");
        }
        println!(
            "{scope}: {} hours compared with raw rows and ledger, {} with the ledger alone (raw rows expired, or \
             deleted from Kafka before ingest read them), {} not \
             compared; {} differences",
            self.hours.len(),
            self.hours_by_ledger.len(),
            self.not_compared.len(),
            self.findings.len()
        );
    }
}
