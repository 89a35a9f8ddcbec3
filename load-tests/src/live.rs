//! The progress of a run on standard error: a bar in a terminal, otherwise a plain line every few seconds.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tokio::sync::watch::Receiver;
use tokio::task::JoinHandle;

use crate::recorder::Measure;
use crate::results::thousands;
use crate::span;
use crate::trial::Snapshot;

const REDRAW: Duration = Duration::from_millis(250);
const PLAIN_LINE_EVERY: Duration = Duration::from_secs(5);

/// Shows the progress until finished.
pub struct Live {
    task: JoinHandle<()>,
    bar: Option<ProgressBar>,
}

impl Live {
    /// Starts it, given the number of expected records.
    pub fn start(snapshot: Receiver<Snapshot>, records: u64) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(records);
            if let Ok(style) = ProgressStyle::with_template("{wide_bar} {percent:>3} %  {elapsed}\n{msg}") {
                bar.set_style(style);
            }
            bar
        });
        let task = tokio::spawn(show(snapshot, bar.clone()));
        Self { task, bar }
    }

    /// Ends it and removes the bar.
    pub fn finish(self) {
        self.task.abort();
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }
}

async fn show(snapshot: Receiver<Snapshot>, bar: Option<ProgressBar>) {
    let pause = if bar.is_some() { REDRAW } else { PLAIN_LINE_EVERY };
    let mut before = Snapshot::default();
    loop {
        tokio::time::sleep(pause).await;
        let now = snapshot.borrow().clone();
        match &bar {
            Some(bar) => {
                bar.set_position(now.counts.sent);
                bar.set_message(line(&before, &now, "\n"));
            }
            None => eprintln!("{}", line(&before, &now, ", ")),
        }
        before = now;
    }
}

/// The text of the progress.
fn line(before: &Snapshot, now: &Snapshot, between: &str) -> String {
    let elapsed = (now.at.saturating_sub(before.at)).as_secs_f64().max(0.001);
    let rate =
        |count: fn(&Snapshot) -> u64| thousands(((count(now) - count(before).min(count(now))) as f64 / elapsed) as u64);
    let counts = &now.counts;
    let mut parts = vec![
        format!(
            "{:>6.1} s  sent {}/s, acknowledged {}/s, stored {}/s",
            now.at.as_secs_f64(),
            rate(|snapshot| snapshot.counts.sent),
            rate(|snapshot| snapshot.counts.acknowledged),
            rate(|snapshot| snapshot.counts.stored),
        ),
        format!(
            "under way {} to raw rows, {} to hourly rows",
            thousands(counts.acknowledged - counts.stored),
            thousands(counts.to_aggregate - counts.aggregated)
        ),
    ];
    for measure in [Measure::Acknowledged, Measure::Stored, Measure::Query] {
        if let Some(recent) = now.recent.get(&measure) {
            let text = |micros| span::text(Duration::from_micros(micros));
            parts.push(format!(
                "{measure} p50 {} p99 {}",
                text(recent.p50_us),
                text(recent.p99_us)
            ));
        }
    }
    parts.join(between)
}
