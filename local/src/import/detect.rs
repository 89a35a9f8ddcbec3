//! Detects what a file is from its first bytes.
//!
//! Enters: the first bytes of a file, unpacked. Leaves: how to read it, with a parser that knows its header, or why it
//! cannot be read. Looks at nothing but these bytes, the name and the flags, so the same file is always read the same
//! way.

use super::detect_error::DetectError;
use super::foreign::Foreign;
use super::head::{Head, first_lines};
use super::header::{Header, HeaderError, is_time_name};
use super::lines::LINE_BYTES_MAX;
use super::mapping::{Format, Mapping, NdjsonKind, SourceName};
use super::metrics_long::MetricsLong;
use super::metrics_wide::{MetricsWide, MetricsWideError};
use super::parser::{Parser, starts_with_field};
use super::role::Role;

/// How many bytes of a file are looked at: as many as its first line may have.
pub const HEAD_BYTES: usize = LINE_BYTES_MAX;

/// How a file is read.
#[derive(Debug)]
pub struct Plan {
    /// The format that was found or demanded.
    pub format: Format,
    /// Line by line, or as JSON documents.
    pub shape: Shape,
}

/// The two ways to read.
#[derive(Debug)]
pub enum Shape {
    /// Each line is a record or a row of several; the first lines may be neither.
    Lines {
        /// Lines before the first record.
        header_lines: u64,
        /// What reads the others.
        parser: Parser,
    },
    /// CloudTrail as delivered: see [`super::json_documents`].
    CloudtrailDocuments,
}

/// Decides how to read a file that begins with `head`.
pub fn plan(head: &[u8], source: &SourceName, mapping: &Mapping) -> Result<Plan, DetectError> {
    if let Some(foreign) = Foreign::find(head) {
        return Err(foreign.into());
    }
    let first = head
        .iter()
        .position(|byte| !byte.is_ascii_whitespace())
        .ok_or(DetectError::Empty)?;
    if starts_with_field(&head[first..], "Events") {
        return Err(DetectError::LookupEvents);
    }
    if is_nested_event(&head[first..]) {
        return Err(DetectError::NestedWindowsEvents);
    }
    let format = match mapping.format {
        Some(format) => format,
        None if head[first] == b'{' => json_format(&head[first..]),
        None if head[first] == b'[' => Format::Ndjson,
        None if mapping.kind == Some(NdjsonKind::Audit) => return Err(DetectError::AuditCsv),
        None => csv_format(head, mapping)?,
    };
    let shape = match format {
        Format::Cloudtrail if is_document(&head[first..]) => Shape::CloudtrailDocuments,
        Format::Cloudtrail => Shape::lines(0, Parser::Cloudtrail),
        Format::WindowsEvents | Format::Ndjson if head[first] == b'[' || is_document(&head[first..]) => {
            return Err(DetectError::JsonOverLines);
        }
        Format::WindowsEvents => Shape::lines(0, Parser::WindowsEvents),
        Format::Ndjson => Shape::lines(0, Parser::Ndjson),
        Format::MetricsCsv | Format::MetricsLong => {
            let head = Head::read(head, mapping)?;
            let header = head.header;
            if format == Format::MetricsCsv && !(header.cells.len() == 2 && header.value().is_some()) {
                return Err(DetectError::SeveralMetrics { found: header.cells });
            }
            let parser = MetricsLong::new(&header, first_lines(head.rest), source, mapping)?;
            Shape::lines(head.lines, Parser::MetricsLong(Box::new(parser)))
        }
        Format::MetricsWide => {
            let head = Head::read(head, mapping)?;
            let parser = MetricsWide::new(&head.header, first_lines(head.rest), source, mapping)?;
            Shape::lines(head.lines, Parser::MetricsWide(Box::new(parser)))
        }
    };
    Ok(Plan { format, shape })
}

impl Shape {
    fn lines(header_lines: u64, parser: Parser) -> Self {
        Self::Lines { header_lines, parser }
    }
}

impl Plan {
    /// What the file was understood as.
    pub fn description(&self) -> String {
        let detail = match &self.shape {
            Shape::CloudtrailDocuments => "as delivered".to_owned(),
            Shape::Lines { parser, .. } => parser.description(),
        };
        format!("{}, {detail}", self.format)
    }
}

fn csv_format(head: &[u8], mapping: &Mapping) -> Result<Format, DetectError> {
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

/// CloudTrail is recognised by its wrapper or two of its fields, the Windows event log by two of its own; everything
/// else is taken for Horolog's records.
fn json_format(json: &[u8]) -> Format {
    let first_object = if is_document(json) {
        json
    } else {
        json.split(|&byte| byte == b'\n').next().unwrap_or(json)
    };
    let has = |name: &[u8]| first_object.windows(name.len()).any(|window| window == name);
    if starts_with_field(json, "Records") || (has(b"\"eventSource\"") && has(b"\"eventName\"")) {
        Format::Cloudtrail
    } else if has(b"\"EventID\"") && has(b"\"Channel\"") {
        Format::WindowsEvents
    } else {
        Format::Ndjson
    }
}

/// Whether an object that begins with `Event` is a Windows event as `evtx_dump` writes it.
fn is_nested_event(json: &[u8]) -> bool {
    let has = |name: &[u8]| json.windows(name.len()).any(|window| window == name);
    starts_with_field(json, "Event") && has(b"\"System\"") && has(b"\"EventID\"")
}

/// Whether the JSON is a document over many lines or a delivered file, rather than one object per line.
fn is_document(json: &[u8]) -> bool {
    let first_line = json.split(|&byte| byte == b'\n').next().unwrap_or(json);
    starts_with_field(json, "Records") || first_line.trim_ascii() == b"{"
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::import::output::Collected;
    use crate::import::testing::{mapping, source};

    fn detect(head: &str, flags: &[&str]) -> Result<String, DetectError> {
        plan(head.as_bytes(), &source("web/cpu.csv"), &mapping(flags)).map(|plan| plan.description())
    }

    #[test]
    fn tells_the_formats_apart_by_their_beginning() {
        let delivered = Ok("cloudtrail, as delivered".to_owned());
        for (head, description) in [
            ("timestamp,value\n1,2\n", "metrics-csv, metric `cpu`, service `web`"),
            ("Time,VALUE\r\n", "metrics-csv, metric `cpu`, service `web`"),
            (
                "time,pod,a,b\n1,p,2,3",
                "metrics-wide, metric columns: 2, service from a column",
            ),
            ("time,a\n1,2", "metrics-wide, service columns: 1, of metric `cpu`"),
            (
                "time,tenant,service,environment,a,b\n1,1001,s,prod,2,3",
                "metrics-wide, metric columns: 2, service from a column; fields: tenant, environment",
            ),
            (
                "time,tenant,value\n1,1001,2",
                "metrics-long, metric `cpu`, service `web`",
            ),
            (
                "time,metric_name,host,value\n1,cpu,a,2",
                "metrics-long, metric from a column, service `web`; labels: host",
            ),
            (
                "time,service,value\n1,api,2",
                "metrics-long, metric `cpu`, service from a column",
            ),
            (
                "time,__name__,job,value\n1,up,a,2",
                "metrics-long, metric from a column, service `web`; labels: job",
            ),
            (
                "time,service,region,value\n1,api,,2",
                "metrics-long, metric `cpu`, service from a column; labels: region",
            ),
            (
                "time,value,other\n1,2,3",
                "metrics-wide, service columns: 2, of metric `cpu`",
            ),
            (
                "{\"eventSource\":\"s3\",\"eventName\":\"x\"}\n",
                "cloudtrail, one event per line",
            ),
            (
                "{\"Channel\":\"System\",\"EventID\":7}\n",
                "windows-events, one event per line",
            ),
            ("\n {\"metric_name\":\"x\"}\n", "ndjson, one record per line"),
        ] {
            assert_eq!(detect(head, &[]), Ok(description.to_owned()), "{head}");
        }
        assert_eq!(detect("{\"Records\":[{\"a\":1}]}", &[]), delivered);
        assert_eq!(detect(" { \"Records\" : [\n", &[]), delivered);
        assert_eq!(detect("{\n\"Records\": [", &[]), delivered);
        assert_eq!(
            detect("{\n  \"eventName\": \"x\",\n  \"eventSource\": \"s\"\n}", &[]),
            delivered
        );
    }

    #[test]
    fn says_what_to_do_with_what_it_does_not_know() {
        assert_eq!(detect("", &[]), Err(DetectError::Empty));
        assert_eq!(detect("\n\n", &[]), Err(DetectError::Empty));
        assert_eq!(detect("some words\n", &[]), Err(DetectError::Unknown));
        let error = detect("_time,value\n", &[]).unwrap_err().to_string();
        assert_eq!(
            error,
            "there is no time column; name it with --time-column: the columns are _time, value"
        );
        let packed = plan(b"\x28\xb5\x2f\xfdxyz", &source("a/b"), &mapping(&[])).unwrap_err();
        assert!(packed.to_string().contains("zstd -d"), "{packed}");
        assert_eq!(
            detect("time;value\n1;2\n", &[]),
            Err(DetectError::Separator("semicolons"))
        );
        assert_eq!(
            detect("[{\"metric_name\":\"m\"}]", &[]),
            Err(DetectError::JsonOverLines)
        );
        assert_eq!(
            detect("{\n \"Channel\": \"Security\",\n \"EventID\": 1\n}", &[]),
            Err(DetectError::JsonOverLines)
        );
        assert_eq!(
            detect("{\n \"metric_name\": \"m\"\n}", &[]),
            Err(DetectError::JsonOverLines)
        );
        assert!(
            detect("time,a\n", &["--time-column", "at"])
                .unwrap_err()
                .to_string()
                .contains("no column `at`")
        );
        for header in ["time,tag,tag,value", "time,pod,tag,tag"] {
            let error = detect(&format!("{header}\n1,a,2,3\n"), &[]).unwrap_err().to_string();
            assert!(error.contains("`tag` appears twice"), "{header}: {error}");
        }
        let error = detect("Source,Target\na,b\n", &["--format", "metrics-wide"]).unwrap_err();
        assert!(error.to_string().contains("--time-column"));
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
    fn comments_and_empty_lines_before_the_header_are_passed_over() {
        let header_lines = |head: &str, flags: &[&str]| {
            let plan = plan(head.as_bytes(), &source("web/cpu.csv"), &mapping(flags));
            plan.map(|plan| match plan.shape {
                Shape::Lines { header_lines, .. } => header_lines,
                Shape::CloudtrailDocuments => 0,
            })
        };
        let text = "# Data source: a, b\r\n#\r\n\r\ntime,value\r\n1,2\r\n";
        for flags in [&[][..], &["--format", "metrics-long"], &["--format", "metrics-wide"]] {
            assert_eq!(header_lines(text, flags), Ok(4), "{flags:?}");
        }
        assert_eq!(header_lines("#time,value\n1,2\n", &["--time-column", "#time"]), Ok(1));
        assert!(header_lines("# nothing else\n", &[]).is_err());
    }

    #[test]
    fn what_the_command_of_aws_prints_is_known() {
        let looked_up = r#"{ "Events": [ { "EventId": "1", "CloudTrailEvent": "{\"eventVersion\":\"1.08\"}" } ] }"#;
        for text in [looked_up, &looked_up.replace(' ', "\n")] {
            for flags in [&[][..], &["--format", "cloudtrail"]] {
                assert_eq!(detect(text, flags), Err(DetectError::LookupEvents), "{text}");
            }
        }
    }

    #[test]
    fn audit_events_are_not_read_from_csv() {
        let csv = "Event DateTime,User,Repeated Attempts\n2024-01-01T00:00:00Z,u,1\n";
        assert_eq!(detect(csv, &["--kind", "audit"]), Err(DetectError::AuditCsv));
    }

    #[test]
    fn events_of_windows_one_within_the_other_are_known() {
        let nested = r#"{"Event":{"System":{"EventID":4625,"Channel":"Security"},"EventData":{}}}"#;
        for flags in [&[][..], &["--format", "windows-events"]] {
            let error = detect(nested, flags).unwrap_err();
            assert_eq!(error, DetectError::NestedWindowsEvents);
            assert!(
                error.to_string().contains("then .\"#text\" else . end), Computer"),
                "{error}"
            );
        }
    }

    #[test]
    fn a_delivered_document_on_a_line_gives_its_events() {
        let mut output = Collected::default();
        let line = r#"{"Records":[{"eventName":"N","eventTime":"2023-07-10T11:42:44Z"},{"eventName":"M"}]}"#;
        Parser::Cloudtrail.line(line.as_bytes(), &mapping(&[]), &mut output);
        assert_eq!((output.audits.len(), output.skips.len()), (1, 1));
    }

    proptest! {
        #[test]
        fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), format in 0usize..7) {
            let flags: &[&str] = [&[][..], &["--format", "metrics-csv"], &["--format", "metrics-wide"], &["--format", "cloudtrail"],
                &["--format", "ndjson"], &["--format", "metrics-long"], &["--format", "windows-events"]][format];
            let mut output = Collected::default();
            if let Ok(Plan { shape: Shape::Lines { mut parser, .. }, .. }) = plan(&bytes, &source("a/b"), &mapping(flags)) {
                for line in bytes.split(|&byte| byte == b'\n') {
                    parser.line(line, &mapping(flags), &mut output);
                }
            }
        }
    }
}
