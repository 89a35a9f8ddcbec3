//! Looks at the ledger again and again: up to which offset of each partition are the records stored, and aggregated?
//!
//! The answer is dated when it is here, so what it says is an upper bound, too late by at most the time between two looks; that
//! time is recorded as the resolution. A look that fails is repeated at the next turn.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use horolog_schemas::Kind;
use tokio::sync::mpsc::Sender;

use crate::producer::KafkaAddress;
use crate::recorder::{Ends, Event, Stage};
use crate::store::{End, Store};

/// How far the server's clock may be behind ours.
const CLOCKS_DIFFER: Duration = Duration::from_secs(60);
/// A look that takes longer is given up: the target is away.
const LOOK_DEADLINE: Duration = Duration::from_secs(10);

/// What to look at, and how often.
pub struct LedgerLook {
    /// The database.
    pub store: Store,
    /// The topics.
    pub kafka: KafkaAddress,
    /// Between two looks.
    pub every: Duration,
    /// The beginning of the run.
    pub begun: Instant,
    /// The same by the clock on the wall.
    pub begun_at: DateTime<Utc>,
}

impl LedgerLook {
    /// Looks until nobody listens any more.
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
