//! The sender of the open loop: keeps to the schedule and never waits for a response.
//!
//! Enters: the times, the records, where they go, a clock. Leaves: for each record, how late it was handed over, and
//! how much of that the sender itself caused, that is without the time during which the target refused to take records.
//! If the target is full, the sender waits; records due meanwhile follow as fast as they are taken. Guarantees: records
//! leave in order, each once. Generic over clock and target, so that its figures are tested to the microsecond.

use std::collections::VecDeque;
use std::time::Duration;

use horolog_schemas::Kind;

use crate::schedule::Arrivals;
use crate::traffic::{Outgoing, Source};

/// How often the sender checks the clock when nothing is due: its maximum lateness as long as it gets a core.
pub const TICK: Duration = Duration::from_millis(1);
/// Records due within this time leave together: waking up for each would cost more than sending it, and the client
/// underneath wakes up as often.
const REST: Duration = Duration::from_micros(500);
/// Maximum records sent before checking for a stop request and for acknowledgements.
const RECORDS_A_TURN: usize = 1_000;

/// Identifies a record until it is acknowledged. Times count from the beginning of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// When it was meant to be sent.
    pub intended: Duration,
    /// The kind of record.
    pub kind: Kind,
    /// Whether the pipeline must reject it.
    pub bad: bool,
}

impl Stamp {
    /// Of this record.
    pub fn of(record: Outgoing<'_>, intended: Duration) -> Self {
        Self {
            intended,
            kind: record.kind,
            bad: record.bad,
        }
    }
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
    /// When the sender learnt of it.
    pub at: Duration,
}

/// How late a record was handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Handed {
    /// When it was meant to be sent.
    pub intended: Duration,
    /// From the intended time until the target accepted it.
    pub late: Duration,
    /// The part caused by the sender, without the time that the target made it wait.
    pub own: Duration,
}

/// Everything since the last report.
#[derive(Debug, Default)]
pub struct Turn {
    /// Records handed over.
    pub handed: Vec<Handed>,
    /// Records acknowledged.
    pub acknowledged: Vec<Acknowledged>,
    /// Records given up, which may or may not be in the log.
    pub failed: u64,
    /// Why the first of them was given up.
    pub first_error: Option<String>,
    /// Records still in flight; set when waiting for the last ones.
    pub under_way: u64,
}

impl Turn {
    /// Whether nothing happened.
    pub fn is_empty(&self) -> bool {
        self.handed.is_empty() && self.acknowledged.is_empty() && self.failed == 0
    }

    /// Counts records still in flight as given up.
    pub fn giving_up(mut self) -> Self {
        self.failed += std::mem::take(&mut self.under_way);
        self.first_error
            .get_or_insert_with(|| "neither acknowledged nor refused by the deadline".to_owned());
        self
    }
}

/// Where records go.
pub trait Outlet {
    /// Why it can take no more records.
    type Error;

    /// Takes a record; `false` if it is full at the moment.
    fn offer(&mut self, stamp: Stamp, record: Outgoing<'_>) -> Result<bool, Self::Error>;

    /// Collects acknowledged and given up records since the last call. With `wait`, waits a little for the outlet to
    /// make room.
    fn collect(&mut self, wait: bool, turn: &mut Turn);
}

/// The time since the beginning of a run.
pub trait Clock {
    /// Now.
    fn now(&self) -> Duration;
    /// Sleeps for this long.
    fn sleep(&self, duration: Duration);
}

/// The inputs of a sender run.
pub struct Sender<'a, S, O, C> {
    /// The schedule.
    pub arrivals: Arrivals,
    /// The records.
    pub source: &'a mut S,
    /// Their destination.
    pub outlet: &'a mut O,
    /// The clock.
    pub clock: &'a C,
    /// The beginning of the run, microseconds since 1970: a record's own time is derived from its intended time.
    pub begun_us: i64,
}

impl<S: Source, O: Outlet, C: Clock> Sender<'_, S, O, C> {
    /// Sends everything, or until asked to stop; reports after each turn. Returns the number of records handed over.
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
        let stamp = Stamp::of(record, intended);
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

/// When the target made the sender wait. Only waits that end after the oldest pending record was due are kept.
#[derive(Debug, Default)]
struct Waits {
    /// Start and end of each wait, in order.
    spans: VecDeque<(Duration, Duration)>,
}

impl Waits {
    fn add(&mut self, from: Duration, to: Duration) {
        self.spans.push_back((from, to));
    }

    /// How long it waited since this time. Successive calls must not go back in time.
    fn since(&mut self, time: Duration) -> Duration {
        while self.spans.front().is_some_and(|(_, to)| *to <= time) {
            self.spans.pop_front();
        }
        self.spans.iter().map(|(from, to)| *to - (*from).max(time)).sum()
    }
}
