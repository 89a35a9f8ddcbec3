//! A reader's bytes, line by line, in bounded memory.
//!
//! Enters: a buffered reader. Leaves: each line with its number, without its line end; a line over the bound is skipped
//! without being held in memory. Never looks into a line.

use std::io::{self, BufRead, Read};

/// Longest line that is read: four times the largest event that CloudTrail delivers.
pub const LINE_BYTES_MAX: usize = 1 << 20;

/// What a line holds.
#[derive(Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// The line.
    Bytes(&'a [u8]),
    /// A line longer than [`LINE_BYTES_MAX`].
    TooLong,
}

/// Reads lines.
#[derive(Debug)]
pub struct Lines<R> {
    reader: R,
    line: Vec<u8>,
    number: u64,
}

impl<R: BufRead> Lines<R> {
    /// Starts before line 1.
    pub fn new(reader: R) -> Self {
        Self {
            reader,
            line: Vec::new(),
            number: 0,
        }
    }

    /// The next line and its number, from 1.
    pub fn next_line(&mut self) -> io::Result<Option<(u64, Line<'_>)>> {
        self.line.clear();
        let limit = LINE_BYTES_MAX as u64 + 1;
        if self.reader.by_ref().take(limit).read_until(b'\n', &mut self.line)? == 0 {
            return Ok(None);
        }
        self.number += 1;
        if self.line.last() == Some(&b'\n') {
            self.line.pop();
        } else if self.line.len() > LINE_BYTES_MAX {
            self.reader.skip_until(b'\n')?;
            return Ok(Some((self.number, Line::TooLong)));
        }
        Ok(Some((self.number, Line::Bytes(trim_line(&self.line)))))
    }
}

/// The line without a carriage return at its end.
pub fn trim_line(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(bytes: &[u8]) -> Vec<(u64, Option<Vec<u8>>)> {
        let mut lines = Lines::new(io::BufReader::with_capacity(7, bytes));
        let mut found = Vec::new();
        while let Some((number, line)) = lines.next_line().unwrap() {
            found.push((
                number,
                if let Line::Bytes(bytes) = line {
                    Some(bytes.to_vec())
                } else {
                    None
                },
            ));
        }
        found
    }

    #[test]
    fn takes_off_line_ends() {
        let line = |number, text: &str| (number, Some(text.as_bytes().to_vec()));
        assert_eq!(all(b"a,b\r\n\r\nlast"), [line(1, "a,b"), line(2, ""), line(3, "last")]);
        assert_eq!(all(b""), []);
    }

    #[test]
    fn passes_over_a_line_beyond_the_bound_and_goes_on_with_the_next() {
        let mut bytes = vec![b'x'; LINE_BYTES_MAX];
        bytes.push(b'\n');
        bytes.extend(vec![b'y'; 3 * LINE_BYTES_MAX]);
        bytes.extend(b"\nnext\n");
        let found = all(&bytes);
        assert_eq!(found.len(), 3);
        assert_eq!(found[0].1.as_ref().map(Vec::len), Some(LINE_BYTES_MAX));
        assert_eq!(found[1], (2, None));
        assert_eq!(found[2], (3, Some(b"next".to_vec())));
    }

    proptest! {
        #[test]
        fn gives_as_many_lines_as_there_are(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let ends = bytes.iter().filter(|&&b| b == b'\n').count();
            let open = usize::from(bytes.last().is_some_and(|&b| b != b'\n'));
            prop_assert_eq!(all(&bytes).len(), ends + open);
        }
    }
}
