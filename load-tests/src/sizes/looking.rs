//! Looks at the ledger again and again: up to which offset of each partition are the records stored, and aggregated?

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::store::Store;
use crate::visibility::Observation;

use super::TOPIC;

/// Between two looks: the error of a latency that is measured so.
const INTERVAL: Duration = Duration::from_millis(50);
/// How long the ledger may take once all rows are there.
const LAST_DEADLINE: Duration = Duration::from_secs(60);

/// Offsets after the last records, by partition.
type Ends = BTreeMap<i32, i64>;

/// Looks from its start until it has seen everything.
pub(super) struct Looking {
    task: JoinHandle<clickhouse::error::Result<Seen>>,
    until: oneshot::Sender<Ends>,
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
        let (until, told) = oneshot::channel();
        let task = tokio::spawn(look(store, begun, told));
        Self { task, until }
    }

    /// Looks until both stages have come this far; gives all that it saw.
    pub(super) async fn until(self, ends: Ends) -> anyhow::Result<Seen> {
        // When it does not look any more it has an error to give.
        let _ = self.until.send(ends);
        let seen = tokio::time::timeout(LAST_DEADLINE, self.task).await;
        Ok(seen.with_context(|| format!("not in the ledger after {} s", LAST_DEADLINE.as_secs()))???)
    }
}

async fn look(store: Store, begun: Instant, mut told: oneshot::Receiver<Ends>) -> clickhouse::error::Result<Seen> {
    let mut seen = Seen::default();
    let mut until: Option<Ends> = None;
    let mut interval = tokio::time::interval(INTERVAL);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        until = until.or_else(|| told.try_recv().ok());
        let ends = store.ends_in_ledger(TOPIC).await?;
        let at = begun.elapsed();
        for (stage, observations) in [("ingest", &mut seen.stored), ("aggregate", &mut seen.aggregated)] {
            let of_stage = ends.iter().filter(|end| end.stage == stage);
            let ends: Ends = of_stage.map(|end| (end.partition, end.end)).collect();
            if observations
                .last()
                .is_none_or(|before: &Observation| before.ends != ends)
            {
                observations.push(Observation { at, ends });
            }
        }
        if until.as_ref().is_some_and(|ends| seen.reach(ends)) {
            return Ok(seen);
        }
    }
}

impl Seen {
    fn reach(&self, ends: &Ends) -> bool {
        let covers = |seen: &Ends| ends.iter().all(|(partition, end)| seen.get(partition) >= Some(end));
        [&self.stored, &self.aggregated]
            .iter()
            .all(|observations| observations.last().is_some_and(|last| covers(&last.ends)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(stored: &[(i32, i64)], aggregated: &[(i32, i64)]) -> Seen {
        let at_the_end = |ends: &[(i32, i64)]| {
            vec![Observation {
                at: Duration::ZERO,
                ends: ends.iter().copied().collect(),
            }]
        };
        Seen {
            stored: at_the_end(stored),
            aggregated: at_the_end(aggregated),
        }
    }

    #[test]
    fn looks_on_until_both_stages_have_come_to_the_end_of_every_partition() {
        let ends = Ends::from([(0, 10), (1, 20)]);
        assert!(seen(&[(0, 10), (1, 20), (2, 5)], &[(0, 11), (1, 20)]).reach(&ends));
        assert!(!seen(&[(0, 10), (1, 20)], &[(0, 10), (1, 19)]).reach(&ends));
        assert!(!seen(&[(0, 10)], &[(0, 10), (1, 20)]).reach(&ends));
        assert!(!Seen::default().reach(&ends));
    }
}
