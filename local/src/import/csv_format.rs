//! Which kind of CSV a file of metrics is, by its header and its first lines.
//!
//! Enters: the first bytes of a file. Leaves: the format, or what to do first. Pure.

use super::detect_error::DetectError;
use super::head::{Head, first_lines};
use super::header::{Header, HeaderError, is_time_name};
use super::mapping::{Format, Mapping};
use super::metrics_wide::MetricsWideError;
use super::role::Role;

/// Decides how to read a CSV file that begins with `head`.
pub fn csv_format(head: &[u8], mapping: &Mapping) -> Result<Format, DetectError> {
    let Head { header, rest, .. } = Head::read(head, mapping)?;
    let time = match header.time(mapping.time_column.as_deref()) {
        Ok(time) if header.cells.len() > 1 => time,
        Err(error @ HeaderError::Named { .. }) => return Err(MetricsWideError::from(error).into()),
        Err(no_time) if header.cells.len() > 1 => return Err(MetricsWideError::from(no_time).into()),
        _ => return Err(separator(&header).map_or(DetectError::Unknown, DetectError::Separator)),
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

/// What separates the columns of a header with a time column, if not commas.
fn separator(header: &Header) -> Option<&'static str> {
    let [line] = &header.cells[..] else { return None };
    let cut_by = |by: char| line.contains(by) && line.split(by).any(|cell| is_time_name(cell.trim_matches([' ', '"'])));
    [(';', "semicolons"), ('\t', "tabs"), ('|', "vertical bars")]
        .into_iter()
        .find_map(|(by, name)| cut_by(by).then_some(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::detect::plan;
    use crate::import::testing::{mapping, source};

    fn detect(head: &str, flags: &[&str]) -> Result<String, DetectError> {
        plan(head.as_bytes(), &source("web/cpu.csv"), &mapping(flags)).map(|plan| plan.description())
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
}
