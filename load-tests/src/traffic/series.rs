//! Generated metric samples: series of one metric of one service each, used in turn.
//!
//! Enters: a mix and a seed, then a time for each record. Leaves: key and payload, of about 120 bytes if nothing is
//! added. The same seed and times give the same bytes. Values are random walks with two decimals, like typical gauge
//! readings: this affects both how well they compress and how many histogram buckets they fill. No clock, no I/O.

use std::num::NonZeroUsize;

use horolog_schemas::{MetricSample, MetricType};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::mix::{ByteRange, Mix};

/// Metrics per service, unless the number of keys is set.
const SERIES_A_KEY: usize = METRICS.len();
const METRICS: [(&str, MetricType, &str); 12] = [
    ("cpu_utilization", MetricType::Gauge, "%"),
    ("memory_used", MetricType::Gauge, "MiB"),
    ("disk_used", MetricType::Gauge, "GiB"),
    ("http_requests", MetricType::Counter, "1"),
    ("http_errors", MetricType::Counter, "1"),
    ("request_latency", MetricType::Histogram, "ms"),
    ("queue_length", MetricType::Gauge, "1"),
    ("connections", MetricType::Gauge, "1"),
    ("cache_hit_ratio", MetricType::Gauge, "%"),
    ("gc_pause", MetricType::Histogram, "ms"),
    ("network_in", MetricType::Gauge, "KiB/s"),
    ("network_out", MetricType::Gauge, "KiB/s"),
];
const PLUGINS: [&str; 4] = ["core", "billing", "search", "export"];
/// Values walk between zero and this, in hundredths.
const CENTS_MAX: i64 = 1_000_000;
const STEP_CENTS_MAX: i64 = 100;

/// Label that holds the extra bytes of a record.
const EXTRA_LABEL: &str = "extra";
const LETTERS: &[u8; 64] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";

/// An endless stream of records.
pub struct Fleet {
    series: Vec<Series>,
    next: usize,
    extra: ByteRange,
    random: StdRng,
}

struct Series {
    key: String,
    sample: MetricSample,
    cents: i64,
}

impl Fleet {
    /// This many series of one tenant, at least one.
    pub fn new(tenant: &str, series: usize, seed: u64) -> Self {
        let mix = Mix {
            series: NonZeroUsize::new(series).unwrap_or(NonZeroUsize::MIN),
            ..Mix::default()
        };
        Self::of(&mix, &[tenant.to_owned()], seed)
    }

    /// The series that the mix asks for, of these tenants.
    pub(super) fn of(mix: &Mix, tenants: &[String], seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let services = keys(mix);
        let series = (0..mix.series.get())
            .map(|number| {
                // Each service has its metrics in turn and belongs to one tenant.
                let (service, metric) = if mix.keys.is_some() {
                    (number % services, number / services)
                } else {
                    (number / SERIES_A_KEY, number % SERIES_A_KEY)
                };
                let tenant = &tenants[service % tenants.len()];
                let sample = sample(tenant, service, metric, mix.labels);
                Series {
                    key: sample.key(),
                    sample,
                    cents: random.random_range(0..=CENTS_MAX),
                }
            })
            .collect();
        Self {
            series,
            next: 0,
            extra: mix.extra_bytes,
            random,
        }
    }

    /// Writes the payload of the next record, observed at this time; returns its key.
    pub fn record(&mut self, time_us: i64, payload: &mut Vec<u8>) -> &str {
        let turn = self.next;
        self.next = (turn + 1) % self.series.len();
        let series = &mut self.series[turn];
        let step = self.random.random_range(-STEP_CENTS_MAX..=STEP_CENTS_MAX);
        series.cents = (series.cents + step).clamp(0, CENTS_MAX);
        series.sample.time = time_us;
        series.sample.value = series.cents as f64 / 100.0;
        if self.extra.max > 0 {
            let text = series.sample.labels.entry(EXTRA_LABEL.to_owned()).or_default();
            text.clear();
            random_text(self.extra, &mut self.random, text);
        }
        payload.clear();
        series.sample.encode_single_object(payload);
        &series.key
    }
}

/// The number of keys, of services or resources.
pub(super) fn keys(mix: &Mix) -> usize {
    mix.keys
        .map_or_else(|| mix.series.get().div_ceil(SERIES_A_KEY), NonZeroUsize::get)
}

fn sample(tenant: &str, service: usize, metric: usize, labels: usize) -> MetricSample {
    let (name, metric_type, unit) = METRICS[metric % METRICS.len()];
    let metric_name = match metric / METRICS.len() {
        0 => name.to_owned(),
        round => format!("{name}_{round}"),
    };
    let fixed = [("region", "eu-west-1".to_owned()), ("host", format!("h{service:04}"))];
    let fixed = fixed.into_iter().map(|(name, value)| (name.to_owned(), value));
    let more = (2..).map(|number| (format!("label_{number}"), format!("value-{}", service % (number + 3))));
    MetricSample {
        tenant_id: tenant.to_owned(),
        metric_name,
        metric_type,
        service_id: format!("service-{service:04}"),
        plugin_id: PLUGINS[service % PLUGINS.len()].to_owned(),
        team_id: format!("team-{:02}", service % 16),
        environment: "production".to_owned(),
        unit: unit.to_owned(),
        labels: fixed.chain(more).take(labels).collect(),
        ..MetricSample::default()
    }
}

/// Appends text that compresses to three quarters of its size.
pub(super) fn random_text(range: ByteRange, random: &mut StdRng, text: &mut String) {
    let mut bytes = random.random_range(range.min..=range.max);
    while bytes > 0 {
        let mut bits: u64 = random.random();
        for _ in 0..bytes.min(10) {
            text.push(char::from(LETTERS[(bits % 64) as usize]));
            bits /= 64;
        }
        bytes -= bytes.min(10);
    }
}

#[cfg(test)]
mod tests {
    use horolog_schemas::{Decoder, Kind, RawRecord, WriterSchemas};

    use super::*;

    const TIME_US: i64 = 1_760_000_000_000_000;

    #[test]
    fn records_are_of_about_120_bytes() {
        let (mut fleet, mut payload) = (Fleet::new("acme", 700, 1), Vec::new());
        let bytes: usize = (0..7_000)
            .map(|_| {
                fleet.record(TIME_US, &mut payload);
                payload.len()
            })
            .sum();
        assert!((115..=125).contains(&(bytes / 7_000)), "{}", bytes / 7_000);
    }

    #[test]
    fn the_stages_take_every_record() {
        let (mut fleet, mut payload) = (Fleet::new("acme", 50, 1), Vec::new());
        let payloads: Vec<Vec<u8>> = (0..500)
            .map(|_| {
                fleet.record(TIME_US, &mut payload);
                payload.clone()
            })
            .collect();
        let records: Vec<RawRecord<'_>> = (0..)
            .zip(&payloads)
            .map(|(offset, payload)| RawRecord {
                offset,
                timestamp_ms: TIME_US / 1000,
                key: None,
                payload: Some(payload),
            })
            .collect();
        let schemas = WriterSchemas::load(Kind::MetricSample, None).unwrap();
        let decoded = Decoder::new(schemas.into()).decode(&records).unwrap();
        assert_eq!((decoded.columns.num_rows(), decoded.rejected.len()), (500, 0));
    }

    #[test]
    fn a_seed_gives_the_same_records_again() {
        let bytes = |seed| {
            let (mut fleet, mut payload) = (Fleet::new("acme", 3, seed), Vec::new());
            (0..100)
                .flat_map(|time| {
                    let key = fleet.record(time, &mut payload).to_owned();
                    [key.into_bytes(), payload.clone()]
                })
                .collect::<Vec<_>>()
        };
        assert_eq!(bytes(7), bytes(7));
        assert_ne!(bytes(7), bytes(8));
    }
}
