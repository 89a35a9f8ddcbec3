//! A CSV file with one metric: a time and a value a line.
//!
//! Enters: lines after the header. Leaves: one sample a line; its metric_name is the file's stem and its service_id the folder's
//! name unless flags say otherwise. `NaN` and infinities are samples: the pipeline is what rejects and counts
//! them. An empty value is no observation.

use horolog_schemas::MetricSample;

use super::fields::Fields;
use super::header::{Header, HeaderError};
use super::mapping::{Mapping, SourceName};
use super::output::{Output, Skip, excerpt};
use super::timestamp::parse_micros;

/// Parses the lines of a file with one metric.
#[derive(Debug)]
pub struct MetricsCsv {
    columns: usize,
    time: usize,
    value: usize,
    fields: Fields,
    sample: MetricSample,
}

/// Why a header is not that of a file with one metric.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MetricsCsvError {
    /// No time column.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// Not a time and a value.
    #[error("metrics-csv takes a time column and a column `value`, the columns are {}; try --format metrics-wide", found.join(", "))]
    Columns {
        /// What there is.
        found: Vec<String>,
    },
}

impl MetricsCsv {
    /// Reads the header.
    pub fn new(header: &Header, source: &SourceName, mapping: &Mapping) -> Result<Self, MetricsCsvError> {
        let time = header.time(mapping.time_column.as_deref())?;
        let columns = header.cells.len();
        match header.value() {
            Some(value) if columns == 2 && value != time => Ok(Self {
                columns,
                time,
                value,
                fields: Fields::default(),
                sample: mapping.sample(source),
            }),
            _ => Err(MetricsCsvError::Columns {
                found: header.cells.clone(),
            }),
        }
    }

    /// What the file was understood as.
    pub fn description(&self) -> String {
        format!(
            "metric `{}` of service `{}`",
            self.sample.metric_name, self.sample.service_id
        )
    }

    /// Reads one line.
    pub fn line(&mut self, line: &str, output: &mut dyn Output) {
        match self.parse(line) {
            Ok(()) => output.metric(&self.sample),
            Err(skip) => output.skip(skip),
        }
    }

    fn parse(&mut self, line: &str) -> Result<(), Skip> {
        self.fields.split(line);
        if self.fields.len() != self.columns {
            return Err(Skip::Columns {
                expected: self.columns,
                found: self.fields.len(),
            });
        }
        let (time, value) = (self.fields.get(self.time), self.fields.get(self.value));
        self.sample.time = parse_micros(time).ok_or_else(|| Skip::Time { text: excerpt(time) })?;
        if value.is_empty() {
            return Err(Skip::EmptyCell);
        }
        let not_a_number = |_| Skip::Number {
            column: "value".to_owned(),
            text: excerpt(value),
        };
        self.sample.value = value.parse().map_err(not_a_number)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use horolog_schemas::MetricType;
    use proptest::prelude::*;

    use super::*;
    use crate::import::output::Collected;
    use crate::import::testing::{mapping, source};

    fn read(text: &str, mapping: &Mapping) -> Collected {
        let mut lines = text.lines();
        let mut parser =
            MetricsCsv::new(&Header::new(lines.next().unwrap()), &source("shop/cpu_1.csv"), mapping).unwrap();
        let mut output = Collected::default();
        lines.for_each(|line| parser.line(line, &mut output));
        output
    }

    #[test]
    fn the_file_names_the_metric_and_the_folder_the_service() {
        let output = read("timestamp,value\n2014-02-14 14:30:00,0.132\n", &mapping(&[]));
        let expected = MetricSample {
            tenant_id: "demo".into(),
            time: 1_392_388_200_000_000,
            metric_name: "cpu_1".into(),
            metric_type: MetricType::Gauge,
            service_id: "shop".into(),
            value: 0.132,
            labels: [("source_file".to_owned(), "shop/cpu_1.csv".to_owned())].into(),
            ..MetricSample::default()
        };
        assert_eq!(output.metrics, [expected]);
    }

    #[test]
    fn flags_go_before_names() {
        let flags = [
            "--tenant",
            "t",
            "--service",
            "s",
            "--environment",
            "e",
            "--metric",
            "m",
            "--unit",
            "u",
            "--metric-type",
            "counter",
            "--time-column",
            "when",
        ];
        let sample = read("value,when\n3,1392388200.5\n", &mapping(&flags)).metrics.remove(0);
        assert_eq!(
            (
                sample.tenant_id.as_str(),
                sample.service_id.as_str(),
                sample.environment.as_str()
            ),
            ("t", "s", "e")
        );
        assert_eq!((sample.metric_name.as_str(), sample.unit.as_str()), ("m", "u"));
        assert_eq!(
            (sample.metric_type, sample.time, sample.value),
            (MetricType::Counter, 1_392_388_200_500_000, 3.0)
        );
    }

    #[test]
    fn not_a_number_is_a_sample_and_empty_is_not() {
        let output = read("time,value\n1,NaN\n2,\n3,-inf\n4,1e3\n", &mapping(&[]));
        assert!(output.metrics[0].value.is_nan());
        assert_eq!(
            output.metrics[1..].iter().map(|s| s.value).collect::<Vec<_>>(),
            [f64::NEG_INFINITY, 1000.0]
        );
        assert_eq!(output.skips, [Skip::EmptyCell]);
    }

    #[test]
    fn a_bad_line_is_skipped_with_its_reason_and_the_next_is_read() {
        let output = read("time,value\n1,a\nnoon,1\n1\n1,2,3\n5,5\n", &mapping(&[]));
        assert_eq!(output.metrics.len(), 1);
        assert_eq!(
            output.skips.iter().map(Skip::reason).collect::<Vec<_>>(),
            [
                "no number",
                "no time",
                "wrong number of columns",
                "wrong number of columns"
            ]
        );
    }

    #[test]
    fn other_columns_are_refused_with_a_way_out() {
        let header = Header::new("time,value,host");
        let error = MetricsCsv::new(&header, &source("a/b.csv"), &mapping(&[])).unwrap_err();
        assert!(error.to_string().contains("--format metrics-wide"));
    }

    proptest! {
        #[test]
        fn any_line_gives_one_sample_or_one_skip(line in "\\PC{0,40}") {
            let output = read(&format!("time,value\n{line}\n"), &mapping(&[]));
            prop_assert_eq!(output.metrics.len() + output.skips.len(), 1);
        }
    }
}
