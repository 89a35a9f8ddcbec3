//! What the front has to know of ClickHouse's output formats.
//!
//! The engine formats each chunk of a streamed select as if it were the whole result, so a format can be streamed only
//! if its results can be concatenated once the header of all but the first is dropped. The others are run in one piece.

use bytes::Buf;

/// The beginning that each chunk of a format repeats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Header {
    /// None at all.
    None,
    /// The number of columns, their names and, with `types`, their types.
    RowBinary {
        /// `RowBinaryWithNamesAndTypes`
        types: bool,
    },
    /// Whole lines; a line end within a value is escaped.
    Lines(usize),
    /// Whole lines; a line end within quotes belongs to the value.
    QuotedLines(usize),
    /// The schema message of an Arrow stream; each chunk also ends it, see [`Header::trailer`].
    ArrowSchema,
}

/// What ends an Arrow stream: the continuation marker and a length of 0,
/// <https://arrow.apache.org/docs/format/Columnar.html#ipc-streaming-format>.
const ARROW_END: [u8; 8] = [0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0];

/// The header of a format whose chunks can be concatenated; `None` for all others.
pub fn stream_header(format: &str) -> Option<Header> {
    Some(match format.to_ascii_lowercase().as_str() {
        "rowbinary"
        | "native"
        | "tabseparated"
        | "tsv"
        | "tabseparatedraw"
        | "tsvraw"
        | "raw"
        | "csv"
        | "jsoneachrow"
        | "jsonlines"
        | "ndjson"
        | "jsonstringseachrow"
        | "jsoncompacteachrow"
        | "jsoncompactstringseachrow"
        | "tskv"
        | "msgpack"
        | "rawblob"
        | "lineasstring" => Header::None,
        "arrowstream" => Header::ArrowSchema,
        "rowbinarywithnames" => Header::RowBinary { types: false },
        "rowbinarywithnamesandtypes" => Header::RowBinary { types: true },
        "csvwithnames" => Header::QuotedLines(1),
        "csvwithnamesandtypes" => Header::QuotedLines(2),
        "tabseparatedwithnames"
        | "tsvwithnames"
        | "tabseparatedrawwithnames"
        | "tsvrawwithnames"
        | "rawwithnames"
        | "jsoncompacteachrowwithnames"
        | "jsoncompactstringseachrowwithnames" => Header::Lines(1),
        "tabseparatedwithnamesandtypes"
        | "tsvwithnamesandtypes"
        | "jsoncompacteachrowwithnamesandtypes"
        | "jsoncompactstringseachrowwithnamesandtypes" => Header::Lines(2),
        _ => return None,
    })
}

impl Header {
    /// How many bytes of a chunk are its header.
    pub fn length(self, chunk: &[u8]) -> usize {
        match self {
            Self::None => 0,
            Self::RowBinary { types } => row_binary_length(chunk, types).unwrap_or(chunk.len()),
            Self::Lines(lines) => lines_length(chunk, lines, false),
            Self::QuotedLines(lines) => lines_length(chunk, lines, true),
            Self::ArrowSchema => arrow_message_length(chunk).unwrap_or(chunk.len()),
        }
    }

    /// What each chunk ends with, although only the whole result may.
    pub fn trailer(self) -> &'static [u8] {
        match self {
            Self::ArrowSchema => &ARROW_END,
            _ => &[],
        }
    }
}

fn row_binary_length(chunk: &[u8], types: bool) -> Option<usize> {
    let mut rest = chunk;
    let columns = variable_integer(&mut rest)?;
    for _ in 0..columns * if types { 2 } else { 1 } {
        let length = variable_integer(&mut rest)?;
        rest = rest.get(length..)?;
    }
    Some(chunk.len() - rest.len())
}

/// The length of an encapsulated message without a body: marker, length, metadata.
fn arrow_message_length(chunk: &[u8]) -> Option<usize> {
    let length = chunk.get(4..8)?.try_into().ok()?;
    let length = usize::try_from(u32::from_le_bytes(length)).ok()?.checked_add(8)?;
    (length <= chunk.len()).then_some(length)
}

/// LEB128, as ClickHouse writes lengths.
fn variable_integer(bytes: &mut &[u8]) -> Option<usize> {
    let (mut value, mut shift) = (0_usize, 0_u32);
    while bytes.has_remaining() {
        let byte = bytes.get_u8();
        value |= usize::from(byte & 0x7f).checked_shl(shift)?;
        if byte < 0x80 {
            return Some(value);
        }
        shift += 7;
    }
    None
}

fn lines_length(chunk: &[u8], lines: usize, quotes: bool) -> usize {
    let (mut found, mut quoted) = (0, false);
    for (at, &byte) in chunk.iter().enumerate() {
        match byte {
            b'"' if quotes => quoted = !quoted,
            b'\n' if !quoted => {
                found += 1;
                if found == lines {
                    return at + 1;
                }
            }
            _ => {}
        }
    }
    chunk.len()
}

/// The Content-Type that ClickHouse sends for a format.
pub fn content_type(format: &str) -> &'static str {
    let format = format.to_ascii_lowercase();
    match format.as_str() {
        "json" | "jsoncompact" | "jsonstrings" | "jsoncompactstrings" | "jsoncolumns" | "jsoncolumnswithmetadata" => {
            "application/json; charset=UTF-8"
        }
        "jsoneachrow" | "jsonlines" | "ndjson" | "jsonstringseachrow" | "jsoneachrowwithprogress" => {
            "application/x-ndjson; charset=UTF-8"
        }
        "csv" => "text/csv; charset=UTF-8; header=absent",
        "csvwithnames" | "csvwithnamesandtypes" => "text/csv; charset=UTF-8; header=present",
        "xml" => "application/xml; charset=UTF-8",
        "parquet" | "arrow" | "arrowstream" | "orc" | "avro" | "native" | "msgpack" | "protobuf" | "npy"
        | "bsoneachrow" => "application/octet-stream",
        _ if format.starts_with("rowbinary") => "application/octet-stream",
        _ if format.starts_with("tabseparated") || format.starts_with("tsv") => {
            "text/tab-separated-values; charset=UTF-8"
        }
        _ => "text/plain; charset=UTF-8",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_of_row_binary_is_measured() {
        let header = b"\x02\x01a\x02bc\x05Int32\x06String";
        let chunk = [header.as_slice(), b"\x01\x00\x00\x00\x00"].concat();
        assert_eq!(Header::RowBinary { types: true }.length(&chunk), header.len());
        assert_eq!(Header::RowBinary { types: false }.length(&chunk), 6);
    }

    #[test]
    fn a_line_end_within_quotes_does_not_end_a_csv_header() {
        let chunk = b"\"a\n\"\"b\",\"c\"\n\"String\"\n1\n";
        assert_eq!(Header::QuotedLines(1).length(chunk), 12);
        assert_eq!(Header::QuotedLines(2).length(chunk), 21);
        assert_eq!(Header::Lines(1).length(b"a\\n\tb\n1\t2\n"), 6);
    }

    #[test]
    fn a_header_that_does_not_end_is_the_whole_chunk() {
        assert_eq!(Header::RowBinary { types: true }.length(b"\x02\x01a"), 3);
        assert_eq!(Header::Lines(2).length(b"a\n"), 2);
    }

    #[test]
    fn the_schema_of_an_arrow_stream_is_measured() {
        let schema = [[0xff; 4].as_slice(), &8_u32.to_le_bytes(), b"metadata"].concat();
        let chunk = [schema.as_slice(), b"batch", &ARROW_END].concat();
        assert_eq!(Header::ArrowSchema.length(&chunk), 16);
        assert!(chunk.ends_with(Header::ArrowSchema.trailer()));
    }

    #[test]
    fn formats_with_a_frame_around_the_rows_are_not_streamed() {
        for format in ["JSON", "Parquet", "Arrow", "Values", "Pretty", "XML", "Null"] {
            assert_eq!(stream_header(format), None, "{format}");
        }
    }
}
