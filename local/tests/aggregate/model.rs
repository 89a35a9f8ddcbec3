//! The increase of a counter, hour by hour: its definition, written down as simply as possible.

use std::collections::BTreeMap;

use horolog_schemas::MetricSample;

/// Time, partition, offset, value.
type Sample = (i64, i32, i64, f64);

const HOUR_US: i64 = 3_600_000_000;

/// Samples with their partition and offset.
#[derive(Default)]
pub(crate) struct Model(Vec<(MetricSample, i32, i64)>);

/// Metric, instance and start of the hour, seconds → samples, increase, resets.
pub(crate) type Hours = BTreeMap<(String, String, u32), (u64, f64, u64)>;

impl Model {
    /// Samples that were produced one after the other.
    pub(crate) fn add(&mut self, samples: &[MetricSample], partition: i32, first_offset: i64) {
        self.0.extend(
            (first_offset..)
                .zip(samples)
                .map(|(offset, sample)| (sample.clone(), partition, offset)),
        );
    }

    /// By series and hour.
    pub(crate) fn hours(&self) -> Hours {
        let mut series: BTreeMap<(String, String), Vec<Sample>> = BTreeMap::new();
        for (sample, partition, offset) in &self.0 {
            let key = (sample.metric_name.clone(), sample.labels["instance"].clone());
            let place = (sample.time, *partition, *offset, sample.value);
            series.entry(key).or_default().push(place);
        }
        let mut hours = Hours::new();
        for ((metric, instance), mut samples) in series {
            samples.sort_by_key(|sample| (sample.0, sample.1, sample.2));
            let mut before = samples[0].3;
            for (time, _, _, value) in samples {
                let hour = (time / HOUR_US * 3_600) as u32;
                let (count, increase, resets) = hours.entry((metric.clone(), instance.clone(), hour)).or_default();
                *count += 1;
                *increase += if value < before { value } else { value - before };
                *resets += u64::from(value < before);
                before = value;
            }
        }
        hours
    }
}
