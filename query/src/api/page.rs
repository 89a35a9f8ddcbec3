//! One page of an answer: as many rows as requested, or fewer when they are large.
//!
//! Enters: rows in order, one more than the page holds if there are more. Leaves: the rows of the page and whether
//! others follow. Guarantees: at least one row if there is one, so that paging always advances, and a bound on memory.

use std::borrow::Cow;
use std::ops::ControlFlow;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{RefOr, Schema};

/// The number of rows of a page: from 1 to `MAX`, by default `DEFAULT`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Limit<const DEFAULT: u32, const MAX: u32>(u32);

impl<const DEFAULT: u32, const MAX: u32> Limit<DEFAULT, MAX> {
    /// Number of rows.
    pub fn rows(self) -> u32 {
        self.0
    }
}

impl<const DEFAULT: u32, const MAX: u32> Default for Limit<DEFAULT, MAX> {
    fn default() -> Self {
        Self(DEFAULT)
    }
}

impl<'de, const DEFAULT: u32, const MAX: u32> Deserialize<'de> for Limit<DEFAULT, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let rows = text.parse().ok().filter(|rows| (1..=MAX).contains(rows));
        rows.map(Self)
            .ok_or_else(|| D::Error::custom(format!("expected a whole number from 1 to {MAX}")))
    }
}

impl<const DEFAULT: u32, const MAX: u32> utoipa::PartialSchema for Limit<DEFAULT, MAX> {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::Integer)
            .minimum(Some(1))
            .maximum(Some(MAX))
            .default(Some(DEFAULT.into()))
            .into()
    }
}

impl<const DEFAULT: u32, const MAX: u32> utoipa::ToSchema for Limit<DEFAULT, MAX> {
    fn name() -> Cow<'static, str> {
        "Limit".into()
    }
}

/// A page being collected.
#[derive(Debug)]
pub struct Page<T> {
    rows: Vec<T>,
    rows_max: usize,
    bytes: usize,
    bytes_max: usize,
    more: bool,
}

impl<T> Page<T> {
    /// An empty page of at most `rows_max` rows and about `bytes_max` bytes.
    pub fn new(rows_max: u32, bytes_max: usize) -> Self {
        Self {
            rows: Vec::new(),
            rows_max: rows_max as usize,
            bytes: 0,
            bytes_max,
            more: false,
        }
    }

    /// Adds a row of about `bytes`, or drops it if it belongs to the next page. Breaks if the page is full by size. If
    /// it is full by rows, the extra row is the last of its statement, and reading to the end keeps the connection
    /// reusable.
    pub fn push(&mut self, row: T, bytes: usize) -> ControlFlow<()> {
        let too_large = !self.rows.is_empty() && self.bytes.saturating_add(bytes) > self.bytes_max;
        self.more |= too_large || self.rows.len() == self.rows_max;
        if self.more {
            return if too_large {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            };
        }
        self.bytes = self.bytes.saturating_add(bytes);
        self.rows.push(row);
        ControlFlow::Continue(())
    }

    /// Whether others follow.
    pub fn has_more(&self) -> bool {
        self.more
    }

    /// The last row, if others follow: the next page starts after it.
    pub fn continues_after(&self) -> Option<&T> {
        self.rows.last().filter(|_| self.more)
    }

    /// The rows, owned.
    pub fn into_rows(self) -> Vec<T> {
        self.rows
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_row_larger_than_a_page_has_a_page_of_its_own() {
        let mut page = Page::new(10, 100);
        assert!(page.push("large", 1_000).is_continue());
        assert!(page.push("next", 1).is_break());
        assert_eq!(page.continues_after(), Some(&"large"));
    }

    proptest! {
        #[test]
        fn pages_hold_every_row_once(sizes in prop::collection::vec(0usize..50, 0..60), rows_max in 1u32..8) {
            let (mut start, mut seen) = (0, Vec::new());
            loop {
                let mut page = Page::new(rows_max, 100);
                for (index, &bytes) in sizes.iter().enumerate().skip(start) {
                    if page.push(index, bytes).is_break() {
                        break;
                    }
                }
                let next = page.continues_after().map(|last| last + 1);
                seen.extend(page.into_rows());
                match next {
                    Some(next) => start = next,
                    None => break,
                }
            }
            prop_assert_eq!(seen, (0..sizes.len()).collect::<Vec<_>>());
        }
    }
}
