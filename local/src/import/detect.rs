//! Detects what a file is from its first bytes.
//!
//! Enters: the first bytes of a file, unpacked. Leaves: how to read it, with a parser that knows its header, or why it
//! cannot be read. Looks at nothing but these bytes, the name and the flags, so the same file is always read the same
//! way.

use super::csv_format::csv_format;
use super::detect_error::DetectError;
use super::foreign::Foreign;
use super::foreign_text;
use super::head::{Head, first_lines};
use super::json_format;
use super::json_layout::{Json, Layout};
use super::json_recipes::Recipe;
use super::lines::LINE_BYTES_MAX;
use super::mapping::{Format, Mapping, NdjsonKind, SourceName};
use super::metrics_long::MetricsLong;
use super::metrics_wide::MetricsWide;
use super::parser::Parser;

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
    /// JSON over any lines: see [`super::json_documents`].
    Documents {
        /// The field of documents that holds their records.
        envelope: Option<&'static str>,
        /// What reads the records.
        parser: Parser,
    },
}

/// Decides how to read a file that begins with `head`.
pub fn plan(head: &[u8], source: &SourceName, mapping: &Mapping) -> Result<Plan, DetectError> {
    if let Some(foreign) = Foreign::find(head).or_else(|| foreign_text::find(head)) {
        return Err(foreign.into());
    }
    let first = head
        .iter()
        .position(|byte| !byte.is_ascii_whitespace())
        .ok_or(DetectError::Empty)?;
    let json = Json::of(&head[first..]);
    if let Some(recipe) = json.as_ref().and_then(Recipe::find) {
        return Err(recipe.into());
    }
    let format = match (mapping.format, &json) {
        (Some(format), _) => format,
        (None, Some(json)) => json_format::of(json),
        (None, None) if mapping.kind == Some(NdjsonKind::Audit) => return Err(DetectError::AuditCsv),
        (None, None) => csv_format(head, mapping)?,
    };
    let layout = json.map_or(Layout::Lines, |json| json.layout);
    let shape = match format {
        Format::Cloudtrail => Shape::json(layout, Parser::Cloudtrail),
        Format::WindowsEvents => Shape::json(layout, Parser::WindowsEvents),
        Format::Ndjson => Shape::json(layout, Parser::Ndjson),
        Format::MetricsCsv | Format::MetricsLong | Format::MetricsWide => {
            let Head { header, lines, rest } = Head::read(head, mapping)?;
            mapping.numbers.check(&header, first_lines(rest))?;
            let parser = match format {
                Format::MetricsCsv if header.cells.len() != 2 || header.value().is_none() => {
                    return Err(DetectError::SeveralMetrics { found: header.cells });
                }
                Format::MetricsWide => {
                    let parser = MetricsWide::new(&header, first_lines(rest), source, mapping)?;
                    Parser::MetricsWide(Box::new(parser))
                }
                _ => {
                    let parser = MetricsLong::new(&header, first_lines(rest), source, mapping)?;
                    Parser::MetricsLong(Box::new(parser))
                }
            };
            Shape::lines(lines, parser)
        }
    };
    Ok(Plan { format, shape })
}

impl Shape {
    fn lines(header_lines: u64, parser: Parser) -> Self {
        Self::Lines { header_lines, parser }
    }

    fn json(layout: Layout, parser: Parser) -> Self {
        match layout {
            Layout::Lines => Self::lines(0, parser),
            Layout::Documents { envelope } => Self::Documents { envelope, parser },
        }
    }
}

impl Plan {
    /// What the file was understood as.
    pub fn description(&self) -> String {
        let detail = match &self.shape {
            Shape::Documents {
                envelope: Some(name), ..
            } => format!("documents with `{name}`"),
            Shape::Documents { envelope: None, .. } => "objects or arrays of them".to_owned(),
            Shape::Lines { parser, .. } => parser.description(),
        };
        format!("{}, {detail}", self.format)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::import::output::Collected;
    use crate::import::testing::{detected, mapping, source};

    fn detect(head: &str, flags: &[&str]) -> Result<String, DetectError> {
        detected("web/cpu.csv", head, flags)
    }

    #[test]
    fn tells_the_formats_apart_by_their_beginning() {
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
    }

    #[test]
    fn says_what_to_do_with_what_it_does_not_know() {
        assert_eq!(detect("", &[]), Err(DetectError::Empty));
        assert_eq!(detect("\n\n", &[]), Err(DetectError::Empty));
        let error = detect("some words\nmore\n", &[]).unwrap_err().to_string();
        assert!(error.contains("the first line, `some words`; expected"), "{error}");
        let error = detect("_time,value\n", &[]).unwrap_err().to_string();
        assert_eq!(
            error,
            "there is no time column; name it with --time-column: the columns are _time, value"
        );
        let packed = plan(b"\x28\xb5\x2f\xfdxyz", &source("a/b"), &mapping(&[])).unwrap_err();
        assert!(packed.to_string().contains("zstd -d"), "{packed}");
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
    fn comments_and_empty_lines_before_the_header_are_passed_over() {
        let header_lines = |head: &str, flags: &[&str]| {
            let plan = plan(head.as_bytes(), &source("web/cpu.csv"), &mapping(flags));
            plan.map(|plan| match plan.shape {
                Shape::Lines { header_lines, .. } => header_lines,
                Shape::Documents { .. } => 0,
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
    fn audit_events_are_not_read_from_csv() {
        let csv = "Event DateTime,User,Repeated Attempts\n2024-01-01T00:00:00Z,u,1\n";
        assert_eq!(detect(csv, &["--kind", "audit"]), Err(DetectError::AuditCsv));
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
