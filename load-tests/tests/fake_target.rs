//! The tester against a target with known delays: only the test moves the clock, so that each latency can be computed.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::convert::Infallible;
use std::ops::Range;
use std::time::Duration;

use horolog_load::books::{Account, differing};
use horolog_load::latencies::Latencies;
use horolog_load::recorder::{BUCKET_OFFSETS, Bucket, Event, Measure, Recorder, Stage, Totals};
use horolog_load::results::{Objective, TesterFigures};
use horolog_load::schedule::{Schedule, Shape};
use horolog_load::sender::{Acknowledged, Clock, Outlet, Sender, Stamp, Turn};
use horolog_load::traffic::{Mix, Outgoing, Traffic};
use horolog_schemas::Kind;

const MS: Duration = Duration::from_millis(1);
const DELAY: Duration = Duration::from_millis(10);
const STALL: Range<Duration> = Duration::from_secs(3)..Duration::from_secs(5);
const RATE: f64 = 1_000.0;
const LENGTH: Duration = Duration::from_secs(10);

/// Time passes only while somebody sleeps, and sometimes more than was asked for.
struct TestClock {
    now: Cell<Duration>,
    oversleeps: Duration,
}

impl Clock for TestClock {
    fn now(&self) -> Duration {
        self.now.get()
    }

    fn sleep(&self, duration: Duration) {
        self.now.set(self.now.get() + duration + self.oversleeps);
    }
}

/// What the target does during its stall.
#[derive(Clone, Copy, PartialEq)]
enum InStall {
    /// Takes records, and acknowledges all of them after it.
    Answers,
    /// Takes no records.
    Refuses,
}

/// Takes records, and acknowledges each after a delay.
struct FakeTarget<'a> {
    clock: &'a TestClock,
    in_stall: InStall,
    under_way: VecDeque<Acknowledged>,
    /// Every record that was taken, with the time of its acknowledgement.
    taken: Vec<Acknowledged>,
}

impl Outlet for FakeTarget<'_> {
    type Error = Infallible;

    fn offer(&mut self, stamp: Stamp, _: Outgoing<'_>) -> Result<bool, Infallible> {
        let now = self.clock.now();
        let stalled = STALL.contains(&now);
        if stalled && self.in_stall == InStall::Refuses {
            return Ok(false);
        }
        let at = if stalled { STALL.end } else { now } + DELAY;
        let record = Acknowledged {
            stamp,
            partition: 0,
            offset: self.taken.len() as i64,
            at,
        };
        self.taken.push(record);
        self.under_way.push_back(record);
        Ok(true)
    }

    fn collect(&mut self, wait: bool, turn: &mut Turn) {
        if wait {
            self.clock.sleep(MS * 10);
        }
        while let Some(record) = self.under_way.pop_front_if(|record| record.at <= self.clock.now()) {
            turn.acknowledged.push(record);
        }
    }
}

/// A run against the fake target: what was recorded, and every record with its times.
fn run(in_stall: InStall, oversleeps: Duration) -> (Recorder, Vec<Acknowledged>) {
    run_warm(in_stall, oversleeps, Duration::ZERO)
}

/// The same with a warm-up.
fn run_warm(in_stall: InStall, oversleeps: Duration, warm_up: Duration) -> (Recorder, Vec<Acknowledged>) {
    let clock = TestClock {
        now: Cell::new(Duration::ZERO),
        oversleeps,
    };
    let mut target = FakeTarget {
        clock: &clock,
        in_stall,
        under_way: VecDeque::new(),
        taken: Vec::new(),
    };
    let mut recorder = Recorder::new(warm_up).unwrap();
    let mut traffic = Traffic::new(&Mix::default(), "fake", 1);
    let schedule = Schedule::new(Shape::Constant, RATE, LENGTH).unwrap();
    let mut sender = Sender {
        arrivals: schedule.arrivals(1),
        source: &mut traffic,
        outlet: &mut target,
        clock: &clock,
        begun_us: 1_760_000_000_000_000,
    };
    let mut report = |turn: Turn| recorder.take(Event::Turn(turn));
    assert_eq!(sender.run(&|| false, &mut report), Ok(10_000));
    let mut last = Turn::default();
    clock.sleep(STALL.end);
    target.collect(false, &mut last);
    recorder.take(Event::Turn(last));
    recorder.take(Event::SentAll);
    (recorder, target.taken)
}

/// The exact value at this quantile.
fn exact(sorted: &[Duration], quantile: f64) -> Duration {
    sorted[((sorted.len() as f64 * quantile).ceil() as usize).max(1) - 1]
}

fn assert_within_precision(found: &Latencies, mut computed: Vec<Duration>) {
    computed.sort();
    assert_eq!(found.len(), computed.len() as u64);
    for quantile in [0.5, 0.75, 0.79, 0.85, 0.9, 0.99, 0.999, 1.0] {
        let (found, computed) = (found.quantile(quantile), exact(&computed, quantile));
        let off = found.abs_diff(computed);
        // Three digits, and the microsecond to which a stamp is truncated.
        assert!(
            off <= computed / 1_000 + MS / 500,
            "{quantile}: {found:?} is not {computed:?}"
        );
    }
}

#[test]
fn the_open_loop_tells_a_stall_as_it_was_and_the_closed_loop_does_not() {
    let (recorder, taken) = run(InStall::Answers, Duration::ZERO);
    let open = recorder.total(Measure::Acknowledged).unwrap();
    let computed: Vec<Duration> = taken.iter().map(|record| record.at - record.stamp.intended).collect();
    assert_within_precision(open, computed);
    // A fifth of the records waited, evenly spread over up to two seconds.
    assert!(open.quantile(0.9) > MS * 900 && open.quantile(0.99) > MS * 1_800);
    let closed = recorder.closed_loop(Measure::Acknowledged).unwrap();
    assert!(closed.quantile(0.99) < MS * 15, "{:?}", closed.quantile(0.99));
    assert!(
        closed.max() > MS * 1_900,
        "the one record that it did send in the stall"
    );
}

#[test]
fn a_target_that_takes_nothing_is_no_lateness_of_the_tester() {
    let (recorder, taken) = run(InStall::Refuses, Duration::ZERO);
    let computed = taken.iter().map(|record| record.at - record.stamp.intended);
    assert_within_precision(recorder.total(Measure::Acknowledged).unwrap(), computed.collect());
    let late = recorder.total(Measure::Lateness).unwrap();
    assert!(late.quantile(0.99) > MS * 1_800, "{:?}", late.quantile(0.99));
    assert!(
        recorder.own_lateness().max() < MS * 5,
        "{:?}",
        recorder.own_lateness().max()
    );
    assert!(!tester(&recorder).was_bottleneck());
}

#[test]
fn what_is_meant_to_leave_in_the_warm_up_is_counted_and_its_latencies_are_not() {
    let (recorder, taken) = run_warm(InStall::Answers, Duration::ZERO, STALL.start + MS * 500);
    let after = |record: &&Acknowledged| record.stamp.intended >= STALL.start + MS * 500;
    let computed = taken
        .iter()
        .filter(after)
        .map(|record| record.at - record.stamp.intended);
    assert_within_precision(recorder.total(Measure::Acknowledged).unwrap(), computed.collect());
    assert_eq!(recorder.own_lateness().len(), 6_500);
    assert_eq!(recorder.counts().acknowledged, 10_000);
}

#[test]
fn a_tester_that_gets_no_core_knows_that_it_was_the_bottleneck() {
    let (recorder, _) = run(InStall::Answers, MS * 300);
    assert!(tester(&recorder).was_bottleneck());
    assert!(recorder.own_lateness().max() > MS * 250);
}

fn tester(recorder: &Recorder) -> TesterFigures {
    let own = recorder.own_lateness();
    TesterFigures {
        own_lateness: own.summary(),
        late: own.longer_than(MS * 100),
        late_share_max: 0.01,
        ..TesterFigures::default()
    }
}

/// Polls every 50 ms a stage that has everything after a delay: latencies are upper bounds, too long by less than a
/// poll.
#[test]
fn what_is_seen_by_looks_is_at_most_a_look_too_late() {
    let (mut recorder, taken) = run(InStall::Answers, Duration::ZERO);
    let (look, stored_after) = (MS * 50, MS * 200);
    let mut at = Duration::ZERO;
    while !recorder.is_settled() {
        at += look;
        let end = taken.partition_point(|record| record.at + stored_after <= at) as i64;
        for stage in Stage::ALL {
            let ends = BTreeMap::from([((Kind::MetricSample, 0), end)]);
            recorder.take(Event::Seen { stage, at, ends });
        }
        assert!(at < LENGTH * 2, "it never settles");
    }
    let stored = recorder.total(Measure::Stored).unwrap();
    let mut computed: Vec<Duration> = taken
        .iter()
        .map(|record| record.at + stored_after - record.stamp.intended)
        .collect();
    computed.sort();
    for quantile in [0.5, 0.9, 0.99, 0.999] {
        let (found, computed) = (stored.quantile(quantile), exact(&computed, quantile));
        assert!(
            found >= computed - computed / 1_000,
            "{quantile}: {found:?} is shorter than {computed:?}"
        );
        assert!(
            found <= computed + look + found / 500,
            "{quantile}: {found:?} is longer than {computed:?} and a look"
        );
    }
}

#[test]
fn a_record_that_is_never_seen_keeps_the_run_from_settling() {
    let (mut recorder, taken) = run(InStall::Answers, Duration::ZERO);
    let ends = BTreeMap::from([((Kind::MetricSample, 0), taken.len() as i64 - 1)]);
    for stage in Stage::ALL {
        let (at, ends) = (LENGTH * 2, ends.clone());
        recorder.take(Event::Seen { stage, at, ends });
    }
    let counts = recorder.counts();
    assert!(!recorder.is_settled());
    assert_eq!(
        (
            counts.acknowledged - counts.stored,
            counts.to_aggregate - counts.aggregated
        ),
        (1, 1)
    );
}

/// The account for tables of the fake target whose rows have these offsets.
fn account(recorder: &Recorder, rows: &[i64]) -> Account {
    let mut found: BTreeMap<Bucket, Totals> = BTreeMap::new();
    let mut different: BTreeMap<Bucket, BTreeSet<i64>> = BTreeMap::new();
    for &offset in rows {
        let bucket = Bucket {
            kind: Kind::MetricSample,
            partition: 0,
            number: offset / BUCKET_OFFSETS,
        };
        found.entry(bucket).or_default().add(offset);
        different.entry(bucket).or_default().insert(offset);
    }
    let expected = &recorder.tally().good;
    let mut account = Account::default();
    for bucket in differing(expected, &found) {
        account.add(expected[&bucket], found[&bucket], different[&bucket].len() as u64);
    }
    account
}

#[test]
fn a_lost_and_a_doubled_record_are_each_detected() {
    let (recorder, taken) = run(InStall::Answers, Duration::ZERO);
    let rows: Vec<i64> = taken.iter().map(|record| record.offset).collect();
    assert_eq!(account(&recorder, &rows).faults(), Vec::<String>::new());

    let lost: Vec<i64> = rows.iter().copied().filter(|offset| *offset != 4_711).collect();
    assert_eq!(account(&recorder, &lost).lost, 1);

    let doubled: Vec<i64> = rows.iter().copied().chain([4_711]).collect();
    assert_eq!(account(&recorder, &doubled).doubled, 1);

    let both: Vec<i64> = lost.iter().copied().chain([17]).collect();
    let both = account(&recorder, &both);
    assert_eq!((both.lost, both.doubled, both.foreign), (1, 1, 0));
    assert_eq!(both.faults().len(), 2);
}

#[test]
fn a_single_late_record_is_the_maximum_and_misses_its_objective() {
    let mut recorder = Recorder::new(Duration::ZERO).unwrap();
    let record = |offset: i64, late: Duration| {
        let intended = MS * u32::try_from(offset).unwrap();
        Acknowledged {
            stamp: Stamp {
                intended,
                kind: Kind::AuditEvent,
                bad: false,
            },
            partition: 1,
            offset,
            at: intended + late,
        }
    };
    let acknowledged = (0..5_000).map(|offset| record(offset, if offset == 3_000 { MS * 5_000 } else { DELAY }));
    recorder.take(Event::Turn(Turn {
        acknowledged: acknowledged.collect(),
        ..Turn::default()
    }));
    let summary = recorder.total(Measure::Acknowledged).unwrap().summary();
    assert_eq!(summary.max_us / 5_000, 1_000, "{} us", summary.max_us);
    let objective = |text: &str| text.parse::<Objective>().unwrap().judge(Some(&summary)).held;
    assert!(objective("acknowledged:p99.9<=20ms"));
    assert!(!objective("acknowledged:max<=2s"));
}
