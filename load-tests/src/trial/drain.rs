//! Waits until all acknowledged records have passed their stages, for as long as there is progress.

use std::time::{Duration, Instant};

use tokio::sync::watch::Receiver;

use crate::stop::Stop;

use super::recording::Snapshot;

const LOOK: Duration = Duration::from_millis(50);

/// Whether all records were observed before progress stopped for this long.
pub(super) async fn wait(mut snapshot: Receiver<Snapshot>, without_progress_max: Duration, stop: &Stop) -> bool {
    let mut passed = 0;
    let mut progress = Instant::now();
    loop {
        {
            let now = snapshot.borrow_and_update();
            if now.settled {
                return true;
            }
            let passed_now = now.counts.stored + now.counts.aggregated + now.counts.acknowledged;
            if passed_now != passed {
                (passed, progress) = (passed_now, Instant::now());
            }
        }
        // The recorder has ended with an error.
        let is_gone = snapshot.has_changed().is_err();
        if is_gone || stop.is_requested() || progress.elapsed() > without_progress_max {
            return false;
        }
        tokio::time::sleep(LOOK).await;
    }
}
