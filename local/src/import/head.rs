//! What precedes the first record of a CSV file: comments, the header.
//!
//! Enters: the first bytes of a file. Leaves: its header, and the lines after it by which columns are judged. Pure.

use super::delimiter::delimiter;
use super::detect::HEAD_BYTES;
use super::detect_error::DetectError;
use super::header::Header;
use super::lines::trim_line;
use super::mapping::Mapping;

/// How many lines after the header decide whether a column holds numbers.
const SAMPLED_LINES: usize = 100;

/// What precedes the first record of a CSV file.
pub struct Head<'a> {
    /// The header.
    pub header: Header,
    /// Lines up to and including the header.
    pub lines: u64,
    /// What follows.
    pub rest: &'a [u8],
}

impl<'a> Head<'a> {
    /// Finds the header: the first line that is neither empty nor a comment (`# Data source: …`).
    pub fn read(head: &'a [u8], mapping: &Mapping) -> Result<Self, DetectError> {
        let is_named = |line: &str| mapping.time_column.iter().any(|name| line.starts_with(name));
        let is_comment = |line: &str| line.starts_with('#') && !is_named(line);
        let is_passed_over = |line: &str| line.trim().is_empty() || is_comment(line) || for_excel(line).is_some();
        let (mut lines, mut rest, mut said) = (1, head, None);
        loop {
            let (line, after) = first_line(rest, head.len())?;
            if after.is_empty() || !is_passed_over(line) {
                let by = said.unwrap_or_else(|| delimiter(line, after, mapping));
                return Ok(Self {
                    header: Header::new(line, by),
                    lines,
                    rest: after,
                });
            }
            said = said.or_else(|| for_excel(line));
            (lines, rest) = (lines + 1, after);
        }
    }
}

/// What separates the columns as told to Excel in a line of its own, such as `sep=;`. Grafana writes it.
fn for_excel(line: &str) -> Option<u8> {
    match line.strip_prefix("sep=")?.as_bytes() {
        [by] => Some(*by),
        _ => None,
    }
}

/// The first line of the rest of a head with this many bytes, and what follows it.
fn first_line(bytes: &[u8], head_bytes: usize) -> Result<(&str, &[u8]), DetectError> {
    let (line, rest) = match bytes.iter().position(|&byte| byte == b'\n') {
        Some(end) => (&bytes[..end], &bytes[end + 1..]),
        None if bytes.contains(&b'\r') && !bytes.ends_with(b"\r") => return Err(DetectError::CarriageReturns),
        None if head_bytes >= HEAD_BYTES => return Err(DetectError::Header),
        None => (bytes, &[][..]),
    };
    let line = std::str::from_utf8(trim_line(line)).map_err(|_| DetectError::NotUtf8)?;
    if line.contains('\r') {
        return Err(DetectError::CarriageReturns);
    }
    Ok((line, rest))
}

/// The lines by which columns are judged. The last one of the head may be cut off in its last cell; an incomplete number
/// still shows a column of numbers.
pub fn first_lines(rest: &[u8]) -> impl Iterator<Item = &str> + Clone {
    rest.split(|&byte| byte == b'\n')
        .filter_map(|line| std::str::from_utf8(line).ok())
        .take(SAMPLED_LINES)
}
