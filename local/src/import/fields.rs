//! Splits one line of CSV into its fields.
//!
//! Enters: a line without its end. Leaves: the fields, unquoted, in a buffer that is used again for the next line.
//! Guarantees that each line stands for itself: a quote that is never closed spoils its own line and no other. The
//! price is that a field cannot hold a line break: a line that ends inside quotes is rejected, or half a text would
//! pass for all of it. A carriage return within a line is text and never ends a record.

use csv_core::{ReadRecordResult, Reader, ReaderBuilder, Terminator};

use super::output::Skip;

/// Splits lines of CSV.
#[derive(Debug)]
pub struct Fields {
    reader: Reader,
    text: Vec<u8>,
    ends: Vec<usize>,
    count: usize,
    is_open: bool,
}

impl Fields {
    /// Splits at this character.
    pub fn new(delimiter: u8) -> Self {
        let mut reader = ReaderBuilder::new();
        reader.delimiter(delimiter).terminator(Terminator::Any(b'\n'));
        Self {
            reader: reader.build(),
            text: Vec::new(),
            ends: Vec::new(),
            count: 0,
            is_open: false,
        }
    }

    /// Splits the next line, replacing the previous one.
    pub fn split(&mut self, line: &str) {
        self.reader.reset();
        // Unquoting only shortens, and each field but the last costs a delimiter: neither buffer can be too small.
        self.text.resize(line.len() + 2, 0);
        self.ends.resize(line.len() + 2, 0);
        let mut written = 0;
        (self.count, self.is_open) = (0, false);
        // A line break is text inside quotes, and ends the record elsewhere; an empty input ends it everywhere.
        for input in [line.as_bytes(), b"\n", b""] {
            let (result, _, text, ends) =
                self.reader
                    .read_record(input, &mut self.text[written..], &mut self.ends[self.count..]);
            written += text;
            self.count += ends;
            if !matches!(result, ReadRecordResult::InputEmpty) {
                return;
            }
            self.is_open = input == b"\n" && text > 0;
        }
    }

    /// Splits the next line, which must have as many fields as the header. One whose fields are all empty, as
    /// spreadsheets write them, says nothing.
    pub fn split_row(&mut self, line: &str, expected: usize) -> Result<(), Skip> {
        self.split(line);
        if self.is_open {
            return Err(Skip::OpenQuote);
        }
        if self.count != expected {
            return Err(Skip::Columns {
                expected,
                found: self.count,
            });
        }
        if self.iter().all(str::is_empty) {
            return Err(Skip::EmptyCell);
        }
        Ok(())
    }

    /// Whether the line ended inside quotes.
    pub fn is_open(&self) -> bool {
        self.is_open
    }

    /// The field of this index, without spaces around it; empty beyond the last.
    pub fn get(&self, index: usize) -> &str {
        if index >= self.count {
            return "";
        }
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        std::str::from_utf8(&self.text[start..self.ends[index]])
            .unwrap_or_default()
            .trim()
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.count).map(|index| self.get(index))
    }
}

/// Whether a cell says that there is no value, or holds what a spreadsheet writes in place of one. `NaN` is not among
/// these words: it was measured as such.
pub fn is_absent(text: &str) -> bool {
    const WORDS: [&str; 16] = [
        "-", "?", "n/a", "na", "<na>", "nil", "none", "null", "\\n", "#n/a", "#div/0!", "#name?", "#null!", "#num!",
        "#ref!", "#value!",
    ];
    text.is_empty() || WORDS.iter().any(|word| text.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::import::delimiter::COMMA;

    fn split(line: &str) -> Vec<String> {
        let mut fields = Fields::new(COMMA);
        fields.split("what,was,there,before");
        fields.split(line);
        fields.iter().map(str::to_owned).collect()
    }

    #[test]
    fn splits_and_unquotes() {
        assert_eq!(split("a,b,c"), ["a", "b", "c"]);
        assert_eq!(split(" a ,,\"b, \"\"c\"\"\","), ["a", "", "b, \"c\"", ""]);
        assert_eq!(split("é,日本"), ["é", "日本"]);
        assert_eq!(split("one"), ["one"]);
        assert_eq!(split(","), ["", ""]);
        assert_eq!(split("a,b\rc,d"), ["a", "b\rc", "d"]);
    }

    #[test]
    fn a_line_that_ends_inside_quotes_is_none_and_spoils_no_other() {
        let mut fields = Fields::new(COMMA);
        for open in ["1,\"2,3", "1,\"", "\"", "1,\"2\"\"", "1,\"2\"\"\"\""] {
            assert_eq!(fields.split_row(open, 2), Err(Skip::OpenQuote), "{open}");
            assert_eq!(fields.split_row("1,2,3", 3), Ok(()));
        }
        for closed in ["1,\"2\"", "1,\"\"", "1,2\"", "1,\"2\"3", "1,\"2\"\"\"", "1,\r"] {
            assert_eq!(fields.split_row(closed, 2), Ok(()), "{closed}");
        }
        assert_eq!(
            fields.split_row("", 2),
            Err(Skip::Columns { expected: 2, found: 0 }),
            "an empty line has no quotes"
        );
    }

    #[test]
    fn what_databases_write_for_no_value_is_none() {
        assert!(["", "-", "?", "N/A", "NULL", "None", "\\N"].into_iter().all(is_absent));
        assert!(!["0", "NaN", "-1", "nothing"].into_iter().any(is_absent));
    }

    proptest! {
        #[test]
        fn never_panics(line in "\\PC{0,60}") {
            split(&line);
        }

        #[test]
        fn never_panics_on_quotes_and_commas(line in "[a,\"\r\n é\\u{feff}]{0,30}") {
            split(&line);
        }

        #[test]
        fn plain_fields_come_back(fields in proptest::collection::vec("[a-z0-9.]{1,8}", 1..20)) {
            prop_assert_eq!(split(&fields.join(",")), fields);
        }
    }
}
