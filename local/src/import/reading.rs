//! Reads one file, from its first byte to its last, into a listener.
//!
//! Enters: a source. Leaves: what its parser finds, each with its line. Guarantees bounded memory. An error ends this
//! file only; the listener has received everything before it.

use indicatif::ProgressBar;

use super::detect::{Plan, Shape, plan};
use super::detect_error::DetectError;
use super::json_documents;
use super::lines::{LINE_BYTES_MAX, Line, Lines};
use super::mapping::Mapping;
use super::output::{Output, Skip};
use super::source::Source;

/// An output that is told its place in the file, and can stop the reading.
pub trait Listener: Output {
    /// The file was understood.
    fn understood(&mut self, plan: &Plan);
    /// What comes next is on this line.
    fn at_line(&mut self, line: u64);
    /// Whether to read on.
    fn wants_more(&self) -> bool;
}

/// Why a file was not read to its end.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The system refused, or the gzip stream is damaged.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// The file is of no known format.
    #[error(transparent)]
    Detect(#[from] DetectError),
    /// The JSON is broken, and with it everything after it.
    #[error("its JSON is broken, and nothing after that can be read: {0}")]
    Json(#[from] serde_json::Error),
}

/// Reads a file.
pub fn read(
    source: &Source,
    mapping: &Mapping,
    progress: &ProgressBar,
    listener: &mut dyn Listener,
) -> Result<(), ReadError> {
    let opened = source.open(progress)?;
    let plan = plan(&opened.head, &source.name()?, mapping)?;
    drop(opened.head);
    listener.understood(&plan);
    match plan.shape {
        Shape::Documents { envelope, mut parser } => {
            json_documents::read(opened.reader, envelope, |line, json| {
                listener.at_line(line);
                parser.line(json.as_bytes(), mapping, listener);
                listener.wants_more()
            })?;
            Ok(())
        }
        Shape::Lines {
            header_lines,
            mut parser,
        } => {
            let mut lines = Lines::new(opened.reader);
            while let Some((number, line)) = lines.next_line()? {
                if number <= header_lines {
                    continue;
                }
                listener.at_line(number);
                match line {
                    Line::Bytes(bytes) => parser.line(bytes, mapping, listener),
                    Line::TooLong => listener.skip(Skip::LineTooLong {
                        bytes_max: LINE_BYTES_MAX,
                    }),
                }
                if !listener.wants_more() {
                    break;
                }
            }
            Ok(())
        }
    }
}
