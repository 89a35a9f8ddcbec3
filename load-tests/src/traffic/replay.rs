//! Records from a file: NDJSON of Horolog records, sent again with their original gaps.
//!
//! Enters: one JSON record per line, a metric sample or an audit event as `horolog import` takes them, ordered by time.
//! Leaves: their times relative to the first, and the records with new times. Each tenant gets the run's prefix, so
//! that replayed records can be told from existing ones. Pure: text in, records out.

use std::collections::BTreeSet;
use std::time::Duration;

use horolog_schemas::{AuditEvent, Kind, MetricSample};
use serde::Deserialize;

use super::{Outgoing, Source};

/// Why a file cannot be replayed.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum ReplayError {
    /// A line that is not a record.
    #[error("line {line}: neither a metric sample nor an audit event: {reason}")]
    Line {
        /// Its number, from 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
    /// The times are not in order.
    #[error("line {0}: earlier than the line before; sort the file by time")]
    Order(usize),
    /// There are no records.
    #[error("it contains no records")]
    Empty,
}

/// A record of either kind.
#[derive(Debug, Clone, PartialEq)]
enum Record {
    Metric(Box<MetricSample>),
    Audit(Box<AuditEvent>),
}

/// A recorded stream.
#[derive(Debug, Clone, PartialEq)]
pub struct Recording {
    records: Vec<Record>,
    times: Vec<Duration>,
    next: usize,
    key: String,
    payload: Vec<u8>,
}

impl Recording {
    /// Parses it. A speed of 2 halves the gaps.
    pub fn read(text: &str, prefix: &str, speed: f64) -> Result<Self, ReplayError> {
        let mut records = Vec::new();
        let mut times: Vec<Duration> = Vec::new();
        let (mut first_us, mut last_us) = (None, i64::MIN);
        for (line, json) in (1..).zip(text.lines()).filter(|(_, json)| !json.trim().is_empty()) {
            let record = Record::parse(json, prefix).map_err(|reason| ReplayError::Line { line, reason })?;
            let at_us = record.time_us();
            if at_us < last_us {
                return Err(ReplayError::Order(line));
            }
            last_us = at_us;
            let since_us = at_us.abs_diff(*first_us.get_or_insert(at_us));
            times.push(Duration::from_micros(since_us).div_f64(speed));
            records.push(record);
        }
        if records.is_empty() {
            return Err(ReplayError::Empty);
        }
        Ok(Self {
            records,
            times,
            next: 0,
            key: String::new(),
            payload: Vec::new(),
        })
    }

    /// The tenants with each metric that they have, and the tenants with audit events; at most this many of each.
    pub fn subjects(&self, most: usize) -> (Vec<(String, String)>, Vec<String>) {
        let (mut metrics, mut events) = (BTreeSet::new(), BTreeSet::new());
        for record in &self.records {
            match record {
                Record::Metric(sample) => {
                    metrics.insert((sample.tenant_id.clone(), sample.metric_name.clone()));
                }
                Record::Audit(event) => {
                    events.insert(event.tenant_id.clone());
                }
            }
        }
        (
            metrics.into_iter().take(most).collect(),
            events.into_iter().take(most).collect(),
        )
    }

    /// When each record is to be sent.
    pub fn times(&self) -> Vec<Duration> {
        self.times.clone()
    }
}

impl Source for Recording {
    fn next(&mut self, time_us: i64) -> Outgoing<'_> {
        let index = self.next % self.records.len();
        self.next += 1;
        self.payload.clear();
        let kind = match &mut self.records[index] {
            Record::Metric(sample) => {
                sample.time = time_us;
                sample.encode_single_object(&mut self.payload);
                self.key = sample.key();
                Kind::MetricSample
            }
            Record::Audit(event) => {
                event.occurred_at = time_us;
                event.encode_single_object(&mut self.payload);
                self.key = event.key();
                Kind::AuditEvent
            }
        };
        Outgoing {
            kind,
            key: &self.key,
            payload: &self.payload,
            bad: false,
        }
    }
}

/// Distinguishes the kinds by a field that only one of them has.
#[derive(Deserialize)]
struct Probe {
    metric_name: Option<serde::de::IgnoredAny>,
}

impl Record {
    fn parse(json: &str, prefix: &str) -> Result<Self, String> {
        let words = |error: serde_json::Error| error.to_string();
        let probe: Probe = serde_json::from_str(json).map_err(words)?;
        let in_run = |tenant: &str| format!("{prefix}-{tenant}");
        if probe.metric_name.is_some() {
            let mut sample: MetricSample = serde_json::from_str(json).map_err(words)?;
            sample.tenant_id = in_run(&sample.tenant_id);
            if sample.metric_name.is_empty() {
                return Err("metric_name is empty".to_owned());
            }
            return Ok(Self::Metric(Box::new(sample)));
        }
        let mut event: AuditEvent = serde_json::from_str(json).map_err(words)?;
        event.tenant_id = in_run(&event.tenant_id);
        Ok(Self::Audit(Box::new(event)))
    }

    fn time_us(&self) -> i64 {
        match self {
            Self::Metric(sample) => sample.time,
            Self::Audit(event) => event.occurred_at,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const METRIC: &str =
        r#"{"tenant_id":"a","time":TIME,"metric_name":"cpu","metric_type":"gauge","value":1.5,"service_id":"web"}"#;
    const AUDIT: &str = r#"{"event_id":"6f0d2a3e-3b1c-4d5e-8f90-a1b2c3d4e5f6","tenant_id":"b","occurred_at":TIME,"source":"api","action":"x","status":"success"}"#;

    fn line(template: &str, time_us: i64) -> String {
        template.replace("TIME", &time_us.to_string())
    }

    #[test]
    fn gaps_stay_and_tenants_are_the_runs_own() {
        let text = [
            line(METRIC, 5_000_000),
            String::new(),
            line(AUDIT, 6_000_000),
            line(METRIC, 9_000_000),
        ]
        .join("\n");
        let mut recording = Recording::read(&text, "run", 2.0).unwrap();
        assert_eq!(recording.times(), [0, 500, 2_000].map(Duration::from_millis));
        let first = recording.next(1);
        assert_eq!((first.kind, first.key), (Kind::MetricSample, "run-a/web"));
        assert!(recording.next(2).key.starts_with("run-b/"));
    }

    #[test]
    fn what_is_wrong_is_named_by_its_line() {
        let wrong = |text: &str| Recording::read(text, "run", 1.0).unwrap_err();
        assert!(matches!(wrong("{}\n"), ReplayError::Line { line: 1, .. }));
        let back = [line(METRIC, 2), line(METRIC, 1)].join("\n");
        assert_eq!(wrong(&back), ReplayError::Order(2));
        assert_eq!(wrong("\n"), ReplayError::Empty);
    }
}
