//! The percentile distribution in the format of HdrHistogram's `outputPercentileDistribution`, which its plotters read.
//! Pure.
//!
//! Values are milliseconds. Every halving of the distance to 100 % takes five lines.

use std::fmt::Write as _;

use hdrhistogram::Histogram;

use crate::latencies::DIGITS;

/// Lines per halving of the distance to 100 %, as in HdrHistogram's tools.
const TICKS_A_HALF_DISTANCE: u32 = 5;
const MICROS_A_MILLI: f64 = 1_000.0;

/// The text of a `.hgrm` file, from a histogram of microseconds.
pub fn hgrm(histogram: &Histogram<u64>) -> String {
    let mut text = format!(
        "{:>12} {:>14} {:>10} {:>14}\n\n",
        "Value", "Percentile", "TotalCount", "1/(1-Percentile)"
    );
    let mut total = 0;
    let precision = usize::from(DIGITS);
    for step in histogram.iter_quantiles(TICKS_A_HALF_DISTANCE) {
        total += step.count_since_last_iteration();
        let value = step.value_iterated_to() as f64 / MICROS_A_MILLI;
        let quantile = step.quantile_iterated_to();
        // Writing to a string cannot fail.
        let _ = if quantile < 1.0 {
            writeln!(
                text,
                "{value:>12.precision$} {quantile:>2.12} {total:>10} {:>14.2}",
                1.0 / (1.0 - quantile)
            )
        } else {
            writeln!(text, "{value:>12.precision$} {quantile:>2.12} {total:>10}")
        };
    }
    let milli = |micros: f64| micros / MICROS_A_MILLI;
    let sub_buckets = 2 * 10_u64.pow(DIGITS.into()).next_power_of_two();
    let _ = write!(
        text,
        "#[Mean    = {:>12.precision$}, StdDeviation   = {:>12.precision$}]\n\
         #[Max     = {:>12.precision$}, Total count    = {:>12}]\n\
         #[Buckets = {:>12}, SubBuckets     = {:>12}]\n",
        milli(histogram.mean()),
        milli(histogram.stdev()),
        milli(histogram.max() as f64),
        histogram.len(),
        histogram.buckets(),
        sub_buckets,
    );
    text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::latencies::Latencies;

    use super::*;

    fn rows(text: &str) -> Vec<Vec<f64>> {
        let lines = text.lines().skip(2).filter(|line| !line.starts_with('#'));
        lines
            .map(|line| line.split_whitespace().map(|number| number.parse().unwrap()).collect())
            .collect()
    }

    #[test]
    fn percentiles_can_be_read_back() {
        let mut latencies = Latencies::new().unwrap();
        for millis in 1..=10_000 {
            latencies.record(Duration::from_millis(millis));
        }
        let text = hgrm(latencies.histogram());
        let rows = rows(&text);
        assert_eq!(rows.last().unwrap()[1..], [1.0, 10_000.0]);
        for row in &rows {
            let (value, quantile, count) = (row[0], row[1], row[2]);
            let exact = latencies.quantile(quantile).as_secs_f64() * 1e3;
            assert!(
                (value - exact).abs() <= exact * 2e-3,
                "{value} at {quantile} is not {exact}"
            );
            assert!(
                (count - value).abs() <= value * 2e-3,
                "{count} records up to {value} ms"
            );
        }
        assert!(
            rows.windows(2)
                .all(|pair| pair[0][0] <= pair[1][0] && pair[0][1] <= pair[1][1])
        );
    }

    /// The format of HdrHistogram: header, columns, footer.
    #[test]
    fn the_layout_is_that_of_hdrhistogram() {
        let mut latencies = Latencies::new().unwrap();
        latencies.record(Duration::from_micros(1_500));
        assert_eq!(
            hgrm(latencies.histogram()),
            "       Value     Percentile TotalCount 1/(1-Percentile)\n\n\
             \x20      1.500 0.000000000000          1           1.00\n\
             \x20      1.500 1.000000000000          1\n\
             #[Mean    =        1.500, StdDeviation   =        0.000]\n\
             #[Max     =        1.500, Total count    =            1]\n\
             #[Buckets =           22, SubBuckets     =         2048]\n"
        );
    }

    #[test]
    fn nothing_is_a_distribution_too() {
        assert!(hgrm(Latencies::new().unwrap().histogram()).contains("Total count    =            0"));
    }
}
