//! Polls the ledger: up to which offset of each partition are the records stored, and aggregated?
//!
//! A response is dated when it arrives, so times are upper bounds, too late by at most the time between two polls,
//! which is recorded as the resolution. A failed poll is repeated at the next turn.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use horolog_schemas::Kind;
use tokio::sync::mpsc::Sender;

use crate::producer::KafkaAddress;
use crate::recorder::{Ends, Event, Stage};
use crate::store::{End, Store};

/// Maximum difference between the server's clock and ours.
const CLOCKS_DIFFER: Duration = Duration::from_secs(60);
/// Timeout of a poll: the target is down.
const LOOK_DEADLINE: Duration = Duration::from_secs(10);

/// What to poll, and how often.
pub struct LedgerLook {
    /// The database.
    pub store: Store,
    /// The topics.
    pub kafka: KafkaAddress,
    /// Time between two polls.
    pub every: Duration,
    /// The beginning of the run.
    pub begun: Instant,
    /// The same, on the wall clock.
    pub begun_at: DateTime<Utc>,
}

impl LedgerLook {
    /// Polls until the receiver is dropped.
    pub async fn run(self, events: Sender<Event>) {
        let mut interval = tokio::time::interval(self.every);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let since_s = self.begun_at.timestamp() - CLOCKS_DIFFER.as_secs() as i64;
        let topics = Kind::ALL.map(|kind| self.kafka.topic(kind));
        let mut looked: Option<Duration> = None;
        loop {
            interval.tick().await;
            let look = self.store.ends_in_ledger(&topics, since_s);
            let Ok(Ok(found)) = tokio::time::timeout(LOOK_DEADLINE, look).await else {
                continue;
            };
            let at = self.begun.elapsed();
            let seen = Stage::ALL.map(|stage| Event::Seen {
                stage,
                at,
                ends: self.ends(&found, stage),
            });
            let gap = looked.map(|before| Event::Looked(at.saturating_sub(before)));
            looked = Some(at);
            for event in seen.into_iter().chain(gap) {
                if events.send(event).await.is_err() {
                    return;
                }
            }
        }
    }

    fn ends(&self, found: &[End], stage: Stage) -> Ends {
        let of_stage = found.iter().filter(|end| end.stage == stage.name());
        of_stage
            .filter_map(|end| {
                let kind = Kind::ALL
                    .into_iter()
                    .find(|kind| self.kafka.topic(*kind) == end.topic)?;
                Some(((kind, end.partition), end.end))
            })
            .collect()
    }
}
