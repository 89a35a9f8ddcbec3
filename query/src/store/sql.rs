//! SQL text that contains nothing a caller sent.
//!
//! It is built only from texts of this program (`&'static str`) and from numbers, and no function takes anything else:
//! what a caller sent can only be a bound parameter. Pure.

use std::ops::Range;

/// A piece of a statement.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sql(String);

impl Sql {
    /// Concatenates the pieces.
    pub fn concat<const N: usize>(pieces: [&'static str; N]) -> Self {
        Self(pieces.concat())
    }

    /// Joins items with a separator.
    pub fn join(items: impl IntoIterator<Item = Sql>, between: &'static str) -> Self {
        let items: Vec<String> = items.into_iter().map(|item| item.0).collect();
        Self(items.join(between))
    }

    /// The bucket of a column's value, computed as in the aggregate stage.
    pub fn bucket_index(column: &'static str) -> Self {
        Self(horolog_schemas::buckets::bucket_index_sql(column))
    }

    /// Whether a partial aggregate of `metrics_hourly as …` counts, considering the visible rebuilds that meet a
    /// further condition.
    pub fn visible_epochs(of: &'static str, and: &'static str) -> Self {
        let rebuilds = format!("({}{and})", horolog_schemas::epochs::VISIBLE_REBUILDS_SQL);
        Self(horolog_schemas::epochs::visible_epochs_sql(of, &rebuilds))
    }

    /// The same if no rebuild is visible.
    pub fn unrebuilt_epochs(of: &'static str) -> Self {
        Self(horolog_schemas::epochs::unrebuilt_epochs_sql(of))
    }

    /// A hash of the set of visible rebuilds; 0 if none is visible.
    pub fn visible_rebuilds_hash() -> Self {
        let rebuilds = horolog_schemas::epochs::VISIBLE_REBUILDS_SQL;
        Self(format!(
            "sipHash64(arraySort(({rebuilds}) as visible_rebuilds)) * notEmpty(visible_rebuilds)"
        ))
    }

    /// An array of the numbers from the start to the end of each of these ranges, in steps.
    pub fn stepped(ranges: &[Range<i64>], step: i64) -> Self {
        let ranges: Vec<String> = (ranges.iter())
            .map(|range| format!("range({}, {}, {step})", range.start, range.end))
            .collect();
        Self(format!("arrayConcat({})", ranges.join(", ")))
    }

    /// Appends a piece.
    pub fn then(mut self, piece: impl Into<Sql>) -> Self {
        self.0.push_str(&piece.into().0);
        self
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&'static str> for Sql {
    fn from(text: &'static str) -> Self {
        Self(text.to_owned())
    }
}
