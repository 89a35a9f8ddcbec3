//! What a table says itself of how long its rows live: expressions over `create_table_query` of `system.tables`, as ClickHouse writes it.
//!
//! No question mark is in them: the client takes one for a placeholder.

/// Life of a lease by the table's constraint, seconds; 0 where it has none.
pub const LEASE_S: &str = "toUInt64OrZero(extract(create_table_query, 'toIntervalSecond\\\\((\\\\d+)\\\\)'))";

/// Of the rules of a table those that recompress or move do not count.
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

/// After how many days the table deletes rows by age; 0 where it never does, or counts in months.
pub const DAYS_KEPT: &str = kept!("Day");

/// Likewise in months.
pub const MONTHS_KEPT: &str = kept!("Month");
