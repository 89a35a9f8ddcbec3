//! Finds the newest batch of a ledger that a log still has unchanged.
//!
//! Enters: an offset range, and answers about batches. Leaves: offsets to ask about, then the end of the batch. A log
//! that lost its end keeps a prefix, so batches match up to some offset and none behind it: bisection finds it in some
//! forty questions. Pure; an answer that is wrongly "no" yields an earlier batch, never a later one.

/// A search in progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Search {
    /// Batches that end at or before this need not be asked about.
    low: i64,
    /// Batches that end behind this do not match, or do not exist.
    high: i64,
    found: Option<i64>,
}

impl Search {
    /// Among the batches that end in `(start, end]`.
    pub fn new(start: i64, end: i64) -> Self {
        Self {
            low: start,
            high: end,
            found: None,
        }
    }

    /// The next question: about the newest batch that ends at or before the returned offset; `None` when the search is
    /// over.
    pub fn ask(&self) -> Option<i64> {
        // Rounded up, so that each answer narrows the range.
        (self.low < self.high).then(|| self.low + (self.high - self.low + 1) / 2)
    }

    /// The batch that was asked for with `end_max`: its end, and whether the log has its last record unchanged. `None`
    /// if no batch ends in `(low, end_max]`.
    pub fn answer(&mut self, end_max: i64, batch: Option<(i64, bool)>) {
        match batch {
            None => self.low = end_max,
            Some((end, true)) => {
                self.found = Some(end);
                self.low = end_max;
            }
            Some((end, false)) => self.high = end - 1,
        }
    }

    /// Batches that end at or before this need not be asked about.
    pub fn low(&self) -> i64 {
        self.low
    }

    /// The end of the newest batch that matches.
    pub fn found(&self) -> Option<i64> {
        self.found
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn finds_the_last_of_the_batches_that_match(
            ends in proptest::collection::btree_set(1_i64..10_000, 0..50), start in 0_i64..5_000, length in 0_i64..6_000,
            surviving in 0_i64..12_000,
        ) {
            let end = start + length;
            let mut search = Search::new(start, end);
            let mut questions = 0;
            while let Some(end_max) = search.ask() {
                let newest = newest(&ends, search.low(), end_max);
                search.answer(end_max, newest.map(|end| (end, end <= surviving)));
                questions += 1;
                prop_assert!(questions <= 64);
            }
            prop_assert_eq!(search.found(), newest(&ends, start, end.min(surviving)));
        }
    }

    /// The last of `ends` in `(low, high]`.
    fn newest(ends: &BTreeSet<i64>, low: i64, high: i64) -> Option<i64> {
        ends.range(..=high).next_back().copied().filter(|&end| end > low)
    }
}
