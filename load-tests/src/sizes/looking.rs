//! Looks at the ledger again and again: up to which offset of each partition are the records stored, and aggregated?

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::store::Store;
use crate::visibility::Observation;

use super::TOPIC;

/// Between two looks: the error of a latency that is measured so.
const INTERVAL: Duration = Duration::from_millis(25);

/// Looks from its start to its finish.
pub(super) struct Looking {
    task: JoinHandle<clickhouse::error::Result<Seen>>,
    finish: oneshot::Sender<()>,
}

/// What was seen of each stage.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Of ingest.
    pub stored: Vec<Observation>,
    /// Of aggregate.
    pub aggregated: Vec<Observation>,
}

impl Looking {
    /// Begins; times count from `begun`.
    pub(super) fn start(store: Store, begun: Instant) -> Self {
        let (finish, finished) = oneshot::channel();
        let task = tokio::spawn(look(store, begun, finished));
        Self { task, finish }
    }

    /// Looks once more; gives all that it saw.
    pub(super) async fn finish(self) -> anyhow::Result<Seen> {
        // When it does not look any more it has an error to give.
        let _ = self.finish.send(());
        Ok(self.task.await??)
    }
}

async fn look(store: Store, begun: Instant, mut finished: oneshot::Receiver<()>) -> clickhouse::error::Result<Seen> {
    let mut seen = Seen::default();
    let mut interval = tokio::time::interval(INTERVAL);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let last = tokio::select! {
            _ = interval.tick() => false,
            _ = &mut finished => true,
        };
        let ends = store.ends_in_ledger(TOPIC).await?;
        let at = begun.elapsed();
        for (stage, observations) in [("ingest", &mut seen.stored), ("aggregate", &mut seen.aggregated)] {
            let of_stage = ends.iter().filter(|end| end.stage == stage);
            let ends: BTreeMap<i32, i64> = of_stage.map(|end| (end.partition, end.end)).collect();
            if observations
                .last()
                .is_none_or(|before: &Observation| before.ends != ends)
            {
                observations.push(Observation { at, ends });
            }
        }
        if last {
            return Ok(seen);
        }
    }
}
