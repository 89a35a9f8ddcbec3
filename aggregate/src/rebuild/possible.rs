//! Whether the records of some hours are still there to be recomputed from.
//!
//! The ledger of the aggregate stage counts the records of each hour and is kept for years; raw rows expire after days,
//! and the log deletes records as well. Rebuilding an hour from fewer records than the ledger counts would lose data.
//! So such an hour is refused, and with it the whole rebuild; the refusal names the hours that are still possible.

use std::collections::{BTreeMap, BTreeSet};

use horolog_stage::incident::{Incident, Reason};
use horolog_stage::range::PartitionId;
use horolog_stage::store::Store;

use super::raw_rows::{self, RawRows};
use super::register::Source;
use crate::broker::Broker;
use crate::cut::Cut;
use crate::hour_runs::hour_runs;
use crate::key::HOUR_S;
use crate::ledger::{self, HourBatch};
use crate::overflow::OVERFLOW_METRIC;
use crate::scope::{Scope, show_hour};
use crate::tool_error::ToolError;

/// Maximum number of hours to name.
const TOLD_MAX: usize = 8;
/// Raw rows that one statement compares with the ledger, unless a single hour has more. For each run the whole ledger is
/// read twice.
const COMPARED_ROWS_MAX: u64 = 50_000_000;

/// Missing records by hour; empty if all are there. Duplicate raw rows are refused, and rows that the aggregate stage
/// never saw are welcome, but neither of them stands for a row that is missing.
pub async fn missing_raw(store: &Store, scope: &Scope, cut: &Cut) -> Result<BTreeMap<u32, u64>, ToolError> {
    let everything = Scope::all(scope.from, scope.to);
    let mut counts = ledger::hour_counts(store, &everything, cut).await?;
    for (hour, rows) in ledger::raw_counts(store, &everything, cut).await? {
        let count = counts.entry(hour).or_default();
        *count = rows.max(*count);
    }
    let mut missing = BTreeMap::new();
    for run in hour_runs(&counts, &BTreeSet::new(), COMPARED_ROWS_MAX) {
        let hours = everything.in_hours(run.start, run.end);
        let batches = ledger::batches(store, &hours, cut).await?;
        let rows = raw_rows::read(store, &hours, cut).await?;
        refuse_doubles(&rows)?;
        missing.extend(raw_rows::lacking(&batches, &rows));
    }
    Ok(missing)
}

/// Refuses to rebuild one metric alone if keys of a tenant's hour were folded into the overflow key: its records would
/// be in its own keys and in the overflow key, which no longer knows whose they are. Rows of `epoch` and later ones do
/// not matter.
pub async fn refuse_folded(store: &Store, scope: &Scope, epoch: u32) -> Result<(), ToolError> {
    if scope.metric.is_empty() {
        return Ok(());
    }
    let all_metrics = Scope {
        metric: String::new(),
        ..scope.clone()
    };
    let query = format!(
        "select toUnixTimestamp(hour) as start, tenant_id from visible_partials as h \
         where {} and metric_name = '{OVERFLOW_METRIC}' and epoch < {epoch} order by all limit 1",
        all_metrics.hourly_condition()
    );
    let folded = all_metrics.bind(store.client.query(&query));
    match folded.fetch_optional::<(u32, String)>().await? {
        None => Ok(()),
        Some((hour, tenant)) => Err(ToolError::Refused(format!(
            "keys of {}, tenant {tenant}, are folded into {OVERFLOW_METRIC}, possibly including those of {}: leave out \
             --metric",
            show_hour(hour),
            scope.metric
        ))),
    }
}

fn refuse_doubles(rows: &[RawRows]) -> Result<(), ToolError> {
    match rows
        .iter()
        .filter(|rows| rows.has_doubles())
        .min_by_key(|rows| rows.hour)
    {
        None => Ok(()),
        Some(doubled) => Err(ToolError::Refused(format!(
            "raw rows of {} are stored more than once, first in {} among offsets {}-{}: `horolog-aggregate verify` lists \
             them; rebuild with --source kafka, or remove the copies",
            show_hour(doubled.hour),
            doubled.log(),
            doubled.first,
            doubled.last + 1
        ))),
    }
}

/// Records whose offsets the log no longer has, by hour.
pub fn missing_in_log(batches: &[HourBatch], cut: &Cut, broker: &Broker) -> Result<BTreeMap<u32, u64>, ToolError> {
    let logs: BTreeSet<&PartitionId> = batches.iter().map(|batch| &batch.log).collect();
    let mut bounds = BTreeMap::new();
    for log in logs {
        let is_there = log.partition < broker.probe.partition_count(&log.topic)?;
        bounds.insert(log, is_there.then(|| broker.probe.bounds(log)).transpose()?);
    }
    let mut missing = BTreeMap::new();
    for batch in batches {
        let is_whole = bounds[&batch.log].is_some_and(|log| log.start <= batch.start.offset && batch.end <= log.end);
        let newest = cut
            .get(&batch.log)
            .is_some_and(|cut| cut.log_epoch == batch.start.log_epoch);
        if !(newest && is_whole) {
            for (hour, records) in &batch.hours {
                *missing.entry(*hour).or_default() += records;
            }
        }
    }
    Ok(missing)
}

/// The refusal; also recorded as one incident per hour.
pub async fn refuse(store: &Store, scope: &Scope, source: Source, missing: &BTreeMap<u32, u64>) -> ToolError {
    let what = match source {
        Source::Raw => "raw rows have expired or are missing",
        Source::Kafka => "the log no longer has records",
    };
    record_incidents(store, scope, what, missing).await;
    let mut hours: Vec<String> = missing
        .iter()
        .take(TOLD_MAX)
        .map(|(hour, records)| format!("{} ({records} records)", show_hour(*hour)))
        .collect();
    if missing.len() > TOLD_MAX {
        hours.push(format!("{} more hours", missing.len() - TOLD_MAX));
    }
    let other = match source {
        Source::Raw => "kafka",
        Source::Kafka => "raw",
    };
    ToolError::Refused(format!(
        "{what} of {}: a rebuild would lose what these hours contain; {}; or try --source {other}",
        hours.join(", "),
        still_possible(scope, missing)
    ))
}

/// The hours between the impossible ones.
fn still_possible(scope: &Scope, missing: &BTreeMap<u32, u64>) -> String {
    let mut runs = Vec::new();
    let mut from = scope.from;
    for hour in missing.keys().copied().chain([scope.to]) {
        if from < hour {
            runs.push(format!("--from {} --to {}", show_hour(from), show_hour(hour)));
        }
        from = hour + HOUR_S;
    }
    // The newest hours are the most wanted.
    let runs: Vec<String> = runs.into_iter().rev().take(TOLD_MAX).collect();
    if runs.is_empty() {
        "none of these hours can be rebuilt".to_owned()
    } else {
        format!("these can be rebuilt: {}", runs.join(", "))
    }
}

async fn record_incidents(store: &Store, scope: &Scope, what: &str, missing: &BTreeMap<u32, u64>) {
    for (hour, records) in missing.iter().rev().take(TOLD_MAX) {
        let detail = format!("a rebuild was refused: {what}");
        let incident = Incident {
            tenant_id: scope.tenant.clone(),
            metric_name: scope.metric.clone(),
            records: *records,
            ..Incident::of_hour("aggregate", Reason::RawExpired, *hour, detail)
        };
        if !incident.record(store).await {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_still_possible_lies_between_what_is_not() {
        let scope = Scope::all(0, 5 * HOUR_S);
        let missing = |hours: &[u32]| hours.iter().map(|hour| (hour * HOUR_S, 1)).collect();
        assert_eq!(
            still_possible(&scope, &missing(&[0, 1])),
            "these can be rebuilt: --from 1970-01-01T02:00:00Z --to 1970-01-01T05:00:00Z"
        );
        assert_eq!(
            still_possible(&scope, &missing(&[2, 4])),
            "these can be rebuilt: --from 1970-01-01T03:00:00Z --to 1970-01-01T04:00:00Z, \
             --from 1970-01-01T00:00:00Z --to 1970-01-01T02:00:00Z"
        );
        assert_eq!(
            still_possible(&scope, &missing(&[0, 1, 2, 3, 4])),
            "none of these hours can be rebuilt"
        );
    }
}
