//! Answers that were computed independently, and the comparison of the tables with them.
//!
//! Enters: expected hours by series, from a file or from plain arithmetic. Leaves: a panic that lists the differences.
//! Counts are compared exactly, sums and extremes within 1e-9, quantiles within the bound of the histogram.
#![allow(dead_code, unreachable_pub)] // each test file uses a part of it

pub mod arithmetic;

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use super::bed::Bed;

/// Relative error of sums and extremes: the order of additions is free.
const SUM_ERROR: f64 = 1e-9;
/// Relative error of quantiles: half the width of a bucket of the histogram, and a little.
const QUANTILE_ERROR: f64 = 0.006;
/// Differences that are shown.
const SHOWN_MAX: usize = 10;

/// An hour of a series.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct HourKey {
    pub service_id: String,
    pub environment: String,
    pub metric_name: String,
    pub unit: String,
    /// `2014-02-14 14:00:00`, UTC.
    pub hour: String,
}

/// What is known of an hour.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, clickhouse::Row)]
pub struct Hour {
    pub count: u64,
    pub sum: f64,
    pub avg: f64,
    pub min: f64,
    pub max: f64,
    pub p50: f64,
    pub p95: f64,
    pub p99: f64,
}

/// What an import should lead to.
#[derive(Debug, Default)]
pub struct Answers {
    /// The hours that have a finite value.
    pub hours: BTreeMap<HourKey, Hour>,
    /// Samples that are not finite, by service.
    pub not_finite: BTreeMap<String, u64>,
}

impl Answers {
    /// Reads a file like `expected_hourly.csv`.
    pub fn read(path: &Path) -> Self {
        #[derive(Deserialize)]
        struct Line {
            service_id: String,
            environment: String,
            metric_name: String,
            unit: String,
            hour_utc: String,
            count: u64,
            sum: Option<f64>,
            avg: Option<f64>,
            min: Option<f64>,
            max: Option<f64>,
            p50_ch: Option<f64>,
            p95_ch: Option<f64>,
            p99_ch: Option<f64>,
            nan_count: u64,
        }
        let mut answers = Self::default();
        for line in csv::Reader::from_path(path).unwrap().deserialize() {
            let line: Line = line.unwrap();
            if line.nan_count > 0 {
                *answers.not_finite.entry(line.service_id.clone()).or_default() += line.nan_count;
            }
            if line.count == 0 {
                continue;
            }
            let hour = Hour {
                count: line.count,
                sum: line.sum.unwrap(),
                avg: line.avg.unwrap(),
                min: line.min.unwrap(),
                max: line.max.unwrap(),
                p50: line.p50_ch.unwrap(),
                p95: line.p95_ch.unwrap(),
                p99: line.p99_ch.unwrap(),
            };
            answers.add(
                &line.service_id,
                &line.environment,
                &line.metric_name,
                &line.unit,
                line.hour_utc,
                hour,
            );
        }
        answers
    }

    /// Adds an hour; each comes once.
    pub fn add(
        &mut self,
        service_id: &str,
        environment: &str,
        metric_name: &str,
        unit: &str,
        hour: String,
        values: Hour,
    ) {
        let key = HourKey {
            service_id: service_id.to_owned(),
            environment: environment.to_owned(),
            metric_name: metric_name.to_owned(),
            unit: unit.to_owned(),
            hour,
        };
        assert_eq!(self.hours.insert(key, values), None, "an hour of a series comes once");
    }

    /// The samples that are in the hours.
    pub fn samples(&self) -> u64 {
        self.hours.values().map(|hour| hour.count).sum()
    }

    /// Compares the tables with the answers, for one tenant.
    #[track_caller]
    pub fn assert_stored(&self, bed: &Bed, tenant: &str) {
        let rows: u64 = bed.one(&format!("select count() from metrics where tenant_id = '{tenant}'"));
        assert_eq!(rows, self.samples(), "rows in metrics");
        let distinct: u64 = bed.one(&format!(
            "select uniqExact(kafka_topic, kafka_partition, kafka_offset) from metrics where tenant_id = '{tenant}'"
        ));
        assert_eq!(distinct, rows, "each record is one row");
        assert_eq!(
            rejected(bed, tenant, "value_not_finite"),
            self.not_finite,
            "rejected as not finite, by service"
        );
        let all: u64 = bed.one(&format!(
            "select count() from rejected_records where kind = 'metric_sample' and startsWith(record_key, '{tenant}/')"
        ));
        assert_eq!(
            all,
            self.not_finite.values().sum::<u64>(),
            "nothing is rejected for another reason"
        );
        let stored = stored(bed, tenant);
        let differences = self.differences(&stored);
        assert!(
            differences.is_empty(),
            "{} of {} hours differ:\n{}",
            differences.len(),
            self.hours.len(),
            differences[..differences.len().min(SHOWN_MAX)].join("\n")
        );
    }

    fn differences(&self, stored: &BTreeMap<HourKey, Hour>) -> Vec<String> {
        let missing = (self.hours.iter())
            .filter(|(key, _)| !stored.contains_key(key))
            .map(|(key, hour)| format!("missing {key:?} {hour:?}"));
        let surplus = (stored.iter())
            .filter(|(key, _)| !self.hours.contains_key(key))
            .map(|(key, hour)| format!("surplus {key:?} {hour:?}"));
        let unequal = (self.hours.iter())
            .filter_map(|(key, expected)| Some((key, expected, stored.get(key)?)))
            .filter(|(_, expected, found)| !found.agrees_with(expected))
            .map(|(key, expected, found)| format!("{key:?}\n  expected {expected:?}\n  found    {found:?}"));
        missing.chain(surplus).chain(unequal).collect()
    }
}

impl Hour {
    fn agrees_with(&self, expected: &Self) -> bool {
        let close = |found: f64, expected: f64, error: f64| (found - expected).abs() <= error * expected.abs();
        self.count == expected.count
            && close(self.sum, expected.sum, SUM_ERROR)
            && close(self.avg, expected.avg, SUM_ERROR)
            && close(self.min, expected.min, SUM_ERROR)
            && close(self.max, expected.max, SUM_ERROR)
            && close(self.p50, expected.p50, QUANTILE_ERROR)
            && close(self.p95, expected.p95, QUANTILE_ERROR)
            && close(self.p99, expected.p99, QUANTILE_ERROR)
    }
}

/// The hours of a tenant as analysts read them.
fn stored(bed: &Bed, tenant: &str) -> BTreeMap<HourKey, Hour> {
    #[derive(Deserialize, clickhouse::Row)]
    struct Row {
        service_id: String,
        environment: String,
        metric_name: String,
        unit: String,
        hour: String,
        count: u64,
        sum: f64,
        avg: f64,
        min: f64,
        max: f64,
        p50: f64,
        p95: f64,
        p99: f64,
    }
    let rows: Vec<Row> = bed.sql(&format!(
        "select toString(service_id) as service_id, toString(environment) as environment, toString(metric_name) as metric_name, \
         toString(unit) as unit, toString(v.hour) as hour, count, sum, avg, min, max, p50, p95, p99 \
         from metrics_hourly_view as v where tenant_id = '{tenant}'"
    ));
    let mut found = Answers::default();
    for row in rows {
        let Row {
            count,
            sum,
            avg,
            min,
            max,
            p50,
            p95,
            p99,
            ..
        } = row;
        let hour = Hour {
            count,
            sum,
            avg,
            min,
            max,
            p50,
            p95,
            p99,
        };
        found.add(
            &row.service_id,
            &row.environment,
            &row.metric_name,
            &row.unit,
            row.hour,
            hour,
        );
    }
    found.hours
}

fn rejected(bed: &Bed, tenant: &str, reason: &str) -> BTreeMap<String, u64> {
    let rows: Vec<(String, u64)> = bed.sql(&format!(
        "select splitByChar('/', record_key, 2)[2] as service_id, count() as n from rejected_records \
         where kind = 'metric_sample' and startsWith(record_key, '{tenant}/') and reason = '{reason}' group by service_id"
    ));
    rows.into_iter().collect()
}
