//! Offsets: the ranges of the ledger follow one another without gaps or overlaps, and agree with the log and the
//! group's commits.
//!
//! Asks in the order commit, ledger, log: each is behind the next, so progress in between never looks wrong.

use std::collections::BTreeMap;
use std::sync::Arc;

use clickhouse::Row;
use horolog_stage::LEDGER_TABLE;
use horolog_stage::intent::Committed;
use horolog_stage::range::PartitionId;
use horolog_stage::store::Store;
use serde::Deserialize;

use super::finding::{Finding, Span};
use crate::broker::Broker;
use crate::cut::{Position, client_literal};
use crate::ledger;
use crate::tool_error::ToolError;

/// Maximum number of holes and overlaps reported.
const TOLD_MAX: usize = 100;
/// The stages that read the topic.
const STAGES: [&str; 2] = ["aggregate", "ingest"];

/// Holes and overlaps in the ledgers of these topics. Two rows of one gap, of which one is longer, are neither.
pub async fn contiguous(store: &Store, topics: &[&str]) -> Result<Vec<Finding>, ToolError> {
    #[derive(Row, Deserialize)]
    struct Found {
        stage: String,
        kafka_topic: String,
        kafka_partition: i32,
        log_epoch: u32,
        start_offset: i64,
        covered_to: i64,
    }
    store.catch_up(&[LEDGER_TABLE]).await?;
    let topics: Vec<String> = topics.iter().copied().map(client_literal).collect();
    let named = format!(
        "entry in ('batch', 'recovered', 'gap', 'epoch') and kafka_topic in [{}]",
        topics.join(", ")
    );
    // Only logs that have holes or overlaps are sorted. Ranges go forward, so they are one path exactly if their starts
    // without the first are their ends without the last. The empty one that begins a life is both, and is looked for.
    let query = format!(
        "select stage, kafka_topic, kafka_partition, log_epoch, start_offset, covered_to from ( \
           select stage, kafka_topic, kafka_partition, log_epoch, start_offset, entry = 'gap' as is_gap, \
             max(end_offset) over w as covered_to, maxIf(end_offset, entry != 'gap') over w as stored_to, \
             count() over w + 1 as number \
           from batch_ledger final where {named} and (stage, kafka_topic, kafka_partition, log_epoch) in ( \
             select stage, kafka_topic, kafka_partition, log_epoch from batch_ledger final where {named} \
             group by stage, kafka_topic, kafka_partition, log_epoch \
             having sum(intHash64(start_offset)) - intHash64(min(start_offset)) \
                 != sum(intHash64(end_offset)) - intHash64(max(end_offset)) \
               or maxIf(start_offset, entry = 'epoch') > min(start_offset)) \
           window w as (partition by stage, kafka_topic, kafka_partition, log_epoch order by start_offset, end_offset \
             rows between unbounded preceding and 1 preceding)) \
         where number > 1 and (start_offset > covered_to \
           or start_offset < covered_to and not (is_gap and start_offset >= stored_to)) order by all limit {TOLD_MAX}"
    );
    let rows: Vec<Found> = store.client.query(&query).fetch_all().await?;
    let finding = |row: Found| Finding::Ledger {
        stage: row.stage,
        what: if row.start_offset > row.covered_to {
            "gap"
        } else {
            "overlap"
        },
        offsets: Span {
            log: format!("{}/{}", row.kafka_topic, row.kafka_partition),
            log_epoch: row.log_epoch,
            start: row.start_offset.min(row.covered_to),
            end: row.start_offset.max(row.covered_to),
            ledger: None,
            raw: 0,
        },
    };
    let mut findings: Vec<Finding> = rows.into_iter().map(finding).collect();
    for finding in &mut findings {
        if let Finding::Ledger { offsets, .. } = finding {
            offsets.raw = raw_rows(store, offsets).await?;
        }
    }
    Ok(findings)
}

async fn raw_rows(store: &Store, span: &Span) -> Result<u64, ToolError> {
    let query = "select count() from metrics where concat(kafka_topic, '/', toString(kafka_partition)) = ? and log_epoch = ? \
         and kafka_offset >= ? and kafka_offset < ?";
    let query = store.client.query(query).bind(&span.log).bind(span.log_epoch);
    Ok(query.bind(span.start).bind(span.end).fetch_one().await?)
}

/// The ends of the ledgers against the group's commits and the log, for every partition that the topic has now.
pub async fn against_log(store: &Store, broker: &Arc<Broker>, topic: &str) -> Result<Vec<Finding>, ToolError> {
    let commits = commits(broker, topic).await?;
    if commits.is_empty() {
        let missing = format!("Kafka has no topic {topic}: is source.metrics_topic right?");
        return Err(ToolError::Refused(missing));
    }
    let progress = ledger::aggregated(&ledger::progress(store).await?);
    let mut findings = Vec::new();
    for stage in STAGES {
        let ends = ledger::stored_ends(store, stage).await?;
        let starts = first_starts(store, stage, topic).await?;
        for (log, committed) in &commits {
            let end = ends.get(log).copied();
            let mut say = |what: String| {
                findings.push(Finding::Log {
                    stage: stage.to_owned(),
                    log: log.to_string(),
                    what,
                });
            };
            if stage == "aggregate" {
                if let Some(what) = commit_ahead(*committed, end) {
                    say(what);
                }
                if let Some(at) = progress
                    .get(log)
                    .filter(|at| end.is_none_or(|end| *at > end) && at.offset > 0)
                {
                    say(format!(
                        "progress says that offsets before {} are in the hours, its ledger does not",
                        at.offset
                    ));
                }
            }
            let (asked, of) = (broker.clone(), log.clone());
            let bounds = tokio::task::spawn_blocking(move || asked.probe.bounds(&of)).await;
            let bounds = bounds??;
            for what in log_and_ledger(bounds.start, bounds.end, starts.get(log).copied(), end) {
                say(what);
            }
        }
    }
    Ok(findings)
}

async fn commits(broker: &Arc<Broker>, topic: &str) -> Result<BTreeMap<PartitionId, Option<Committed>>, ToolError> {
    let (broker, topic) = (broker.clone(), topic.to_owned());
    let asked = tokio::task::spawn_blocking(move || {
        let logs =
            (0..broker.probe.partition_count(&topic)?).map(|partition| PartitionId::new(topic.as_str(), partition));
        logs.map(|log| Ok((log.clone(), broker.probe.committed(&log)?)))
            .collect()
    });
    asked.await?
}

/// Where the ledger of the newest life of each log begins; none for a life whose beginning is entered in the ledger:
/// what is before it belongs to the life before, or was left out by an operator.
async fn first_starts(store: &Store, stage: &str, topic: &str) -> Result<BTreeMap<PartitionId, Position>, ToolError> {
    let query = "select kafka_partition, log_epoch, min(start_offset) from batch_ledger \
         where stage = ? and kafka_topic = ? and entry in ('batch', 'recovered', 'gap', 'epoch') \
         group by kafka_partition, log_epoch having countIf(entry = 'epoch') = 0 \
         order by kafka_partition, log_epoch desc limit 1 by kafka_partition";
    let rows: Vec<(i32, u32, i64)> = store.client.query(query).bind(stage).bind(topic).fetch_all().await?;
    let start = |(partition, log_epoch, offset)| (PartitionId::new(topic, partition), Position { log_epoch, offset });
    Ok(rows.into_iter().map(start).collect())
}

/// Checks that what is committed is in the ledger.
fn commit_ahead(committed: Option<Committed>, end: Option<Position>) -> Option<String> {
    let committed = committed?;
    let log_epoch = committed.metadata?.log_epoch;
    let position = Position {
        log_epoch,
        offset: committed.offset,
    };
    let reached = end.unwrap_or(Position { log_epoch, offset: 0 });
    (position > reached).then(|| {
        format!(
            "the group committed offset {}, its ledger ends at {}",
            committed.offset, reached.offset
        )
    })
}

/// Checks that what the ledger names is, or was, in the log, and that the log has nothing before the ledger's start
/// that the ledger does not name.
fn log_and_ledger(log_start: i64, log_end: i64, start: Option<Position>, end: Option<Position>) -> Vec<String> {
    let mut wrong = Vec::new();
    if let Some(end) = end {
        if end.offset > log_end {
            wrong.push(format!(
                "its ledger ends at offset {}, the log at {log_end}: was the topic recreated?",
                end.offset
            ));
        }
        if end.offset < log_start {
            wrong.push(format!(
                "offsets {}-{log_start} were deleted from the log before they were read",
                end.offset
            ));
        }
    }
    if let (Some(start), Some(end)) = (start, end)
        && start.log_epoch == end.log_epoch
        && start.offset > log_start
    {
        wrong.push(format!(
            "the log has offsets {log_start}-{}, its ledger does not",
            start.offset
        ));
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(offset: i64) -> Option<Position> {
        Some(Position { log_epoch: 1, offset })
    }

    #[test]
    fn a_ledger_within_its_log_is_right() {
        assert!(log_and_ledger(0, 100, at(0), at(90)).is_empty());
        assert!(
            log_and_ledger(50, 100, at(0), at(90)).is_empty(),
            "retention deletes what was read"
        );
        assert!(log_and_ledger(0, 100, None, None).is_empty(), "nothing was read yet");
    }

    #[test]
    fn a_ledger_that_does_not_fit_its_log_is_told() {
        assert_eq!(log_and_ledger(0, 80, at(0), at(90)).len(), 1);
        assert_eq!(log_and_ledger(95, 100, at(0), at(90)).len(), 1);
        assert_eq!(log_and_ledger(0, 100, at(10), at(90)).len(), 1);
    }

    #[test]
    fn a_commit_beyond_the_ledger_is_told() {
        let committed = |offset| {
            Some(Committed {
                offset,
                metadata: Some(horolog_stage::intent::CommitMetadata::new(1, None)),
            })
        };
        assert_eq!(commit_ahead(committed(90), at(90)), None);
        assert!(commit_ahead(committed(91), at(90)).is_some());
        assert_eq!(commit_ahead(None, at(90)), None);
    }
}
