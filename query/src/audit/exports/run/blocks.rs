//! How many rows the engine returns at a time: fewer where memory is short, and for no other reason. Pure.

use std::time::Duration;

use crate::audit::exports::error::ExportError;
use crate::audit::exports::patience::RETRY_AFTER;
use crate::store::StoreError;

/// Rows per block of the engine at first. It merges the parts of a month into blocks of this many rows, whatever their
/// bytes; smaller blocks of ordinary events cost CPU (`load-tests/PERFORMANCE.md`).
const BLOCK_ROWS: u32 = 8_192;
/// Divisor of the block size when a block exceeds the memory of a statement.
const BLOCK_ROWS_STEP: u32 = 8;
/// Attempts per block size when the server is out of memory.
const TRIES_A_SIZE: u32 = 3;
/// Smallest block size: with the largest events, such a block takes a hundred megabytes.
const BLOCK_ROWS_MIN: u32 = 16;

/// The block size for a month, and the attempts with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Blocks {
    /// Rows per block.
    pub rows: u32,
    tries: u32,
}

impl Blocks {
    /// What a month begins with.
    pub const LARGEST: Self = Self {
        rows: BLOCK_ROWS,
        tries: 1,
    };

    /// What to try next, if a statement ran out of memory and anything is left to try. If the server ran out, others
    /// may have used it up: the same size again, since a month in small blocks takes longer than a peak lasts.
    pub fn after(self, error: &ExportError) -> Option<Self> {
        let ExportError::Store(error @ StoreError::Limit { what: "memory", .. }) = error else {
            return None;
        };
        if error.is_of_server_memory() && self.tries < TRIES_A_SIZE {
            return Some(Self {
                tries: self.tries + 1,
                ..self
            });
        }
        let rows = self.rows / BLOCK_ROWS_STEP;
        (rows >= BLOCK_ROWS_MIN).then_some(Self { rows, tries: 1 })
    }

    /// How long to wait before the next attempt.
    pub fn pause_after(self, error: &ExportError) -> Duration {
        match error.passing() {
            Some(_) => RETRY_AFTER * self.tries,
            None => Duration::ZERO,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::classified;

    #[test]
    fn blocks_get_smaller_where_memory_is_short_and_for_no_other_reason() {
        let refused = |message| ExportError::from(classified(message));
        let tried = |error: &ExportError| {
            let blocks = std::iter::successors(Some(Blocks::LARGEST), |blocks| blocks.after(error));
            blocks.map(|blocks| blocks.rows).collect::<Vec<_>>()
        };
        let of_statement = refused("Code: 241. DB::Exception: Query memory limit exceeded");
        assert_eq!(tried(&of_statement), [8_192, 1_024, 128, 16]);
        let of_server = refused("Code: 241. DB::Exception: (total) memory limit exceeded");
        assert_eq!(
            tried(&of_server),
            [[8_192; 3], [1_024; 3], [128; 3], [16; 3]].concat(),
            "others may have used up the server's"
        );
        assert_eq!(tried(&refused("Code: 159. DB::Exception: Timeout exceeded")), [8_192]);
        assert_eq!(tried(&ExportError::Stopped), [8_192]);
    }
}
