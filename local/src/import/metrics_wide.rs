//! A CSV file with many series: a time column, and a series in every other column of numbers.
//!
//! Enters: the header, some first lines, then every line after the header. Leaves: one sample a cell, its time cut to
//! milliseconds. The columns are metrics (of the service in the pod or service column, the unit from the header's
//! parentheses) or services (of the metric that the file is named after). A second time column is ignored; a column
//! that is named like a field (`tenant`, `environment`, …) fills that field in all samples of its line, and one with
//! text and no number in the first lines is a label of those samples. One without a value there is a series, unless its
//! first value is text. A cell that is empty, or says that there is no value (`N/A`, `NULL`, …), is no observation.

use horolog_schemas::MetricSample;

use super::content::Content;
use super::fields::{Fields, is_absent};
use super::header::{Header, HeaderError};
use super::mapping::{Columns, Mapping, SourceName};
use super::numbers::Numbers;
use super::output::Output;
use super::role::{Role, claim};
use super::time_columns::TimeColumns;
use super::wide_columns::WideColumns;
use super::wide_series::Series;

/// Parses the lines of a wide file.
#[derive(Debug)]
pub struct MetricsWide {
    header: Header,
    time: TimeColumns,
    numbers: Numbers,
    columns: Columns,
    series: Vec<Series>,
    /// Cells of series without a value so far.
    undecided: Vec<usize>,
    /// Cells that fill a field in all samples of their line.
    roles: Vec<(usize, Role)>,
    labels: Vec<Label>,
    fields: Fields,
    /// What all samples have in common, and the fields' values where cells have none.
    common: MetricSample,
}

#[derive(Debug)]
struct Label {
    cell: usize,
    /// Whether the column had no value at first, so that the first samples lack this label. Later cells like `None`
    /// must give no label either, or their samples would be of another series.
    is_late: bool,
}

/// Why a header is not that of a wide file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MetricsWideError {
    /// No time column.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// Only times and names.
    #[error(
        "there is no column of numbers; write them as 1234.5, not as 1,234.5, 50% or true, or say --decimal comma for 1234,5; if the lines are audit events, \
         --kind audit tells how to import them"
    )]
    NoSeries,
    /// The columns cannot be what the flags say.
    #[error("--metric names the metric of files whose columns are services: leave it out, or add --columns services")]
    MetricOfMetrics,
    /// The columns cannot be what the flags say.
    #[error("--service names the service of files whose columns are metrics: leave it out, or add --columns metrics")]
    ServiceOfServices,
}

impl MetricsWide {
    /// Reads the header, and learns from the first lines which columns hold numbers.
    pub fn new<'a>(
        header: &Header,
        first_lines: impl Iterator<Item = &'a str> + Clone,
        source: &SourceName,
        mapping: &Mapping,
    ) -> Result<Self, MetricsWideError> {
        let time = TimeColumns::of(header, first_lines.clone(), mapping)?;
        header.check()?;
        let service = (header.service(mapping.service_column.as_deref())?).filter(|&cell| !time.contains(cell));
        let columns = columns(service.is_some(), mapping)?;
        let found = WideColumns::of(header, first_lines, &time, service, mapping);
        if found.series.is_empty() {
            return Err(MetricsWideError::NoSeries);
        }
        let common = mapping.sample(source);
        let series = (found.series.into_iter())
            .map(|cell| Series::new(cell, &header.cells[cell], columns, &common, mapping))
            .collect();
        // Flags override the file.
        let is_heard = |role: Role| !role.is_said(mapping) && (role, columns) != (Role::Service, Columns::Services);
        let mut roles = found.fields;
        roles.retain(|(_, role)| is_heard(*role));
        let labels = (found.labels.into_iter())
            .map(|cell| Label { cell, is_late: false })
            .collect();
        Ok(Self {
            header: header.clone(),
            time,
            numbers: mapping.numbers,
            columns,
            series,
            undecided: found.undecided,
            roles,
            labels,
            fields: header.fields(),
            common,
        })
    }

    /// What the file was understood as.
    pub fn description(&self) -> String {
        let count = self.series.len();
        let has_service = self.roles.iter().any(|(_, role)| *role == Role::Service);
        let mut description = match self.columns {
            Columns::Metrics if has_service => format!("metric columns: {count}, service from a column"),
            Columns::Metrics => format!("metric columns: {count}, of service `{}`", self.common.service_id),
            Columns::Services => format!("service columns: {count}, of metric `{}`", self.common.metric_name),
        };
        let name = |cell: usize| self.header.cells[cell].as_str();
        let fields: Vec<&str> = (self.roles.iter())
            .filter(|(_, role)| *role != Role::Service)
            .map(|(cell, _)| name(*cell))
            .collect();
        if !fields.is_empty() {
            description.push_str(&format!("; fields: {}", fields.join(", ")));
        }
        if !self.labels.is_empty() {
            let names: Vec<&str> = self.labels.iter().map(|label| name(label.cell)).collect();
            description.push_str(&format!("; labels: {}", names.join(", ")));
        }
        let nameless = self.header.cells.iter().filter(|name| name.is_empty()).count();
        if nameless > 0 {
            description.push_str(&format!("; unnamed columns ignored: {nameless}"));
        }
        description
    }

    /// Reads one line.
    pub fn line(&mut self, line: &str, output: &mut dyn Output) {
        if let Err(skip) = self.fields.split_row(line, self.header.cells.len()) {
            return output.skip(skip);
        }
        let time = match self.time.read(&self.fields) {
            Ok(time) => time,
            Err(skip) => return output.skip(skip),
        };
        let time = time - time.rem_euclid(1_000);
        self.decide();
        for series in &mut self.series {
            for &(cell, role) in &self.roles {
                fill(role, &mut series.sample, self.fields.get(cell), &mut self.common);
            }
            for label in &self.labels {
                let text = self.fields.get(label.cell);
                let text = if label.is_late && is_absent(text) { "" } else { text };
                series.label(&self.header.cells[label.cell], text);
            }
            let name = &self.header.cells[series.cell];
            match series.read(name, self.fields.get(series.cell), self.numbers, time) {
                Ok(()) => output.metric(&series.sample),
                Err(skip) => output.skip(skip),
            }
        }
    }

    /// Decides by its first value what a column is that was empty at first: text makes it a field or a label, not a
    /// series.
    fn decide(&mut self) {
        self.undecided.retain(|&cell| {
            let content = Content::of(self.fields.get(cell), self.numbers);
            if content == Content::Text {
                self.series.retain(|series| series.cell != cell);
                let role = Role::of_line(&self.header.cells[cell], content);
                if role.is_none_or(|role| !claim(&mut self.roles, cell, role)) {
                    self.labels.push(Label { cell, is_late: true });
                }
            }
            content == Content::Empty
        });
    }
}

/// Fills a field, replacing the previous line's value; a cell without a value gives what is common to all samples.
fn fill(role: Role, sample: &mut MetricSample, text: &str, common: &mut MetricSample) {
    if let (Some(field), Some(common)) = (role.field(sample), role.field(common)) {
        let said = if is_absent(text) { common.as_str() } else { text };
        said.clone_into(field);
    }
}

/// What the columns are: as the flags say, else as the header suggests.
fn columns(has_service_column: bool, mapping: &Mapping) -> Result<Columns, MetricsWideError> {
    let shown = if has_service_column || mapping.service.is_some() {
        Columns::Metrics
    } else {
        Columns::Services
    };
    match mapping.columns.unwrap_or(shown) {
        Columns::Metrics if mapping.metric.is_some() => Err(MetricsWideError::MetricOfMetrics),
        Columns::Services if mapping.service.is_some() => Err(MetricsWideError::ServiceOfServices),
        columns => Ok(columns),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::import::delimiter::COMMA;
    use crate::import::output::{Collected, Skip};
    use crate::import::testing::{mapping, source};

    fn read(text: &str, mapping: &Mapping) -> Collected {
        let mut lines = text.lines();
        let header = Header::new(lines.next().unwrap(), COMMA);
        let first_lines = lines.clone().take(100);
        let mut parser = MetricsWide::new(&header, first_lines, &source("shop/p90.csv"), mapping).unwrap();
        let mut output = Collected::default();
        lines.for_each(|line| parser.line(line, &mut output));
        output
    }

    const PODS: &str = "\
Time,TimeStamp,PodName,CpuUsage(m),Syscalls,Zone
2022-08-22 03:51:19.607158889 +0000 UTC m=+0.113,1861140279,cart-1,1.5,NaN,eu
2022-08-22 03:52:19.5893 +0000 UTC m=+60.1,1861140339,cart-2,,7,eu
";

    #[test]
    fn columns_are_metrics_where_a_column_names_the_pod() {
        let output = read(PODS, &mapping(&[]));
        let found: Vec<_> = (output.metrics.iter())
            .map(|s| {
                (
                    s.time,
                    s.service_id.as_str(),
                    s.metric_name.as_str(),
                    s.unit.as_str(),
                    s.value,
                )
            })
            .collect();
        assert_eq!(found[0], (1_661_140_279_607_000, "cart-1", "CpuUsage(m)", "m", 1.5));
        assert!(found[1].4.is_nan());
        assert_eq!(found[2], (1_661_140_339_589_000, "cart-2", "Syscalls", "", 7.0));
        assert_eq!(found.len(), 3);
        assert_eq!(output.metrics[0].labels["source_file"], "shop/p90.csv");
    }

    #[test]
    fn counts_empty_cells_and_takes_text_for_labels() {
        let output = read(PODS, &mapping(&[]));
        assert_eq!(output.skips, [Skip::EmptyCell]);
        assert!(output.metrics.iter().all(|sample| sample.labels["Zone"] == "eu"));
        let output = read("time,host,load,,disk\n1,a,1,x,2\n2,,3,y,4\n", &mapping(&[]));
        let hosts: Vec<_> = output.metrics.iter().map(|sample| sample.labels.get("host")).collect();
        assert_eq!(hosts, [Some(&"a".to_owned()), Some(&"a".to_owned()), None, None]);
        assert_eq!(output.skips, [], "a column without a name is no series and no label");
    }

    #[test]
    fn a_cell_that_says_that_there_is_no_value_is_as_an_empty_one() {
        let output = read("time,pod,cpu,io\n1,p,1,N/A\n2,p,NULL,3\n", &mapping(&[]));
        let values: Vec<f64> = output.metrics.iter().map(|s| s.value).collect();
        assert_eq!(values, [1.0, 3.0]);
        assert_eq!(output.skips, [Skip::EmptyCell, Skip::EmptyCell]);
    }

    #[test]
    fn columns_are_services_where_no_column_names_one() {
        let output = read(
            "time,timestamp,a_b,c_d\n2022-08-22 03:51:19,1,0.5,0.25\n",
            &mapping(&["--unit", "s"]),
        );
        let found: Vec<_> = (output.metrics.iter())
            .map(|s| (s.service_id.as_str(), s.metric_name.as_str(), s.unit.as_str(), s.value))
            .collect();
        assert_eq!(found, [("a_b", "p90", "s", 0.5), ("c_d", "p90", "s", 0.25)]);
    }

    #[test]
    fn flags_decide_what_the_columns_are() {
        let text = "time,cpu,mem\n2022-08-22 03:51:19,1,2\n";
        for flags in [&["--columns", "metrics"][..], &["--service", "shop"]] {
            let output = read(text, &mapping(flags));
            assert_eq!(
                (
                    output.metrics[1].service_id.as_str(),
                    output.metrics[1].metric_name.as_str()
                ),
                ("shop", "mem")
            );
        }
        let output = read(PODS, &mapping(&["--service", "all"]));
        assert!(output.metrics.iter().all(|sample| sample.service_id == "all"));
        let output = read(text, &mapping(&["--metric", "load"]));
        assert_eq!(
            (
                output.metrics[1].service_id.as_str(),
                output.metrics[1].metric_name.as_str()
            ),
            ("mem", "load")
        );
    }

    #[test]
    fn a_flag_names_the_column_of_the_service_also_one_of_numbers() {
        let output = read(
            "time,pod,sensor,load\n1,p,17,2\n",
            &mapping(&["--service-column", "sensor"]),
        );
        let found: Vec<_> = (output.metrics.iter())
            .map(|s| (s.service_id.as_str(), s.metric_name.as_str(), s.labels["pod"].as_str()))
            .collect();
        assert_eq!(found, [("17", "load", "p")]);
    }

    #[test]
    fn columns_that_are_named_like_a_field_fill_it_and_an_empty_cell_is_as_without_the_column() {
        let text = "time,tenant,service,environment,user,load,team\n1,1001,a,prod,ann,2,x\n2,,b,,,4,\n";
        let output = read(text, &mapping(&["--tenant", "all"]));
        let found: Vec<_> = (output.metrics.iter())
            .map(|s| [&s.tenant_id, &s.service_id, &s.environment, &s.user_id, &s.team_id].map(String::as_str))
            .collect();
        assert_eq!(found, [["1001", "a", "prod", "ann", "x"], ["all", "b", "", "", ""]]);
        assert!(output.metrics.iter().all(|s| s.labels.len() == 1), "{output:?}");
        let output = read(text, &mapping(&["--environment", "test"]));
        let found: Vec<_> = output.metrics.iter().map(|s| s.environment.as_str()).collect();
        assert_eq!(found, ["prod", "test"]);
    }

    #[test]
    fn a_column_that_says_none_at_first_and_text_later_is_a_label_or_a_field() {
        let first = "1,a,None,,2\n".repeat(100);
        let text = format!("time,service,error,user,rps\n{first}2,a,Timeout,ann,3\n3,a,None,NULL,4\n");
        let output = read(&text, &mapping(&[]));
        let last: Vec<_> = (output.metrics[100..].iter())
            .map(|s| (s.labels.get("error").map(String::as_str), s.user_id.as_str(), s.value))
            .collect();
        assert_eq!(last, [(Some("Timeout"), "ann", 3.0), (None, "", 4.0)]);
        assert!(!output.skips.iter().any(Skip::is_malformed));
    }

    #[test]
    fn flags_that_contradict_the_columns_are_refused() {
        let new = |header: &str, flags: &[&str]| {
            MetricsWide::new(
                &Header::new(header, COMMA),
                ["1,a,2"].into_iter(),
                &source("a/b.csv"),
                &mapping(flags),
            )
            .unwrap_err()
        };
        assert_eq!(
            new("time,pod,cpu", &["--metric", "x"]),
            MetricsWideError::MetricOfMetrics
        );
        assert_eq!(
            new("time,pod,cpu", &["--service", "x", "--columns", "services"]),
            MetricsWideError::ServiceOfServices
        );
        assert_eq!(new("time,pod,timestamp", &[]), MetricsWideError::NoSeries);
    }

    #[test]
    fn a_bad_cell_costs_no_other_cell_and_a_bad_line_no_other_line() {
        let output = read("time,pod,a,b\n1,p,x,2\n1,p,3\nnoon,p,3,4\n2,p,5,6\n", &mapping(&[]));
        assert_eq!(
            output.metrics.iter().map(|s| s.value).collect::<Vec<_>>(),
            [2.0, 5.0, 6.0]
        );
        let number = Skip::Number {
            column: "a".into(),
            text: "x".into(),
        };
        assert_eq!(
            output.skips,
            [
                number,
                Skip::Columns { expected: 4, found: 3 },
                Skip::Time {
                    field: "time".into(),
                    text: "noon".into(),
                    format: None
                }
            ]
        );
    }

    proptest! {
        #[test]
        fn any_line_gives_as_many_samples_and_skips_as_it_has_cells_or_one_skip(line in "[0-9a,.\"\\-é ]{0,40}") {
            let output = read(&format!("time,pod,a,b,c\n1,p,1,2,3\n{}\n", line), &mapping(&[]));
            let found = output.metrics.len() + output.skips.len() - 3;
            prop_assert!(found == 3 || found == 1, "{}", found);
        }
    }
}
