//! Months, by which the table of audit events is divided.

use chrono::{NaiveDate, TimeZone, Utc};
use clickhouse::Row;
use serde::{Deserialize, Serialize};

/// Rows of a month.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Row, Serialize, Deserialize)]
pub struct MonthRows {
    /// As `202601`.
    pub month: u32,
    /// Rows.
    pub rows: u64,
}

/// First microsecond of a month and of the next.
pub fn bounds(month: u32) -> [i64; 2] {
    let (year, number) = (i32::try_from(month / 100).unwrap_or(1970), month % 100);
    let next = if number == 12 {
        (year + 1, 1)
    } else {
        (year, number + 1)
    };
    [(year, number), next].map(|(year, month)| {
        let first = NaiveDate::from_ymd_opt(year, month, 1).and_then(|date| date.and_hms_opt(0, 0, 0));
        first.map_or(0, |first| Utc.from_utc_datetime(&first).timestamp_micros())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_ends_where_the_next_begins() {
        assert_eq!(bounds(202512)[1], bounds(202601)[0]);
        assert_eq!(bounds(202601)[0], 1_767_225_600_000_000);
        assert_eq!(bounds(202402)[1] - bounds(202402)[0], 29 * 86_400 * 1_000_000);
    }
}
