//! Batches that depend only on the rows: how the engine cut them must not show in the bytes of a file.
//!
//! Enters: rows of a file in order, cut in any way. Leaves: batches of [`ROWS`], or of fewer if they reach [`BYTES`]:
//! an event may be a megabyte, and thousands of those fit neither into memory nor into a string column, whose offsets
//! are 32 bits. Pure.

use arrow::array::{ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::compute::BatchCoalescer;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;

/// Maximum rows per batch.
const ROWS: usize = 8_192;
/// Bytes of strings that end a batch; events smaller than 4 KiB never reach this.
const BYTES: usize = 32 << 20;

/// Cuts the rows of files, one file after the other.
pub struct Batches {
    coalescer: BatchCoalescer,
    rows: usize,
    bytes: usize,
}

impl Batches {
    /// For rows with these columns.
    pub fn new(schema: SchemaRef) -> Self {
        Self {
            coalescer: BatchCoalescer::new(schema, ROWS),
            rows: 0,
            bytes: 0,
        }
    }

    /// Adds rows.
    pub fn push(&mut self, rows: &RecordBatch) -> Result<(), ArrowError> {
        let mut start = 0;
        while start < rows.num_rows() {
            let (taken, bytes) = self.fitting(rows, start);
            self.coalescer.push_batch(rows.slice(start, taken))?;
            (self.rows, self.bytes) = (self.rows + taken, self.bytes + bytes);
            if self.rows == ROWS || self.bytes >= BYTES {
                self.end()?;
            }
            start += taken;
        }
        Ok(())
    }

    /// How many rows from `start` the current batch takes, including the one that fills it, and the bytes of their
    /// strings.
    fn fitting(&self, rows: &RecordBatch, start: usize) -> (usize, usize) {
        let most = (ROWS - self.rows).min(rows.num_rows() - start);
        let bytes = |taken: usize| -> usize {
            let columns = rows.columns().iter();
            columns.map(|column| text_bytes(column, start, start + taken)).sum()
        };
        let reached = |taken: &usize| self.bytes + bytes(*taken) >= BYTES;
        let taken = match reached(&most) {
            true => (1..most).find(reached).unwrap_or(most),
            false => most,
        };
        (taken, bytes(taken))
    }

    /// Ends the current batch at the end of a file.
    pub fn end(&mut self) -> Result<(), ArrowError> {
        (self.rows, self.bytes) = (0, 0);
        self.coalescer.finish_buffered_batch()
    }

    /// The next complete batch.
    pub fn next_whole(&mut self) -> Option<RecordBatch> {
        self.coalescer.next_completed_batch()
    }
}

/// Bytes of the strings in a range of rows of a column; numbers and times are a few bytes per row.
fn text_bytes(column: &ArrayRef, start: usize, end: usize) -> usize {
    let of = |texts: &StringArray, start: usize, end: usize| {
        let ends = texts.value_offsets();
        (ends[end] - ends[start]) as usize
    };
    if let Some(texts) = column.as_string_opt() {
        return of(texts, start, end);
    }
    let Some(map) = column.as_map_opt() else { return 0 };
    let ends = map.value_offsets();
    let (first, last) = (ends[start] as usize, ends[end] as usize);
    let sides = [map.keys(), map.values()].into_iter();
    sides
        .map(|side| side.as_string_opt().map_or(0, |texts| of(texts, first, last)))
        .sum()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Array, Int64Array};
    use proptest::prelude::*;

    use super::*;

    /// Rows with strings of these lengths, numbered from `first`.
    fn rows(first: usize, lengths: &[usize]) -> RecordBatch {
        let texts = lengths.iter().map(|&length| "x".repeat(length));
        let texts: ArrayRef = Arc::new(StringArray::from_iter_values(texts));
        let numbers = (first..first + lengths.len()).map(|number| number as i64);
        let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(numbers));
        RecordBatch::try_from_iter([("number", numbers), ("text", texts)]).unwrap()
    }

    /// The batches of all rows when handed over in pieces of this size.
    fn batches(lengths: &[usize], piece: usize) -> Vec<RecordBatch> {
        let mut batches = Batches::new(rows(0, &[]).schema());
        for (number, piece_lengths) in lengths.chunks(piece).enumerate() {
            batches.push(&rows(number * piece, piece_lengths)).unwrap();
        }
        batches.end().unwrap();
        std::iter::from_fn(|| batches.next_whole()).collect()
    }

    #[test]
    fn small_rows_are_cut_by_their_number_and_large_ones_by_their_bytes() {
        let sizes = |lengths: &[usize]| -> Vec<usize> {
            let batches = batches(lengths, 10_000);
            batches.iter().map(RecordBatch::num_rows).collect()
        };
        assert_eq!(sizes(&[100; 20_000]), [8_192, 8_192, 3_616]);
        assert_eq!(sizes(&[BYTES / 4; 9]), [4, 4, 1]);
        assert_eq!(sizes(&[BYTES + 1, 1, BYTES - 1, 5]), [1, 2, 1]);
        // Counters are reset between batches.
        let mut mixed = vec![100; ROWS + 1];
        mixed.extend([BYTES / 2; 2]);
        assert_eq!(sizes(&mixed), [ROWS, 3]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn how_rows_come_does_not_show(
            lengths in prop::collection::vec(prop_oneof![0..100_usize, 0..4_000_000_usize], 1..60), piece in 1..60_usize
        ) {
            prop_assert_eq!(batches(&lengths, piece), batches(&lengths, lengths.len()));
        }
    }

    #[test]
    fn a_map_counts_by_its_keys_and_values() {
        let mut map = arrow::array::MapBuilder::new(
            None,
            arrow::array::StringBuilder::new(),
            arrow::array::StringBuilder::new(),
        );
        for entries in [&[("ab", "cde"), ("f", "")][..], &[], &[("gh", "i")]] {
            for (key, value) in entries {
                map.keys().append_value(key);
                map.values().append_value(value);
            }
            map.append(true).unwrap();
        }
        let map: ArrayRef = Arc::new(map.finish());
        let bytes = |start, end| text_bytes(&map, start, end);
        assert_eq!([bytes(0, 1), bytes(1, 2), bytes(0, 3)], [6, 0, 9]);
        assert_eq!(text_bytes(&map.slice(1, 2), 0, 2), 3);
    }
}
