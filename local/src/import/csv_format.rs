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
    let time = match header.time(mapping.time_column.as_deref()) {
        Ok(time) if header.cells.len() > 1 => time,
        Err(error @ HeaderError::Named { .. }) => return Err(MetricsWideError::from(error).into()),
        other => return Err(no_table(&header, rest, other.err())),
    };
    Ok(match header.value() {
        Some(_) if header.cells.len() == 2 => Format::MetricsCsv,
        Some(value) if mapping.columns.is_none() && is_long(&header, rest, time, value, mapping) => Format::MetricsLong,
        _ => Format::MetricsWide,
    })
}

/// Whether the columns beside time and value describe the value: one names the metric, or none of them holds a number.
/// A column that is empty in the first lines may be a label that few samples have.
fn is_long(header: &Header, rest: &[u8], time: usize, value: usize, mapping: &Mapping) -> bool {
    let contents = header.contents(first_lines(rest));
    let is_service = |name: &str| mapping.service_column.as_deref() == Some(name);
    let is_other = |cell: usize, name: &str| {
        let is_known = is_time_name(name) || is_service(name) || Role::of_line(name, contents[cell]).is_some();
        cell != time && cell != value && !is_known
    };
    header.has_metric()
        || (header.cells.iter().zip(&contents).enumerate())
            .filter(|(cell, (name, _))| is_other(*cell, name))
            .all(|(_, (_, content))| !content.is_number())
}

/// What is wrong with a header of one column or without a time.
fn no_table(header: &Header, rest: &[u8], no_time: Option<HeaderError>) -> DetectError {
    let has = |name: &str| header.cells.iter().any(|cell| cell == name);
    let line = header.cells.join(",");
    match (separator(&line, rest), no_time) {
        (Some(error), _) => error,
        (None, _) if has("_time") && has("_value") => DetectError::Influx,
        (None, Some(no_time)) if header.cells.len() > 1 => MetricsWideError::from(no_time).into(),
        _ => DetectError::Unknown { line: excerpt(&line) },
    }
}

/// What separates the columns, if not commas: it is beside a time column, or as often in the next line.
fn separator(line: &str, rest: &[u8]) -> Option<DetectError> {
    let next = first_lines(rest).find(|line| !line.trim().is_empty());
    let is_it = |by: char| {
        let is_time = |cell: &str| is_time_name(cell.trim_matches([' ', '"']));
        let times = |text: &str| text.matches(by).count();
        times(line) > 0 && (line.split(by).any(is_time) || next.is_some_and(|next| times(next) == times(line)))
    };
    [
        (';', "semicolons", ";"),
        ('\t', "tabs", "\\t"),
        ('|', "vertical bars", "|"),
    ]
    .into_iter()
    .find(|(by, ..)| is_it(*by))
    .map(|(_, name, character)| DetectError::Separator { name, character })
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
    fn columns_that_are_not_separated_by_commas_are_told_with_the_command_that_does_it() {
        for (text, said) in [
            (
                "time;value\n",
                "semicolons; write commas, and points in numbers: `tr ',;' '.,' < FILE > NEW.csv`",
            ),
            ("Datum;Temperatur, innen\n31.12.2024;1,5\n", "semicolons"),
            (
                "Datum\tWert\n\n31.12.2024\t1,5\n",
                "tabs; write commas, and points in numbers: `tr ',\\t' '.,' <",
            ),
            ("at|value|x\n1|2|3\n", "vertical bars"),
        ] {
            let error = detect(text, &[]).unwrap_err().to_string();
            assert!(error.contains(said), "{text}: {error}");
        }
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
        assert!(
            detect("sep=;\ntime;value\n1;2\n", &[])
                .unwrap_err()
                .to_string()
                .contains("semicolons")
        );
    }
}
