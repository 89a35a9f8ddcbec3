//! The sender of the open loop: keeps to the schedule and never waits for an answer.
//!
//! Enters: the times, the records, where they go, a clock. Leaves: for each record how late it was handed over, and how late the
//! sender itself made it: without the time that the target refused to take it. A target that is full is waited for, and what is due
//! meanwhile follows as fast as it is taken. Guarantees: records leave in order, each once. Generic over clock and target,
//! so that its figures are tested to the microsecond.

use std::collections::VecDeque;
use std::time::Duration;

use horolog_schemas::Kind;

use crate::schedule::Arrivals;
use crate::traffic::{Outgoing, Source};

/// How often the sender looks at the clock when nothing is due: how late it is at the most, as long as it gets a core.
pub const TICK: Duration = Duration::from_millis(1);
/// Records that are due within so short a time leave together: to wake up for each of them costs more than to send it, and the client
/// underneath wakes up as often.
const REST: Duration = Duration::from_micros(500);
/// Records that are sent without looking whether somebody wants it to stop, or at acknowledgements.
const RECORDS_A_TURN: usize = 1_000;

/// What a record is known by until it is acknowledged. Times count from the beginning of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// When it was meant to be sent.
    pub intended: Duration,
    /// What it is.
    pub kind: Kind,
    /// Whether it has to be rejected.
    pub bad: bool,
}

/// Where and when a record was acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Acknowledged {
    /// The record.
    pub stamp: Stamp,
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// When we learnt of it.
    pub at: Duration,
}

/// How late records were handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Handed {
    /// When it was meant to be sent.
    pub intended: Duration,
    /// From the intended time until the target took it.
    pub late: Duration,
    /// Without what the target kept us waiting.
    pub own: Duration,
}

/// What happened since the last time.
#[derive(Debug, Default)]
pub struct Turn {
    /// Records that were handed over.
    pub handed: Vec<Handed>,
    /// Records that were acknowledged.
    pub acknowledged: Vec<Acknowledged>,
    /// Records that were given up, whose fate is unknown.
    pub failed: u64,
    /// Why the first of them was.
    pub first_error: Option<String>,
    /// Records that are neither, once somebody has asked for all.
    pub under_way: u64,
}

impl Turn {
    /// Whether nothing happened.
    pub fn is_empty(&self) -> bool {
        self.handed.is_empty() && self.acknowledged.is_empty() && self.failed == 0
    }

    /// Counts what is still under way as given up.
    pub fn giving_up(mut self) -> Self {
        self.failed += std::mem::take(&mut self.under_way);
        self.first_error
            .get_or_insert_with(|| "neither acknowledged nor refused by the deadline".to_owned());
        self
    }
}

/// Where records go.
pub trait Outlet {
    /// Why it takes nothing any more.
    type Error;

    /// Takes a record; `false` when it is full just then.
    fn offer(&mut self, stamp: Stamp, record: Outgoing<'_>) -> Result<bool, Self::Error>;

    /// Takes what was acknowledged and given up since the last time. Waits a little when the outlet is full.
    fn collect(&mut self, wait: bool, turn: &mut Turn);
}

/// The time since the beginning of the run.
pub trait Clock {
    /// Now.
    fn now(&self) -> Duration;
    /// Some time later.
    fn sleep(&self, duration: Duration);
}

/// A run of the sender.
pub struct Sender<'a, S, O, C> {
    /// When.
    pub arrivals: Arrivals,
    /// What.
    pub source: &'a mut S,
    /// Where to.
    pub outlet: &'a mut O,
    /// By which time.
    pub clock: &'a C,
    /// The beginning of the run, microseconds since 1970: records are dated by their intended time.
    pub begun_us: i64,
}

impl<S: Source, O: Outlet, C: Clock> Sender<'_, S, O, C> {
    /// Sends everything, or until it is told to stop; reports after each turn. Gives how many records were handed over.
    pub fn run(&mut self, stop: &dyn Fn() -> bool, report: &mut dyn FnMut(Turn)) -> Result<u64, O::Error> {
        let mut waits = Waits::default();
        let mut sent = 0;
        while let Some(next) = self.arrivals.peek() {
            if stop() {
                break;
            }
            let mut turn = Turn::default();
            let now = self.clock.now();
            while turn.handed.len() < RECORDS_A_TURN && self.arrivals.peek().is_some_and(|due| due <= now) {
                let Some(intended) = self.arrivals.next() else { break };
                let handed = self.send(intended, &mut waits, stop, &mut turn)?;
                turn.handed.extend(handed);
            }
            sent += turn.handed.len() as u64;
            let idle = turn.handed.is_empty();
            self.outlet.collect(false, &mut turn);
            report(turn);
            if idle {
                self.clock
                    .sleep(next.saturating_sub(self.clock.now()).clamp(REST, TICK));
            }
        }
        Ok(sent)
    }

    fn send(
        &mut self,
        intended: Duration,
        waits: &mut Waits,
        stop: &dyn Fn() -> bool,
        turn: &mut Turn,
    ) -> Result<Option<Handed>, O::Error> {
        let record = self.source.next(self.begun_us + intended.as_micros() as i64);
        let stamp = Stamp {
            intended,
            kind: record.kind,
            bad: record.bad,
        };
        let mut refused_at = None;
        while !self.outlet.offer(stamp, record)? {
            refused_at.get_or_insert_with(|| self.clock.now());
            if stop() {
                return Ok(None);
            }
            self.outlet.collect(true, turn);
        }
        let now = self.clock.now();
        if let Some(refused_at) = refused_at {
            waits.add(refused_at, now);
        }
        let late = now.saturating_sub(intended);
        let own = late.saturating_sub(waits.since(intended));
        Ok(Some(Handed { intended, late, own }))
    }
}

/// When the target kept the sender waiting. Only the waits after the oldest record that is still due matter.
#[derive(Debug, Default)]
struct Waits {
    /// Begin and end, in order.
    spans: VecDeque<(Duration, Duration)>,
}

impl Waits {
    fn add(&mut self, from: Duration, to: Duration) {
        self.spans.push_back((from, to));
    }

    /// How long it waited since then. Times that are asked for never go back.
    fn since(&mut self, time: Duration) -> Duration {
        while self.spans.front().is_some_and(|(_, to)| *to <= time) {
            self.spans.pop_front();
        }
        self.spans.iter().map(|(from, to)| *to - (*from).max(time)).sum()
    }
}
