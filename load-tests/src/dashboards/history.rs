//! A history of hours, generated in the engine.
//!
//! Enters: its size and a seed. Leaves: rows of `metrics_hourly` as the aggregate stage would have left them after
//! merging (an hour of a metric and a service is one row of 60 samples in about 42 buckets), and what the stack's own
//! upkeep derives from them. A row of the last hour can be added at any time, as a batch would.

use std::time::Duration;

use anyhow::Context;
use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use tokio::time::sleep;

use crate::store::Store;

/// The tenant of the history.
pub const TENANT: &str = "dashboards";
/// An insert creates a part for each month it touches; few days per insert also bound its memory.
const DAYS_AN_INSERT: i64 = 30;
const METRICS_AN_INSERT: u32 = 10;

/// Small blocks, because counting the buckets of a row copies its samples for each of them.
const INSERT: &str = "\
    insert into metrics_hourly \
    with \
        arrayMap(j -> toInt32(floor(64 * log2(20 + service) - 60 + 40 / 1000 * (cityHash64(?, metric, number, j, 1) % 1000 \
            + cityHash64(?, metric, number, j, 2) % 1000 + cityHash64(?, metric, number, j, 3) % 1000))), range(60)) as buckets, \
        arraySort(arrayDistinct(buckets)) as indexes, \
        toDateTime(?, 'UTC') + 3600 * intDiv(number, ?) as hour_begins \
    select ?, concat('metric-', leftPad(toString(metric), 4, '0')), hour_begins, \
        concat('service-', leftPad(toString(service), 3, '0')), '', 'prod', concat('team-', toString(service % 5)), 'gauge', 'ms', 0, 0, \
        'metrics', 60, 0, arraySum(b -> exp2(b / 64), buckets), exp2(indexes[1] / 64), exp2(indexes[-1] / 64), \
        (toDateTime64(hour_begins + 3599, 6, 'UTC'), 0, number, exp2(buckets[60] / 64)), \
        mapFromArrays(indexes, arrayMap(i -> countEqual(buckets, i), indexes)), map(), 0, now64(3) \
    from (select number, number % ? as service, arrayJoin(range(?, ?)) as metric from numbers(?)) \
    settings max_block_size = 512";

/// Marks the days as revised, which makes the stack's upkeep look at them: it has already rolled up what was complete
/// before the history existed.
const REVISE: &str = "\
    insert into hour_revisions (tenant_id, hour, kafka_topic, inserted_at) \
    select tenant_id, toStartOfDay(hour) as day, kafka_topic, now64(3) from metrics_hourly where tenant_id = ? group by tenant_id, day, kafka_topic";
/// Samples of complete days that are not rolled up yet.
const NOT_ROLLED_UP: &str = "\
    select sum(samples) from \
    (select toInt64(count) as samples from metrics_hourly where tenant_id = ? and hour < toStartOfDay(toDateTime(?, 'UTC')) \
    union all select -toInt64(count) from daily_rollups final where tenant_id = ?)";
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The size, seed and end of the history.
#[derive(Debug, Clone)]
pub struct History {
    metrics: u32,
    services: u32,
    days: u32,
    seed: u64,
    ends: DateTime<Utc>,
}

impl History {
    /// A history up to the current hour.
    pub fn new(metrics: u32, services: u32, days: u32, seed: u64) -> Self {
        let now = Utc::now();
        let hour = now.duration_trunc(TimeDelta::hours(1)).unwrap_or(now);
        Self {
            metrics,
            services,
            days,
            seed,
            ends: hour,
        }
    }

    /// The number of metrics.
    pub fn metrics(&self) -> u32 {
        self.metrics
    }

    /// The name of a metric.
    pub fn metric(&self, number: u32) -> String {
        format!("metric-{:04}", number % self.metrics)
    }

    /// Number of rows in `metrics_hourly`.
    pub fn rows(&self) -> u64 {
        u64::from(self.metrics) * u64::from(self.services) * u64::from(self.days) * 24
    }

    /// When it ends.
    pub fn ends(&self) -> DateTime<Utc> {
        self.ends
    }

    /// Writes the history.
    pub async fn write(&self, store: &Store) -> anyhow::Result<()> {
        let mut from = self.ends - TimeDelta::days(self.days.into());
        while from < self.ends {
            let to = (from + TimeDelta::days(DAYS_AN_INSERT)).min(self.ends);
            for first in (0..self.metrics).step_by(METRICS_AN_INSERT as usize) {
                let last = (first + METRICS_AN_INSERT).min(self.metrics);
                self.insert(store, from, to, first..last).await?;
            }
            from = to;
        }
        let revised = store.client().query(REVISE).bind(TENANT).execute().await;
        revised.context("cannot tell the upkeep of the history")
    }

    /// Waits until the upkeep has rolled up its days.
    pub async fn rolled_up(&self, store: &Store) -> anyhow::Result<()> {
        loop {
            let query = store.client().query(NOT_ROLLED_UP);
            let query = query.bind(TENANT).bind(self.ends.timestamp()).bind(TENANT);
            let samples: i64 = query.fetch_one().await.context("cannot look at what is rolled up")?;
            if samples == 0 {
                return Ok(());
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// Adds a sample to the newest hour of every metric, as a batch of the aggregate stage would.
    pub async fn add(&self, store: &Store) -> anyhow::Result<()> {
        let hour = self.ends - TimeDelta::hours(1);
        let added = self.insert(store, hour, self.ends, 0..self.metrics).await;
        added.context("cannot add a batch")
    }

    async fn insert(
        &self,
        store: &Store,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
        metrics: std::ops::Range<u32>,
    ) -> anyhow::Result<()> {
        let hours = (to - from).num_hours().unsigned_abs();
        let query = store.client().query(INSERT);
        let query = query.bind(self.seed).bind(self.seed).bind(self.seed);
        let query = query.bind(from.timestamp()).bind(self.services).bind(TENANT);
        let query = query.bind(self.services).bind(metrics.start).bind(metrics.end);
        query
            .bind(hours * u64::from(self.services))
            .execute()
            .await
            .context("cannot write the history")
    }

    /// Its size on disk.
    pub async fn bytes(&self, store: &Store) -> anyhow::Result<u64> {
        let bytes = "select sum(bytes_on_disk) from system.parts where active and database = currentDatabase() and table = 'metrics_hourly'";
        Ok(store.client().query(bytes).fetch_one().await?)
    }
}
