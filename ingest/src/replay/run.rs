//! One run of the command: settles replays that an earlier run left open, then replays page by page.

use std::collections::BTreeMap;
use std::sync::Arc;

use horolog_schemas::RawRecord;
use horolog_stage::clock::now_ms;
use horolog_stage::crash;
use horolog_stage::schema_registry::SchemaRegistry;
use horolog_stage::stage::Stage;
use horolog_stage::store::Store;

use super::counted::Hours;
use super::log::Log;
use super::marks::{Interrupted, Marks};
use super::rejected::{Candidate, Record, RejectedRecords};
use super::{Args, Outcome, Place, ReplayError};
use crate::config::Config;
use crate::stage::Ingest;

/// Limits of one transaction: a hard limit on records, an approximate one on bytes.
const REPLAY_RECORDS_MAX: usize = 1_000;
const REPLAY_BYTES_MAX: u64 = 16 << 20;
/// Brokers keep committed offsets for longer than this, so within this time a replay unknown to the broker was never
/// sent.
const REMEMBERED_S: u64 = 24 * 3_600;

/// What a run did.
#[derive(Debug, Default)]
struct Tally {
    sent: u64,
    replays: u64,
    /// Records that would be rejected again, by reason.
    refused: BTreeMap<&'static str, u64>,
    /// Records left out because they may already be in the aggregates.
    counted: u64,
}

/// Everything a replay needs.
struct Replays {
    ingest: Ingest,
    schema_registry: Option<SchemaRegistry>,
    topic: String,
    /// `None` in a dry run, which changes nothing.
    log: Option<Arc<Log>>,
    marks: Marks,
    rejected: RejectedRecords,
    /// `None` if records are sent whether or not they are aggregated already.
    hours: Option<Hours>,
}

/// Replays the selected records and prints a summary.
pub async fn run(config: &Config, args: &Args) -> Result<(), ReplayError> {
    let source = &config.source;
    let topics = source.topics();
    if topics.iter().all(|topic| topic.name != args.topic) {
        return Err(ReplayError::Refused(format!(
            "--topic {}: it is neither {}, so no stage would store what is sent to it",
            args.topic,
            topics.map(|topic| topic.setting).join(" nor ")
        )));
    }
    let store = Store::with_current_tables(&config.clickhouse).await?;
    let replays = Replays {
        ingest: Ingest::new(source)?,
        schema_registry: SchemaRegistry::new(&config.schema_registry)?,
        topic: args.topic.clone(),
        log: match args.dry_run {
            true => None,
            false => Some(take(config, args).await?),
        },
        marks: Marks::new(store.clone(), &args.topic),
        hours: match args.counted {
            true => None,
            false => Hours::of(store.clone(), &args.topic).await?,
        },
        rejected: RejectedRecords::new(store, args),
    };
    replays.settle_interrupted(args.interrupted).await?;
    let tally = replays.all().await?;
    print(&tally, args);
    Ok(())
}

async fn take(config: &Config, args: &Args) -> Result<Arc<Log>, ReplayError> {
    let (client, topic) = (config.kafka.client_config(), args.topic.clone());
    blocking(move || Ok(Arc::new(Log::take(&client, &topic)?))).await
}

impl Replays {
    /// Records the outcome of replays that were begun and never settled. Must be called while holding the right to
    /// replay, so that none of them is still running.
    async fn settle_interrupted(&self, said: Option<Outcome>) -> Result<(), ReplayError> {
        let Some(log) = &self.log else { return Ok(()) };
        let log = log.clone();
        let last = blocking(move || log.last_replay()).await?;
        for interrupted in self.marks.interrupted().await? {
            let outcome = outcome(&interrupted, last.as_deref(), said)?;
            let places = self.marks.places(&interrupted.replay).await?;
            self.marks.settle(&interrupted.replay, outcome, &places).await?;
            tracing::info!(
                replay = interrupted.replay,
                ?outcome,
                records = places.len(),
                "settled an interrupted replay"
            );
        }
        Ok(())
    }

    async fn all(&self) -> Result<Tally, ReplayError> {
        let mut tally = Tally::default();
        let mut after = None;
        loop {
            let page = self.rejected.page(after).await?;
            let Some(last) = page.last() else {
                return Ok(tally);
            };
            after = Some(last.place());
            for some in portions(&page) {
                self.replay(some, &mut tally).await?;
            }
        }
    }

    /// Replays one portion in a transaction, leaving out records that would be rejected again or may be aggregated
    /// already.
    async fn replay(&self, some: &[Candidate], tally: &mut Tally) -> Result<(), ReplayError> {
        let mut records = self.judge(self.rejected.records(some).await?, tally).await?;
        if let Some(hours) = self.hours.as_ref().filter(|_| !records.is_empty()) {
            let lacking = hours.lack(some).await?;
            let judged = records.len();
            records.retain(|record| lacking.contains(&record.place()));
            tally.counted += (judged - records.len()) as u64;
        }
        if records.is_empty() {
            return Ok(());
        }
        tally.sent += records.len() as u64;
        tally.replays += 1;
        let Some(log) = self.log.clone() else {
            return Ok(());
        };
        let replay = uuid::Uuid::new_v4().to_string();
        let places: Vec<Place> = records.iter().map(Record::place).collect();
        self.marks.begin(&replay, &places).await?;
        crash::point("replay-begun");
        let identifier = replay.clone();
        blocking(move || log.send(&identifier, &records)).await?;
        crash::point("replay-sent");
        self.marks.settle(&replay, Outcome::Sent, &places).await
    }

    /// Leaves out records that would be rejected again. They are judged with the current time, which will be their
    /// Kafka timestamp.
    async fn judge(&self, records: Vec<Record>, tally: &mut Tally) -> Result<Vec<Record>, ReplayError> {
        let timestamp_ms = now_ms();
        let raw: Vec<RawRecord<'_>> = records
            .iter()
            .map(|record| RawRecord {
                offset: record.place().offset,
                timestamp_ms,
                key: Some(record.key()),
                payload: Some(record.payload()),
            })
            .collect();
        if let (Some(registry), Some(schemas)) = (&self.schema_registry, self.ingest.schemas(&self.topic)) {
            registry
                .complete(schemas, raw.iter().map(|record| record.payload), || false)
                .await;
        }
        let judged = self.ingest.decode(&self.topic, &raw)?;
        for rejected in &judged.rejected {
            *tally.refused.entry(rejected.reason.as_str()).or_default() += 1;
        }
        let mut accepted = vec![false; records.len()];
        for position in judged.positions {
            accepted[position as usize] = true;
        }
        let kept = records.into_iter().zip(accepted).filter(|(_, accepted)| *accepted);
        Ok(kept.map(|(record, _)| record).collect())
    }
}

/// The outcome of a replay, from the identifier of the last replay that Kafka knows of.
fn outcome(of: &Interrupted, last: Option<&str>, said: Option<Outcome>) -> Result<Outcome, ReplayError> {
    match last {
        Some(last) if last == of.replay => Ok(Outcome::Sent),
        // A later replay was sent, and it could only start after this one had ended.
        Some(_) => Ok(Outcome::Abandoned),
        None if of.age_s < REMEMBERED_S => Ok(Outcome::Abandoned),
        None => said.ok_or_else(|| {
            ReplayError::Refused(format!(
                "the replay {} was interrupted {} hours ago, and kafka no longer knows whether it was sent: check \
                 whether records of the topic have it in their header horolog-replay, then pass --interrupted sent or \
                 --interrupted abandoned",
                of.replay,
                of.age_s / 3_600
            ))
        }),
    }
}

/// Cuts a page into portions of one transaction each.
fn portions(page: &[Candidate]) -> Vec<&[Candidate]> {
    let (mut portions, mut start, mut bytes) = (Vec::new(), 0, 0);
    for (position, candidate) in page.iter().enumerate() {
        let is_full = position - start == REPLAY_RECORDS_MAX || bytes + candidate.bytes > REPLAY_BYTES_MAX;
        if position > start && is_full {
            portions.push(&page[start..position]);
            (start, bytes) = (position, 0);
        }
        bytes += candidate.bytes;
    }
    portions.push(&page[start..]);
    portions
}

/// Runs blocking work on the runtime's blocking threads.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ReplayError> + Send + 'static,
) -> Result<T, ReplayError> {
    tokio::task::spawn_blocking(work).await?
}

fn print(tally: &Tally, args: &Args) {
    let (verb, records) = (if args.dry_run { "would replay" } else { "replayed" }, tally.sent);
    println!(
        "{verb} {records} records of {} in {} transactions",
        args.topic, tally.replays
    );
    if tally.counted > 0 {
        println!(
            "left out {} records that may be in their hours: the aggregate stage did not reject them, or has not read \
             them yet (--counted sends them anyway)",
            tally.counted
        );
    }
    for (reason, records) in &tally.refused {
        println!("left out {records} records that would be rejected again: {reason}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interrupted(age_s: u64) -> Interrupted {
        Interrupted {
            replay: "a".to_owned(),
            age_s,
        }
    }

    #[test]
    fn what_kafka_knows_decides_and_what_it_may_have_forgotten_is_asked_for() {
        let (young, old) = (interrupted(REMEMBERED_S - 1), interrupted(REMEMBERED_S));
        assert_eq!(outcome(&young, Some("a"), None).unwrap(), Outcome::Sent);
        assert_eq!(outcome(&old, Some("b"), None).unwrap(), Outcome::Abandoned);
        assert_eq!(outcome(&young, None, Some(Outcome::Sent)).unwrap(), Outcome::Abandoned);
        assert!(matches!(outcome(&old, None, None), Err(ReplayError::Refused(_))));
        assert_eq!(outcome(&old, None, Some(Outcome::Sent)).unwrap(), Outcome::Sent);
    }
}
