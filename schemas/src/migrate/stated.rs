//! What a table's definition says about how long its rows live: expressions over `create_table_query` of
//! `system.tables`, as ClickHouse formats it.
//!
//! They contain no question mark: the client would take it for a placeholder.

/// Lifetime of a lease according to the table's constraint, seconds; 0 if it has none.
pub const LEASE_S: &str = "toUInt64OrZero(extract(create_table_query, 'toIntervalSecond\\\\((\\\\d+)\\\\)'))";

/// Ignores TTL rules that recompress or move.
macro_rules! kept {
    ($unit:literal) => {
        concat!(
            "arrayMin(arrayMap(rule -> toUInt32(rule[1]), arrayFilter(rule -> rule[2] = '', \
             extractAllGroups(create_table_query, 'toInterval",
            $unit,
            "\\\\((\\\\d+)\\\\)( RECOMPRESS| TO ){0,1}'))))"
        )
    };
}

/// After how many days the table deletes rows by age; 0 if never, or if it counts in months.
pub const DAYS_KEPT: &str = kept!("Day");

/// The same in months.
pub const MONTHS_KEPT: &str = kept!("Month");
