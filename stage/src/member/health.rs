//! What an operator should know about a member: partitions that stand still, batches and commits that are refused, a
//! clock that jumped.

use std::time::{Duration, Instant};

use super::Member;
use crate::clock::now_ms;
use crate::incident::{Incident, Reason};
use crate::lease::CLOCK_SET_BACK_MS;

/// Time between two checks.
const INTERVAL: Duration = Duration::from_secs(1);
/// How long batches or commits may be refused before the member is not ready: a restart of the server takes less.
const REFUSED_MAX: Duration = Duration::from_secs(10);
/// How long a rebalance may take before the member is not ready: Kafka may be away, or refuse this member. librdkafka
/// does not report that a member without partitions is outside the group.
const OUTSIDE_MAX: Duration = Duration::from_secs(30);

impl Member {
    /// Checks itself periodically, whatever else is away.
    pub(super) fn watch_health(&mut self) {
        if Instant::now() < self.health_due {
            return;
        }
        self.health_due = Instant::now() + INTERVAL;
        self.tell_health();
        self.watch_the_clock();
    }

    /// This host's clock decides what is late and what is ahead, so a jump is reported. While the clock was ahead, idle
    /// partitions may have reached watermarks that no table accepted; those that were stated remain valid.
    fn watch_the_clock(&mut self) {
        let (instant, wall_ms) = std::mem::replace(&mut self.clocks, (Instant::now(), now_ms()));
        let jumped_ms = now_ms() - wall_ms - instant.elapsed().as_millis() as i64;
        if jumped_ms < -CLOCK_SET_BACK_MS {
            tracing::warn!(
                jumped_ms,
                "the clock was set back: determining again where partitions resume"
            );
            let slots = self.group().assignments().slots();
            self.start_anew(&slots);
        }
        if jumped_ms.abs() <= self.options.max_clock_skew_ms {
            return;
        }
        let mut assignments = self.group().assignments();
        let Some((_, partition)) = assignments.active_mut().next() else {
            return;
        };
        let (stage, id) = (self.delivery.stage.name(), partition.id.clone());
        let at = (0, partition.next_offset());
        let detail =
            format!("the clock of this host jumped by {jumped_ms} ms: watermarks follow it, and never go back");
        let incident = Incident::new(stage, Reason::ClockJumped, &id, at, wall_ms, detail);
        let delivery = self.delivery.clone();
        self.runtime
            .spawn(async move { incident.tell(delivery.inserts.store()).await });
    }

    /// Reports the most serious problem or, if there is none, that the member is ready.
    fn tell_health(&self) {
        match self.trouble() {
            Some(trouble) => self.health.not_ready(&trouble),
            None => self.health.ready(),
        }
    }

    /// The most serious problem, if any.
    fn trouble(&self) -> Option<String> {
        let mut assignments = self.group().assignments();
        let stopped = assignments
            .active_mut()
            .filter(|(_, partition)| partition.is_stopped())
            .count();
        self.metrics.stopped_partitions.set(stopped as i64);
        let resolving = assignments.resolving_for(Duration::ZERO);
        self.metrics.resolving_partitions.set(resolving as i64);
        let waiting = assignments.resolving_for(self.options.resolving_max);
        let outside = assignments.outside_for();
        let stuck = self
            .stuck
            .hopeless()
            .find(|(slot, _)| assignments.get_mut(*slot).is_some());
        let stuck = stuck.map(|(slot, offset)| (assignments.id(slot), offset));
        let unanswered = assignments.unanswered_for(REFUSED_MAX);
        let unanswered = unanswered.map(|(topic, waited)| (topic.to_owned(), waited));
        drop(assignments);
        if stopped > 0 {
            return Some(format!(
                "{stopped} partitions are stopped by errors: see the log, fix the cause, then restart this process"
            ));
        }
        if outside >= OUTSIDE_MAX {
            return Some(format!(
                "not in the consumer group for {} s: kafka is unreachable, or does not admit this member: see the log",
                outside.as_secs()
            ));
        }
        if waiting > 0 {
            return Some(format!(
                "cannot determine where {waiting} partitions resume: see the log"
            ));
        }
        if let Some((partition, offset)) = stuck {
            return Some(format!(
                "no records arrive from {partition} from offset {offset} on, though it has more: see the logs of this \
                 process and of the broker"
            ));
        }
        if let Some((topic, waited)) = unanswered {
            return Some(format!(
                "kafka has not answered a commit of {topic} for {} s: is it reachable?",
                waited.as_secs()
            ));
        }
        if let Some((topic, why)) = self.doubted_for(REFUSED_MAX) {
            return Some(format!("kafka does not accept commits of {topic}, retrying: {why}"));
        }
        let registry = self.delivery.schema_registry.as_ref();
        if let Some(why) = registry.and_then(|registry| registry.failing_for(REFUSED_MAX)) {
            return Some(format!("the schema registry does not answer, retrying: {why}"));
        }
        let why = self.delivery.inserts.refused_for(REFUSED_MAX)?;
        Some(format!("clickhouse does not accept batches, retrying: {why}"))
    }
}
