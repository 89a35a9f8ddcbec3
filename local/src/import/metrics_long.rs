//! A CSV file with one sample per line: a time, a column `value`, and text columns that describe the value.
//!
//! Enters: the header, then every line after it. Leaves: one sample a line. Columns that are named like a field of a
//! metric sample (`metric`, `service`, `unit`, `environment`, …) fill that field; every other column is a label, and so
//! is a `type` column that does not hold metric types. Flags for metric, service and unit override the file; flags for
//! tenant, environment and type apply where the file names none. Without a column for it, the metric is named after the
//! file's stem, and the service after the folder. `NaN` and infinities are samples: the pipeline rejects and counts
//! them. An empty value, or `N/A`, `NULL`, …, is no observation; in a field it counts as missing.

use horolog_schemas::MetricSample;

use super::content::Content;
use super::fields::{Fields, is_absent};
use super::header::{Header, HeaderError, is_time_name};
use super::mapping::{Mapping, SourceName};
use super::numbers::Numbers;
use super::output::{Output, Skip, excerpt};
use super::role::{Role, claim};
use super::time_columns::TimeColumns;

/// Parses the lines of a file with one sample per line.
#[derive(Debug)]
pub struct MetricsLong {
    cells: usize,
    time: TimeColumns,
    value: usize,
    numbers: Numbers,
    roles: Vec<(usize, Role)>,
    /// Cells that are labels, and their names.
    labels: Vec<(usize, String)>,
    /// Labels without a value so far, of a file that would be a wide one if they held numbers.
    undecided: Vec<(usize, String)>,
    fields: Fields,
    /// What is the same for all samples.
    common: MetricSample,
    sample: MetricSample,
}

/// Why a header is not that of a file with one sample per line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MetricsLongError {
    /// No time column.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// No value.
    #[error("metrics-long needs a time column and a column `value`, but the columns are {}; try --format metrics-wide", found.join(", "))]
    Value {
        /// What there is.
        found: Vec<String>,
    },
}

impl MetricsLong {
    /// Reads the header, and learns from the first lines whether a column `type` holds metric types, and which columns
    /// have no value yet.
    pub fn new<'a>(
        header: &Header,
        first_lines: impl Iterator<Item = &'a str> + Clone,
        source: &SourceName,
        mapping: &Mapping,
    ) -> Result<Self, MetricsLongError> {
        let time = TimeColumns::of(header, first_lines.clone(), mapping)?;
        header.check()?;
        let found = || header.cells.clone();
        let value = (header.value().filter(|&value| !time.contains(value)))
            .ok_or_else(|| MetricsLongError::Value { found: found() })?;
        let service = header.service(mapping.service_column.as_deref())?;
        let other_type = header.other_type(first_lines.clone());
        let role = |cell: usize, name: &str| match Role::of(name) {
            _ if service == Some(cell) => Some(Role::Service),
            Some(Role::Service) => None,
            role => role.filter(|_| other_type != Some(cell)),
        };
        let mut roles: Vec<(usize, Role)> = Vec::new();
        let mut labels = Vec::new();
        for (cell, name) in header.cells.iter().enumerate() {
            if time.contains(cell) || cell == value || is_time_name(name) {
                continue;
            }
            match role(cell, name) {
                Some(role) if claim(&mut roles, cell, role) => {}
                _ if name.is_empty() => {}
                _ => labels.push((cell, name.clone())),
            }
        }
        roles.retain(|(_, role)| !role.is_said(mapping));
        let mut undecided = labels.clone();
        let is_told = mapping.format.is_some() || header.has_metric();
        let contents = header.contents(first_lines, mapping.numbers);
        undecided.retain(|(cell, _)| !is_told && contents[*cell] == Content::Empty);
        let common = mapping.sample(source);
        Ok(Self {
            cells: header.cells.len(),
            time,
            value,
            numbers: mapping.numbers,
            roles,
            labels,
            undecided,
            fields: header.fields(),
            sample: common.clone(),
            common,
        })
    }

    /// What the file was understood as.
    pub fn description(&self) -> String {
        let of = |wanted: Role| self.roles.iter().any(|(_, role)| *role == wanted);
        let metric = if of(Role::Metric) {
            "metric from a column".to_owned()
        } else {
            format!("metric `{}`", self.common.metric_name)
        };
        let service = if of(Role::Service) {
            "service from a column".to_owned()
        } else {
            format!("service `{}`", self.common.service_id)
        };
        let mut description = format!("{metric}, {service}");
        if !self.labels.is_empty() {
            let names: Vec<&str> = self.labels.iter().map(|(_, name)| name.as_str()).collect();
            description.push_str(&format!("; labels: {}", names.join(", ")));
        }
        description
    }

    /// Reads one line.
    pub fn line(&mut self, line: &str, output: &mut dyn Output) {
        match self.parse(line) {
            Ok(()) => {
                let late = self.late_number();
                output.metric(&self.sample);
                if let Some(column) = late {
                    output.skip(Skip::LateNumber { column });
                }
            }
            Err(skip) => output.skip(skip),
        }
    }

    fn parse(&mut self, line: &str) -> Result<(), Skip> {
        self.fields.split_row(line, self.cells)?;
        let value = self.fields.get(self.value);
        if is_absent(value) {
            return Err(Skip::EmptyCell);
        }
        if !self.roles.is_empty() || !self.labels.is_empty() {
            self.sample.clone_from(&self.common);
        }
        self.sample.time = self.time.read(&self.fields)?;
        self.sample.value = self.numbers.read(value).ok_or_else(|| Skip::Number {
            column: "value".to_owned(),
            text: excerpt(value),
        })?;
        for (cell, role) in &self.roles {
            let text = self.fields.get(*cell);
            if !is_absent(text) {
                role.fill(&mut self.sample, text)?;
            } else if *role == Role::Metric {
                return Err(Skip::missing("metric_name"));
            }
        }
        for (cell, name) in &self.labels {
            let text = self.fields.get(*cell);
            if !text.is_empty() {
                self.sample.labels.insert(name.clone(), text.to_owned());
            }
        }
        Ok(())
    }

    /// A column that was empty at first is a label if its first value is text. A number makes it a series of a wide
    /// file instead: it is removed from the sample's labels, and its name returned.
    fn late_number(&mut self) -> Option<String> {
        let content = |cell: usize| Content::of(self.fields.get(cell), self.numbers);
        self.undecided.retain(|(cell, _)| content(*cell) != Content::Text);
        let mut late = self.undecided.iter().filter(|(cell, _)| content(*cell).is_number());
        late.clone()
            .for_each(|(_, column)| drop(self.sample.labels.remove(column)));
        late.next().map(|(_, column)| column.clone())
    }
}

#[cfg(test)]
mod tests {
    use horolog_schemas::MetricType;
    use proptest::prelude::*;

    use super::*;
    use crate::import::delimiter::COMMA;
    use crate::import::output::Collected;
    use crate::import::testing::{mapping, source};

    fn read(text: &str, flags: &[&str]) -> Collected {
        let mut lines = text.lines();
        let header = Header::new(lines.next().unwrap(), COMMA);
        let first_lines = lines.clone().take(100);
        let mut parser = MetricsLong::new(&header, first_lines, &source("web/export.csv"), &mapping(flags)).unwrap();
        let mut output = Collected::default();
        lines.for_each(|line| parser.line(line, &mut output));
        output
    }

    const SAMPLES: &str = "\
time,metric_name,type,service,unit,host,value
2024-05-01 10:00:00,cpu,,api,percent,a,1.5
2024-05-01 10:00:00,requests,Counter,web,,b,7
";

    #[test]
    fn columns_fill_the_fields_that_they_are_named_after_and_others_are_labels() {
        let output = read(SAMPLES, &[]);
        let [cpu, requests] = &output.metrics[..] else {
            panic!("two samples: {output:?}")
        };
        assert_eq!(
            (cpu.metric_name.as_str(), cpu.service_id.as_str(), cpu.unit.as_str()),
            ("cpu", "api", "percent")
        );
        assert_eq!(
            (cpu.metric_type, cpu.value, cpu.labels["host"].as_str()),
            (MetricType::Gauge, 1.5, "a")
        );
        assert_eq!(
            (requests.metric_name.as_str(), requests.service_id.as_str()),
            ("requests", "web")
        );
        assert_eq!(
            (requests.metric_type, requests.unit.as_str()),
            (MetricType::Counter, ""),
            "nothing is left over of the line before"
        );
        assert_eq!(requests.labels["source_file"], "web/export.csv");
    }

    #[test]
    fn flags_go_before_columns_and_the_file_s_name_stands_for_a_missing_one() {
        let sample = read(SAMPLES, &["--metric", "m", "--service", "s"]).metrics.remove(0);
        assert_eq!((sample.metric_name.as_str(), sample.service_id.as_str()), ("m", "s"));
        let text = "time,environment,tenant,value\n1,prod,NULL,1\n2,N/A,1001,1\n";
        let output = read(text, &["--environment", "test", "--tenant", "all"]);
        let said: Vec<_> = (output.metrics.iter())
            .map(|s| [&s.environment, &s.tenant_id].map(String::as_str))
            .collect();
        assert_eq!(
            said,
            [["prod", "all"], ["test", "1001"]],
            "both are of lines that say none"
        );
        let sample = read("time,host,value\n1714557600,a,1\n", &[]).metrics.remove(0);
        assert_eq!(
            (sample.metric_name.as_str(), sample.service_id.as_str()),
            ("export", "web")
        );
    }

    #[test]
    fn what_is_no_sample_is_skipped_with_its_reason() {
        let output = read(
            "time,metric,metric_type,value\n1,,,1\n1,m,summary,1\n1,m,,\n1,m,,x\nnoon,m,,1\n,m,,1\n1,m,1\n",
            &[],
        );
        let reasons: Vec<&str> = output.skips.iter().map(Skip::reason).collect();
        assert_eq!(
            reasons,
            [
                "missing field",
                "unknown metric type",
                "empty cell",
                "invalid number",
                "invalid time",
                "missing field",
                "wrong number of columns"
            ]
        );
        assert!(output.metrics.is_empty());
    }

    #[test]
    fn a_text_with_a_line_break_is_told_and_not_cut() {
        let output = read("time,value,text\n1,2,\"first line\nsecond line\"\n3,4,\"whole\"\n", &[]);
        let [sample] = &output.metrics[..] else {
            panic!("one sample: {output:?}")
        };
        assert_eq!((sample.value, sample.labels["text"].as_str()), (4.0, "whole"));
        assert_eq!(output.skips, [Skip::OpenQuote, Skip::Columns { expected: 3, found: 1 }]);
    }

    #[test]
    fn a_flag_names_the_column_of_the_service() {
        let text = "time,service,app,value\n1,s,shop,2\n";
        let sample = read(text, &["--service-column", "app"]).metrics.remove(0);
        assert_eq!(
            (sample.service_id.as_str(), sample.labels["service"].as_str()),
            ("shop", "s")
        );
    }

    #[test]
    fn a_type_of_something_else_is_a_label() {
        let sample = read("time,type,value\n1,disk,2\n", &[]).metrics.remove(0);
        assert_eq!(
            (sample.metric_type, sample.labels["type"].as_str()),
            (MetricType::Gauge, "disk")
        );
    }

    #[test]
    fn a_number_in_a_column_that_began_without_a_value_is_no_label_unless_the_file_was_said_to_be_long() {
        let first = "1,1,N/A,\n".repeat(100);
        let text = format!("time,value,p99,zone\n{first}2,1,0.5,\n3,1,N/A,eu\n");
        let output = read(&text, &[]);
        assert_eq!(output.skips, [Skip::LateNumber { column: "p99".into() }]);
        assert_eq!(output.metrics.len(), 102, "the sample itself is sound");
        assert_eq!(output.metrics[100].labels.get("p99"), None);
        let output = read(&text, &["--format", "metrics-long"]);
        assert_eq!(output.metrics[100].labels["p99"], "0.5");
        let text = format!("time,value,p99,zone\n{first}2,1,p,\n3,1,7,\n");
        assert_eq!(read(&text, &[]).metrics[101].labels["p99"], "7");
    }

    #[test]
    fn a_header_without_a_value_says_so() {
        let header = Header::new("time,metric", COMMA);
        let error = MetricsLong::new(&header, [].into_iter(), &source("a/b.csv"), &mapping(&[])).unwrap_err();
        assert!(error.to_string().contains("a column `value`"), "{error}");
    }

    #[test]
    fn the_file_names_the_metric_and_the_folder_the_service() {
        let output = read("timestamp,value\n2014-02-14 14:30:00,0.132\n", &[]);
        let expected = MetricSample {
            tenant_id: "demo".into(),
            time: 1_392_388_200_000_000,
            metric_name: "export".into(),
            metric_type: MetricType::Gauge,
            service_id: "web".into(),
            value: 0.132,
            labels: [("source_file".to_owned(), "web/export.csv".to_owned())].into(),
            ..MetricSample::default()
        };
        assert_eq!(output.metrics, [expected]);
    }

    #[test]
    fn flags_go_before_the_names_of_files() {
        let flags =
            "--tenant t --service s --environment e --metric m --unit u --metric-type counter --time-column when";
        let flags: Vec<&str> = flags.split(' ').collect();
        let sample = read("value,when\n3,1392388200.5\n", &flags).metrics.remove(0);
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
        let output = read("time,value\n1,NaN\n2,\n3,-inf\n4,1e3\n5,N/A\n", &[]);
        assert!(output.metrics[0].value.is_nan());
        assert_eq!(
            output.metrics[1..].iter().map(|s| s.value).collect::<Vec<_>>(),
            [f64::NEG_INFINITY, 1000.0]
        );
        assert_eq!(output.skips, [Skip::EmptyCell, Skip::EmptyCell]);
    }

    #[test]
    fn a_bad_line_is_skipped_with_its_reason_and_the_next_is_read() {
        let output = read("time,value\n1,a\nnoon,1\n1\n1,2,3\n5,5\n", &[]);
        assert_eq!(output.metrics.len(), 1);
        assert_eq!(
            output.skips.iter().map(Skip::reason).collect::<Vec<_>>(),
            [
                "invalid number",
                "invalid time",
                "wrong number of columns",
                "wrong number of columns"
            ]
        );
    }

    proptest! {
        #[test]
        fn any_line_gives_one_sample_or_one_skip(line in "\\PC{0,40}") {
            let output = read(&format!("time,value\n{line}\n"), &[]);
            prop_assert_eq!(output.metrics.len() + output.skips.len(), 1);
        }
    }
}
