//! What a run has observed: histograms of every measure, per interval and in total, and the tally of acknowledged
//! records.
//!
//! Enters: turns of the sender, observed progress, query responses, the ends of intervals. Leaves: the state of the
//! [`Recorder`]. Memory is bounded by what is in flight, not by the length of the run. Pure: every event carries its
//! time.

mod follow;
mod measure;
mod tally;
mod timeline;

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::CreationError;
use horolog_schemas::Kind;

use crate::latencies::Latencies;
use crate::sender::Turn;

use follow::Lanes;
pub use follow::Stage;
pub use measure::Measure;
pub use tally::{BUCKET_OFFSETS, Bucket, Tally, Totals, offset_hash};
pub use timeline::{Interval, Timeline};

/// For each partition of each kind, the offset after the last visible record.
pub type Ends = BTreeMap<(Kind, i32), i64>;

/// An event of a run.
#[derive(Debug)]
pub enum Event {
    /// A report of the sender.
    Turn(Turn),
    /// The sender has reported everything.
    SentAll,
    /// A stage has processed everything before these offsets.
    Seen {
        /// Which stage.
        stage: Stage,
        /// When this was observed.
        at: Duration,
        /// The offsets.
        ends: Ends,
    },
    /// A query was answered or failed.
    Answered {
        /// When it was meant to be asked.
        intended: Duration,
        /// Counted from then; `None` if it failed.
        latency: Option<Duration>,
    },
    /// The time between two polls of the ledger.
    Looked(Duration),
}

/// Counts of a run so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Handed to the client.
    pub sent: u64,
    /// Acknowledged by the broker.
    pub acknowledged: u64,
    /// Acknowledged records that must be rejected.
    pub bad: u64,
    /// Given up by the client; they may or may not be in the log.
    pub failed: u64,
    /// Observed to have passed ingest.
    pub stored: u64,
    /// Observed to have passed aggregate.
    pub aggregated: u64,
    /// Acknowledged records that aggregate must process.
    pub to_aggregate: u64,
    /// Queries that were answered.
    pub answered: u64,
    /// Queries that failed.
    pub unanswered: u64,
}

/// Everything that a run has observed so far.
pub struct Recorder {
    warm_up: Duration,
    timelines: BTreeMap<Measure, Timeline>,
    closed: BTreeMap<Measure, Latencies>,
    /// Lateness that the tester itself caused.
    own: Latencies,
    looks: Latencies,
    lanes: Lanes,
    tally: Tally,
    counts: Counts,
    sent_all: bool,
    first_error: Option<String>,
}

impl Recorder {
    /// Starts empty. Records meant for the time within `warm_up` are counted like all others, but their latencies are
    /// not recorded.
    pub fn new(warm_up: Duration) -> Result<Self, CreationError> {
        let timelines = Measure::ALL.map(|measure| Ok((measure, Timeline::new()?)));
        let closed = Measure::OF_RECORDS.map(|measure| Ok((measure, Latencies::new()?)));
        Ok(Self {
            warm_up,
            timelines: timelines.into_iter().collect::<Result<_, CreationError>>()?,
            closed: closed.into_iter().collect::<Result<_, CreationError>>()?,
            own: Latencies::new()?,
            looks: Latencies::new()?,
            lanes: Lanes::default(),
            tally: Tally::default(),
            counts: Counts::default(),
            sent_all: false,
            first_error: None,
        })
    }

    /// Processes an event.
    pub fn take(&mut self, event: Event) {
        match event {
            Event::Turn(turn) => self.turn(turn),
            Event::SentAll => self.sent_all = true,
            Event::Seen { stage, at, ends } => self.seen(stage, at, &ends),
            Event::Answered {
                intended,
                latency: Some(latency),
            } => {
                self.counts.answered += 1;
                self.record(Measure::Query, intended, latency);
            }
            Event::Answered { latency: None, .. } => self.counts.unanswered += 1,
            Event::Looked(gap) => self.looks.record(gap),
        }
    }

    /// Ends the current interval of every measure; returns those that are not empty.
    pub fn close(&mut self, at: Duration) -> Vec<(Measure, Interval)> {
        let closed = self.timelines.iter_mut();
        closed
            .filter_map(|(measure, timeline)| Some((*measure, timeline.close(at)?)))
            .collect()
    }

    /// The counts so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Whether every record was reported, and every acknowledged one has passed all its stages. Without the former, a
    /// schedule with pauses would be settled between any two records.
    pub fn is_settled(&self) -> bool {
        self.sent_all
            && self.counts.stored == self.counts.acknowledged
            && self.counts.aggregated == self.counts.to_aggregate
    }

    /// The tally of acknowledged records.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// All latencies of a measure.
    pub fn total(&self, measure: Measure) -> Option<&Latencies> {
        self.timelines.get(&measure).map(Timeline::total)
    }

    /// The latencies of a measure that a closed-loop tester would have reported.
    pub fn closed_loop(&self, measure: Measure) -> Option<&Latencies> {
        self.closed.get(&measure)
    }

    /// The tester's own lateness, without the time that the target made it wait.
    pub fn own_lateness(&self) -> &Latencies {
        &self.own
    }

    /// Times between polls of the ledger: the resolution of what is observed.
    pub fn looks(&self) -> &Latencies {
        &self.looks
    }

    /// Why the first record was given up.
    pub fn first_error(&self) -> Option<&str> {
        self.first_error.as_deref()
    }

    fn turn(&mut self, turn: Turn) {
        self.counts.sent += turn.handed.len() as u64;
        for handed in &turn.handed {
            self.record(Measure::Lateness, handed.intended, handed.late);
            if self.is_measured(handed.intended) {
                self.own.record(handed.own);
            }
        }
        self.counts.failed += turn.failed;
        if self.first_error.is_none() {
            self.first_error = turn.first_error;
        }
        for record in &turn.acknowledged {
            self.counts.acknowledged += 1;
            self.counts.bad += u64::from(record.stamp.bad);
            self.counts.to_aggregate += u64::from(record.stamp.kind == Kind::MetricSample);
            self.tally.add(record);
            let lane = self.lanes.of(record.stamp.kind, record.partition);
            lane.push(record.offset, record.stamp.intended);
            let waited = lane.answer(Measure::Acknowledged, record.stamp.intended, record.at);
            self.finish(Measure::Acknowledged, record.stamp.intended, record.at, waited);
            // Its batch may have been seen already: the ledger can be faster than the acknowledgement.
            for stage in Stage::ALL {
                self.advance(stage, (record.stamp.kind, record.partition), record.at);
            }
        }
    }

    fn seen(&mut self, stage: Stage, at: Duration, ends: &Ends) {
        for (&(kind, partition), &end) in ends {
            self.lanes.of(kind, partition).reached(stage, end);
            self.advance(stage, (kind, partition), at);
        }
    }

    fn advance(&mut self, stage: Stage, (kind, partition): (Kind, i32), at: Duration) {
        if !stage.takes(kind) {
            return;
        }
        let measure = stage.measure();
        while let Some(intended) = self.lanes.of(kind, partition).pass(stage) {
            match stage {
                Stage::Ingest => self.counts.stored += 1,
                Stage::Aggregate => self.counts.aggregated += 1,
            }
            let waited = self.lanes.of(kind, partition).answer(measure, intended, at);
            self.finish(measure, intended, at, waited);
        }
    }

    fn finish(&mut self, measure: Measure, intended: Duration, at: Duration, in_closed_loop: bool) {
        let latency = at.saturating_sub(intended);
        self.record(measure, intended, latency);
        if in_closed_loop
            && self.is_measured(intended)
            && let Some(closed) = self.closed.get_mut(&measure)
        {
            closed.record(latency);
        }
    }

    fn is_measured(&self, intended: Duration) -> bool {
        intended >= self.warm_up
    }

    fn record(&mut self, measure: Measure, intended: Duration, latency: Duration) {
        if self.is_measured(intended)
            && let Some(timeline) = self.timelines.get_mut(&measure)
        {
            timeline.record(latency);
        }
    }
}
