//! One run of the command: settles what an earlier run left, then replays page by page.

use std::collections::BTreeMap;
use std::sync::Arc;

use horolog_schemas::RawRecord;
use horolog_stage::clock::now_ms;
use horolog_stage::crash;
use horolog_stage::store::Store;

use super::counted::Hours;
use super::log::Log;
use super::marks::{Interrupted, Marks};
use super::rejected::{Candidate, Record, RejectedRecords};
use super::{Args, Outcome, Place, ReplayError};
use crate::config::Config;
use crate::stage::Ingest;

/// Records of one transaction at the most, and their bytes about.
const REPLAY_RECORDS_MAX: usize = 1_000;
const REPLAY_BYTES_MAX: u64 = 16 << 20;
/// Brokers keep commits for longer than this: a replay that they do not know of was never sent.
const REMEMBERED_S: u64 = 24 * 3_600;

/// What a run did.
#[derive(Debug, Default)]
struct Tally {
    sent: u64,
    replays: u64,
    /// By reason: records that would be rejected again.
    refused: BTreeMap<&'static str, u64>,
    /// Records that may be in their hours.
    counted: u64,
}

/// What is needed to replay.
struct Replays {
    ingest: Ingest,
    topic: String,
    /// None in a dry run, which changes nothing.
    log: Option<Arc<Log>>,
    marks: Marks,
    rejected: RejectedRecords,
    /// None where it does not matter what they have.
    hours: Option<Hours>,
}

/// Replays what the arguments name, and prints what was done.
pub async fn run(config: &Config, args: &Args) -> Result<(), ReplayError> {
    let source = &config.source;
    let topics = source.topics();
    if topics.iter().all(|topic| topic.name != args.topic) {
        return Err(ReplayError::Refused(format!(
            "--topic {}: it is neither {}, so nobody would store what is sent there",
            args.topic,
            topics.map(|topic| topic.setting).join(" nor ")
        )));
    }
    let store = Store::with_current_tables(&config.clickhouse).await?;
    let replays = Replays {
        ingest: Ingest::new(source)?,
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
    /// Finds out what became of replays that were begun and never settled. To be called with the right to replay, so that none is
    /// under way.
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

    /// One transaction: those of some records that would be accepted now.
    async fn replay(&self, some: &[Candidate], tally: &mut Tally) -> Result<(), ReplayError> {
        let mut records = self.judge(self.rejected.records(some).await?, tally)?;
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

    /// Leaves out what would be rejected again. Judged at the time of now, which a record that is sent again has.
    fn judge(&self, records: Vec<Record>, tally: &mut Tally) -> Result<Vec<Record>, ReplayError> {
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

/// What became of a replay, by the one that Kafka knows to have been the last.
fn outcome(of: &Interrupted, last: Option<&str>, said: Option<Outcome>) -> Result<Outcome, ReplayError> {
    match last {
        Some(last) if last == of.replay => Ok(Outcome::Sent),
        // Another one was sent after it, for which it must have been over.
        Some(_) => Ok(Outcome::Abandoned),
        None if of.age_s < REMEMBERED_S => Ok(Outcome::Abandoned),
        None => said.ok_or_else(|| {
            ReplayError::Refused(format!(
                "the replay {} was interrupted {} hours ago, and kafka no longer knows whether it was sent: look whether records of \
                 the topic have it in their header horolog-replay, and say --interrupted sent or --interrupted abandoned",
                of.replay,
                of.age_s / 3_600
            ))
        }),
    }
}

/// A page cut into what is sent at once.
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

/// Runs what blocks on a thread for that.
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
            "left {} records that may be in their hours: the aggregate stage did not reject them, or has not read them yet (--counted sends \
             them all the same)",
            tally.counted
        );
    }
    for (reason, records) in &tally.refused {
        println!("left {records} records that would be rejected again: {reason}");
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
