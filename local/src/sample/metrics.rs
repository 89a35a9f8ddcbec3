//! The metrics of the made-up company.
//!
//! Enters: a seed, then a time for each sample. Leaves: samples with realistic shapes: counters that grow with the load
//! and restart with their process, gauges that follow the day or wander, single observations of latency, log-normal.
//! The same seed and times give the same samples. No clock, no I/O.

use std::collections::BTreeMap;

use horolog_schemas::{MetricSample, MetricType};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::world::{ENVIRONMENTS, SERVICES, Service, load};

/// Probability that a process restarts between two samples of one of its counters.
const RESTART_PROBABILITY: f64 = 1.0 / 20_000.0;
/// Share of samples that are latency observations: these are made per request, everything else is sampled once a
/// minute.
const OBSERVATION_SHARE: f64 = 0.5;
/// Spread of latencies: the standard deviation of their logarithm.
const LATENCY_SIGMA: f64 = 0.6;
/// Share of requests that fail at the peak.
const ERROR_SHARE: f64 = 0.004;
/// Staging sees this share of production's requests.
const STAGING_SHARE: f64 = 0.1;
const MEMORY_MAX_BYTES: f64 = 2e9;
const MEMORY_MIN_BYTES: f64 = 1.5e8;
const MEMORY_STEP_BYTES: f64 = 4e6;

/// An endless stream of samples.
pub struct MetricStream {
    random: StdRng,
    observed: Vec<Series>,
    sampled: Vec<Series>,
    next_sampled: usize,
}

struct Series {
    sample: MetricSample,
    shape: Shape,
    last_us: Option<i64>,
}

/// How the values of a series move. Rates are at the peak.
enum Shape {
    Counter { per_s: f64 },
    Latency { median_s: f64 },
    Memory,
    Load,
    Queue { length: f64 },
}

impl MetricStream {
    /// A stream of its own for each seed.
    pub fn new(tenant: &str, seed: u64) -> Self {
        let mut stream = Self {
            random: StdRng::seed_from_u64(seed),
            observed: Vec::new(),
            sampled: Vec::new(),
            next_sampled: 0,
        };
        for service in &SERVICES {
            for plugin in service.plugins {
                for environment in ENVIRONMENTS {
                    stream.add(tenant, service, plugin, environment);
                }
            }
        }
        stream
    }

    fn add(&mut self, tenant: &str, service: &Service, plugin: &str, environment: &str) {
        let share = if environment == "production" {
            1.0
        } else {
            STAGING_SHARE
        };
        let requests = service.requests_per_s * share;
        let series = |name: &str, metric_type, unit: &str, shape| Series {
            sample: MetricSample {
                tenant_id: tenant.to_owned(),
                metric_name: name.to_owned(),
                metric_type,
                service_id: service.id.to_owned(),
                plugin_id: plugin.to_owned(),
                team_id: service.team.to_owned(),
                environment: environment.to_owned(),
                unit: unit.to_owned(),
                labels: BTreeMap::from([
                    ("region".to_owned(), "eu-west-1".to_owned()),
                    ("instance".to_owned(), format!("{}-0", service.id)),
                ]),
                ..MetricSample::default()
            },
            shape,
            last_us: None,
        };
        self.observed.push(series(
            "http_request_duration",
            MetricType::Histogram,
            "s",
            Shape::Latency {
                median_s: service.latency_s,
            },
        ));
        self.sampled.extend([
            series(
                "http_requests_total",
                MetricType::Counter,
                "1",
                Shape::Counter { per_s: requests },
            ),
            series(
                "http_errors_total",
                MetricType::Counter,
                "1",
                Shape::Counter {
                    per_s: requests * ERROR_SHARE,
                },
            ),
            series("memory_used", MetricType::Gauge, "By", Shape::Memory),
            series("cpu_utilization", MetricType::Gauge, "1", Shape::Load),
            series(
                "queue_length",
                MetricType::Gauge,
                "1",
                Shape::Queue { length: requests / 4.0 },
            ),
        ]);
    }

    /// The sample at this time, in a buffer that the next call reuses.
    pub fn sample(&mut self, time_us: i64) -> &MetricSample {
        let series = if self.random.random_bool(OBSERVATION_SHARE) {
            let index = self.random.random_range(0..self.observed.len());
            &mut self.observed[index]
        } else {
            self.next_sampled = (self.next_sampled + 1) % self.sampled.len();
            &mut self.sampled[self.next_sampled]
        };
        series.advance(time_us, &mut self.random);
        &series.sample
    }
}

impl Series {
    fn advance(&mut self, time_us: i64, random: &mut StdRng) {
        let seconds = self.last_us.map_or(0.0, |last| (time_us - last) as f64 / 1e6);
        let busy = load(time_us);
        self.sample.value = match self.shape {
            Shape::Counter { .. } if random.random_bool(RESTART_PROBABILITY) => 0.0,
            Shape::Counter { per_s } => {
                self.sample.value + (per_s * busy * seconds * random.random_range(0.8..1.2)).round()
            }
            // Requests take longer when there are many of them.
            Shape::Latency { median_s } => median_s * (1.0 + busy) * (LATENCY_SIGMA * normal(random)).exp(),
            Shape::Memory if self.last_us.is_none() => {
                random.random_range(MEMORY_MIN_BYTES..MEMORY_MAX_BYTES / 2.0).round()
            }
            Shape::Memory => {
                let step = MEMORY_STEP_BYTES * normal(random);
                (self.sample.value + step)
                    .clamp(MEMORY_MIN_BYTES, MEMORY_MAX_BYTES)
                    .round()
            }
            Shape::Load => (0.05 + 0.75 * busy + 0.04 * normal(random)).clamp(0.0, 1.0),
            Shape::Queue { length } => (length * busy * busy * (0.5 * normal(random)).exp()).round(),
        };
        self.sample.time = time_us;
        self.last_us = Some(time_us);
    }
}

/// A draw of the standard normal distribution (Box and Muller).
fn normal(random: &mut StdRng) -> f64 {
    // In (0, 1], since the logarithm of 0 is not finite.
    let (radius, angle) = (1.0 - random.random::<f64>(), random.random::<f64>());
    (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * angle).cos()
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: i64 = 1_715_781_600_000_000;

    fn samples(seed: u64, count: i64) -> Vec<MetricSample> {
        let mut stream = MetricStream::new("demo", seed);
        (0..count)
            .map(|index| stream.sample(START + index * 5_000).clone())
            .collect()
    }

    #[test]
    fn a_seed_gives_the_same_stream_again_and_another_seed_another() {
        assert_eq!(samples(7, 500), samples(7, 500));
        assert_ne!(samples(7, 500), samples(8, 500));
    }

    #[test]
    fn every_sample_keeps_the_pipelines_rules() {
        for sample in samples(1, 20_000) {
            assert!(sample.value.is_finite() && sample.value >= 0.0, "{sample:?}");
            assert!(!sample.metric_name.is_empty() && sample.tenant_id == "demo");
        }
    }

    #[test]
    fn counters_grow_and_start_again() {
        let counters: Vec<MetricSample> = samples(3, 600_000)
            .into_iter()
            .filter(|sample| sample.metric_name == "http_requests_total")
            .collect();
        let mut last: BTreeMap<(String, String, String), f64> = BTreeMap::new();
        let (mut grown, mut restarted) = (0, 0);
        for sample in counters {
            let before = last.insert((sample.service_id, sample.plugin_id, sample.environment), sample.value);
            match before {
                Some(before) if sample.value < before => {
                    assert_eq!(sample.value, 0.0);
                    restarted += 1;
                }
                _ => grown += 1,
            }
        }
        assert!(restarted > 0 && grown > 100 * restarted, "{grown} {restarted}");
    }

    #[test]
    fn latencies_are_log_normal() {
        let mut logs: Vec<f64> = samples(5, 50_000)
            .iter()
            .filter(|sample| sample.metric_type == MetricType::Histogram && sample.service_id == "checkout")
            .map(|sample| sample.value.ln())
            .collect();
        logs.sort_by(f64::total_cmp);
        let quantile = |share: f64| logs[(share * logs.len() as f64) as usize];
        let spread = (quantile(0.841) - quantile(0.159)) / 2.0;
        assert!((spread - LATENCY_SIGMA).abs() < 0.05, "{spread}");
    }
}
