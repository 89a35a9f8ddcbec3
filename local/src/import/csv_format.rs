//! Which kind of CSV a file of metrics is, by its header and its first lines.
//!
//! Enters: the first bytes of a file. Leaves: the format, or what to do first. Pure.

use super::detect_error::DetectError;
use super::head::{Head, first_lines};
use super::header::{Header, HeaderError, is_time_name};
use super::mapping::{Format, Mapping};
use super::metrics_wide::MetricsWideError;
use super::output::excerpt;
use super::role::Role;

/// Decides how to read a CSV file that begins with `head`.
pub fn csv_format(head: &[u8], mapping: &Mapping) -> Result<Format, DetectError> {
    let Head { header, rest, .. } = Head::read(head, mapping)?;
    let time = match header.time(&mapping.time_column) {
        Ok(time) if header.cells.len() > time.len() => time,
        Err(error @ HeaderError::Named { .. }) => return Err(MetricsWideError::from(error).into()),
        other => return Err(no_table(&header, other.err())),
    };
    Ok(match header.value() {
        Some(_) if header.cells.len() == 2 => Format::MetricsCsv,
        Some(value) if mapping.columns.is_none() && is_long(&header, rest, &time, value, mapping) => {
            Format::MetricsLong
        }
        _ => Format::MetricsWide,
    })
}

/// Whether the columns beside time and value describe the value: one names the metric, or none of them holds a number.
/// A column that is empty in the first lines may be a label that few samples have.
fn is_long(header: &Header, rest: &[u8], time: &[usize], value: usize, mapping: &Mapping) -> bool {
    let contents = header.contents(first_lines(rest), mapping.numbers);
    let is_service = |name: &str| mapping.service_column.as_deref() == Some(name);
    let is_other = |cell: usize, name: &str| {
        let is_known = is_time_name(name) || is_service(name) || Role::of_line(name, contents[cell]).is_some();
        !time.contains(&cell) && cell != value && !is_known
    };
    header.has_metric()
        || (header.cells.iter().zip(&contents).enumerate())
            .filter(|(cell, (name, _))| is_other(*cell, name))
            .all(|(_, (_, content))| !content.is_number())
}

/// What is wrong with a header of no more columns than the time has, or without a time.
fn no_table(header: &Header, no_time: Option<HeaderError>) -> DetectError {
    let has = |name: &str| header.cells.iter().any(|cell| cell == name);
    match no_time {
        _ if has("_time") && has("_value") => DetectError::Influx,
        Some(no_time) if header.cells.len() > 1 => MetricsWideError::from(no_time).into(),
        _ => DetectError::Unknown {
            line: excerpt(&header.cells.join(",")),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::testing::detected;

    fn detect(head: &str, flags: &[&str]) -> Result<String, DetectError> {
        detected("web/cpu.csv", head, flags)
    }

    #[test]
    fn a_column_of_numbers_that_is_named_as_the_service_is_no_series() {
        assert_eq!(
            detect("time,sensor,value\n1,17,2\n", &["--service-column", "sensor"]).unwrap(),
            "metrics-long, metric `cpu`, service from a column"
        );
    }

    #[test]
    fn columns_are_judged_by_their_first_lines() {
        let text = "time,pod,zone,a\n1,p,eu,\n2,p,us,3\n";
        assert_eq!(
            detect(text, &[]).unwrap(),
            "metrics-wide, metric columns: 1, service from a column; labels: zone"
        );
    }

    #[test]
    fn columns_that_are_separated_by_others_than_commas_are_read_as_well() {
        let one = "metrics-csv, metric `cpu`, service `web`";
        for text in ["time;value\n1;2\n", "Time\tValue\n1\t2.5\n", "sep=;\ntime;value\n1;2\n"] {
            assert_eq!(detect(text, &[]).unwrap(), one, "{text}");
        }
        let air = "Date;Time;CO(GT);T;;\n10/03/2004;18.00.00;2,6;13,6;;\n";
        let said = detect(air, &[]).unwrap_err().to_string();
        assert!(
            said.starts_with("`2,6` in column `CO(GT)` may be a number with a decimal comma"),
            "{said}"
        );
        assert_eq!(
            detect(air, &["--decimal", "comma"]).unwrap(),
            "metrics-wide, service columns: 2, of metric `cpu`; unnamed columns ignored: 2"
        );
        let text = "time;a;b\n1;1,5;2\n";
        assert_eq!(
            detect(text, &["--decimal", "point"]).unwrap(),
            "metrics-wide, service columns: 1, of metric `cpu`; labels: a"
        );
        let error = detect("Datum;Temperatur, innen\n31.12.2024;1,5\n", &[]).unwrap_err();
        assert!(
            error.to_string().ends_with("the columns are Datum, Temperatur, innen"),
            "{error}"
        );
        let sentence = detect("Hello; this is a text\nof two lines\n", &[]).unwrap_err();
        assert!(matches!(sentence, DetectError::Unknown { .. }), "{sentence}");
    }

    #[test]
    fn an_answer_of_influxdb_is_told_how_to_ask_for_it() {
        let text = "#datatype,string,long,dateTime:RFC3339,double,string\n,result,table,_time,_value,_field\n,,0,2024-05-01T00:00:00Z,1,a\n";
        assert_eq!(detect(text, &[]), Err(DetectError::Influx));
        let asked = text
            .replace("_time", "time")
            .replace("_value", "value")
            .replace("_field", "metric");
        assert!(
            detect(&asked, &[])
                .unwrap()
                .starts_with("metrics-long, metric from a column")
        );
    }

    #[test]
    fn a_line_for_excel_before_the_header_is_passed_over() {
        assert_eq!(
            detect("sep=,\ntime,value\n1,2\n", &[]).unwrap(),
            "metrics-csv, metric `cpu`, service `web`"
        );
    }
}
