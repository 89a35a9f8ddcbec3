//! The recorder's thread: processes events, closes and logs an interval every second, and publishes the progress.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::latencies::Summary;
use crate::recorder::{Counts, Event, Measure, Recorder};
use crate::results::{Point, ResultsFolder, Second};

const INTERVAL: Duration = Duration::from_secs(1);
/// Time between two snapshots.
const TELL_EVERY: Duration = Duration::from_millis(50);
/// Timeout for events still in the channel when the run is over.
const DEADLINE: Duration = Duration::from_secs(60);

/// The progress of a run.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// Since the beginning.
    pub at: Duration,
    /// Counts so far.
    pub counts: Counts,
    /// Whether every acknowledged record has passed its stages.
    pub settled: bool,
    /// Latencies of the newest interval that has any.
    pub recent: BTreeMap<Measure, Summary>,
}

/// Everything that was recorded.
pub struct Recorded {
    /// Everything.
    pub recorder: Recorder,
    /// The progress, second by second.
    pub seconds: Vec<Second>,
    /// Every interval of each measure.
    pub points: BTreeMap<Measure, Vec<Point>>,
    /// The results folder, if there is one.
    pub folder: Option<ResultsFolder>,
}

/// A running recorder.
pub(super) struct Recording(JoinHandle<anyhow::Result<Recorded>>);

/// Starts it. It ends when all senders are dropped.
pub(super) fn start(
    mut inbox: mpsc::Receiver<Event>,
    snapshots: watch::Sender<Snapshot>,
    begun: Instant,
    warm_up: Duration,
    folder: Option<ResultsFolder>,
) -> anyhow::Result<Recording> {
    let mut book = Book {
        recorded: Recorded {
            recorder: Recorder::new(warm_up)?,
            seconds: Vec::new(),
            points: BTreeMap::new(),
            folder,
        },
        recent: BTreeMap::new(),
    };
    Ok(Recording(tokio::task::spawn_blocking(move || {
        let (mut closed, mut told) = (Duration::ZERO, Duration::ZERO);
        while let Some(event) = inbox.blocking_recv() {
            book.recorded.recorder.take(event);
            let now = begun.elapsed();
            if now >= closed + INTERVAL {
                book.close(now)?;
                closed = now;
            }
            if now >= told + TELL_EVERY {
                // There may be no receiver.
                let _ = snapshots.send(book.snapshot(now));
                told = now;
            }
        }
        book.close(begun.elapsed())?;
        let _ = snapshots.send(book.snapshot(begun.elapsed()));
        Ok(book.recorded)
    })))
}

struct Book {
    recorded: Recorded,
    recent: BTreeMap<Measure, Summary>,
}

impl Book {
    fn close(&mut self, at: Duration) -> anyhow::Result<()> {
        let Recorded {
            recorder,
            seconds,
            points,
            folder,
        } = &mut self.recorded;
        for (measure, interval) in recorder.close(at) {
            if let Some(folder) = folder {
                folder.log(measure, &interval)?;
            }
            points.entry(measure).or_default().push(Point::of(&interval));
            self.recent.insert(measure, interval.latencies.summary());
        }
        let counts = recorder.counts();
        seconds.push(Second {
            at_s: at.as_secs_f64(),
            sent: counts.sent,
            acknowledged: counts.acknowledged,
            stored: counts.stored,
            aggregated: counts.aggregated,
            stored_lag: counts.acknowledged - counts.stored,
            aggregated_lag: counts.to_aggregate - counts.aggregated,
        });
        Ok(())
    }

    fn snapshot(&self, at: Duration) -> Snapshot {
        Snapshot {
            at,
            counts: self.recorded.recorder.counts(),
            settled: self.recorded.recorder.is_settled(),
            recent: self.recent.clone(),
        }
    }
}

impl Recording {
    /// What was recorded, once all senders are dropped.
    pub(super) async fn finish(self) -> anyhow::Result<Recorded> {
        let recorded = tokio::time::timeout(DEADLINE, self.0).await;
        recorded.context("the recorder did not stop")??
    }
}
