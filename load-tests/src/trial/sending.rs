//! The sender's thread: the real clock, the real producer, and the reports to the recorder.

use std::cell::Cell;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use tokio::sync::mpsc::Sender as Events;
use tokio::task::JoinHandle;

use crate::producer::{ProduceError, Producer};
use crate::recorder::Event;
use crate::sender::{Clock, Sender, Turn};
use crate::stop::Stop;
use crate::traffic::{Mix, Source, Traffic};

use super::plan::{Content, Plan};

/// Sent before the clock starts: a client takes half a second to get its producer id from the broker.
const FIRST_RECORDS: u64 = 100;
/// How long the last records may take to be acknowledged; longer than librdkafka retries.
const SETTLE_DEADLINE: Duration = Duration::from_secs(330);
/// The same after a stop request.
const SETTLE_DEADLINE_STOPPED: Duration = Duration::from_secs(5);

/// How long to wait at a time before checking for a stop request.
const SETTLE_STEP: Duration = Duration::from_millis(500);

/// The time since the beginning of the run.
#[derive(Debug, Clone, Copy)]
pub(super) struct RunClock(pub Instant);

impl Clock for RunClock {
    fn now(&self) -> Duration {
        self.0.elapsed()
    }

    fn sleep(&self, duration: Duration) {
        std::thread::sleep(duration);
    }
}

/// Sends some records of a tenant that is not the run's, so that the client is connected when the run starts.
pub(super) fn warm_up(mut producer: Producer, prefix: &str) -> Result<(Producer, u64), ProduceError> {
    let mut traffic = Traffic::new(&Mix::default(), &format!("{prefix}.warm-up"), 0);
    for _ in 0..FIRST_RECORDS {
        producer.send(traffic.next(Utc::now().timestamp_micros()))?;
    }
    let sent = producer.settle_all(SETTLE_DEADLINE_STOPPED * 12)?;
    Ok((producer, sent))
}

/// Sends all records of the plan.
pub(super) fn start(
    mut producer: Producer,
    plan: &Plan,
    mut content: Content,
    clock: RunClock,
    begun_at: DateTime<Utc>,
    stop: Stop,
    events: Events<Event>,
) -> JoinHandle<Result<(), ProduceError>> {
    let arrivals = plan.schedule.arrivals(plan.seed);
    tokio::task::spawn_blocking(move || {
        let recorder_is_gone = Cell::new(false);
        let mut report = |turn: Turn| {
            // If the recorder is gone, it reports its error at the end. Until then nothing is worth sending.
            if !turn.is_empty() && events.blocking_send(Event::Turn(turn)).is_err() {
                recorder_is_gone.set(true);
            }
        };
        let mut sender = Sender {
            arrivals,
            source: &mut content,
            outlet: &mut producer,
            clock: &clock,
            begun_us: begun_at.timestamp_micros(),
        };
        let sent = sender.run(&|| stop.is_requested() || recorder_is_gone.get(), &mut report);
        // What was sent before an error is settled, too.
        let settled = match recorder_is_gone.get() {
            true => Ok(()),
            false => settle(&mut producer, &stop, &mut report),
        };
        let _ = events.blocking_send(Event::SentAll);
        sent.map(drop).and(settled)
    })
}

/// Waits for the last acknowledgements; counts records that are still missing as given up.
fn settle(producer: &mut Producer, stop: &Stop, report: &mut impl FnMut(Turn)) -> Result<(), ProduceError> {
    let mut deadline = SETTLE_DEADLINE;
    loop {
        if stop.is_requested() {
            deadline = deadline.min(SETTLE_DEADLINE_STOPPED);
        }
        let turn = producer.settle(SETTLE_STEP)?;
        let over = turn.under_way == 0;
        deadline = deadline.saturating_sub(SETTLE_STEP);
        if over {
            report(turn);
            return Ok(());
        }
        if deadline.is_zero() {
            report(turn.giving_up());
            return Ok(());
        }
        report(turn);
    }
}
