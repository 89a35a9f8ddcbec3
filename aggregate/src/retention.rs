//! How long `metrics_hourly` keeps an hour, computed as the table does.

use chrono::{DateTime, Months, Utc};

/// Whether the table, which keeps hours for this many months, deletes this one (its start, seconds since 1970). Months
/// are added to the hour, as in the table's TTL: subtracted from the current time, they would give another day at the
/// end of a month.
pub fn has_expired(hour: u32, months: Months, now: DateTime<Utc>) -> bool {
    let start = DateTime::from_timestamp(hour.into(), 0);
    let end = start.and_then(|start| start.checked_add_months(months));
    end.is_some_and(|end| end < now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_of_the_last_day_of_january_ends_with_february() {
        let at = |time: &str| time.parse::<DateTime<Utc>>().unwrap();
        let hour = at("2026-01-31T00:00:00Z").timestamp() as u32;
        assert!(!has_expired(hour, Months::new(1), at("2026-02-28T00:00:00Z")));
        assert!(has_expired(hour, Months::new(1), at("2026-02-28T00:00:01Z")));
    }
}
