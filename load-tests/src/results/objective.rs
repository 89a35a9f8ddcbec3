//! Objectives of a run: `stored:p99<=1s`. Pure.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::latencies::Summary;
use crate::recorder::Measure;
use crate::span;

/// A bound on a latency.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Objective {
    /// The latency.
    pub measure: Measure,
    statistic: Statistic,
    at_most: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Statistic {
    Mean,
    P50,
    P90,
    P99,
    P999,
    P9999,
    Max,
}

const STATISTICS: [(&str, Statistic); 7] = [
    ("mean", Statistic::Mean),
    ("p50", Statistic::P50),
    ("p90", Statistic::P90),
    ("p99", Statistic::P99),
    ("p99.9", Statistic::P999),
    ("p99.99", Statistic::P9999),
    ("max", Statistic::Max),
];

/// An objective and its outcome.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ObjectiveFigures {
    /// `stored:p99<=1s`.
    pub objective: String,
    /// The measured value; absent if nothing was measured.
    pub found_us: Option<u64>,
    /// The bound.
    pub at_most_us: u64,
    /// Whether it was met.
    pub held: bool,
}

impl Objective {
    /// Compares the objective with the measured latency. An objective without measurements is missed.
    pub fn judge(&self, summary: Option<&Summary>) -> ObjectiveFigures {
        let summary = summary.filter(|summary| summary.records > 0);
        let found_us = summary.map(|summary| match self.statistic {
            Statistic::Mean => summary.mean_us as u64,
            Statistic::P50 => summary.p50_us,
            Statistic::P90 => summary.p90_us,
            Statistic::P99 => summary.p99_us,
            Statistic::P999 => summary.p999_us,
            Statistic::P9999 => summary.p9999_us,
            Statistic::Max => summary.max_us,
        });
        ObjectiveFigures {
            objective: self.to_string(),
            found_us,
            at_most_us: self.at_most.as_micros() as u64,
            held: found_us.is_some_and(|found| Duration::from_micros(found) <= self.at_most),
        }
    }
}

impl fmt::Display for Objective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = STATISTICS.iter().find(|(_, known)| *known == self.statistic);
        let name = name.map_or("", |(name, _)| *name);
        write!(
            f,
            "{}:{name}<={}",
            self.measure,
            // Not rounded to three digits: what is written is what was judged.
            span::short(self.at_most).replace(' ', "")
        )
    }
}

impl FromStr for Objective {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text
            .split_once(':')
            .and_then(|(measure, rest)| Some((measure, rest.split_once("<=")?)));
        let Some((measure, (statistic, at_most))) = parts else {
            return Err(format!("`{text}` is not an objective; write stored:p99<=1s"));
        };
        let found = STATISTICS.iter().find(|(name, _)| *name == statistic);
        let (_, statistic) = found.ok_or_else(|| {
            format!("`{statistic}` is not a statistic; use mean, p50, p90, p99, p99.9, p99.99 or max")
        })?;
        Ok(Self {
            measure: measure.parse()?,
            statistic: *statistic,
            at_most: span::parse(at_most)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_objective_is_read_and_judged() {
        let objective: Objective = "stored:p99<=1s".parse().unwrap();
        let summary = |p99_us| Summary {
            records: 1,
            p99_us,
            ..Summary::default()
        };
        assert!(objective.judge(Some(&summary(1_000_000))).held);
        let missed = objective.judge(Some(&summary(1_000_001)));
        assert_eq!((missed.held, missed.found_us), (false, Some(1_000_001)));
        assert!(!objective.judge(None).held);
        assert!(!objective.judge(Some(&Summary::default())).held);
        assert_eq!(objective.to_string().parse(), Ok(objective));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let wrong = |text: &str| text.parse::<Objective>().unwrap_err();
        assert!(wrong("p99<1s").contains("stored:p99<=1s"));
        assert!(wrong("disk:p99<=1s").contains("disk"));
        assert!(wrong("stored:p98<=1s").contains("p98"));
        assert!(wrong("stored:p99<=1").contains("duration"));
    }
}
