//! Months, by which the table of audit events is partitioned.

use std::sync::Arc;
use std::time::{Duration, Instant as Monotonic};

use chrono::{NaiveDate, TimeZone, Utc};
use clickhouse::Row;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use crate::access::KeyLimits;
use crate::api::{Problem, RequestId};
use crate::store::Store;

/// How long the months are cached.
const KNOWN_FOR: Duration = Duration::from_secs(60);
/// Counts rows of all tenants: never shown to callers.
const SQL: &str = "select toUInt32OrZero(p.partition) as month, sum(p.rows) as rows from system.parts as p \
    where p.active and p.database = currentDatabase() and p.table = 'audit_logs' group by month order by month";

/// Number of rows in a month.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Row, Serialize, Deserialize)]
pub struct MonthRows {
    /// Month, such as `202601`.
    pub month: u32,
    /// Rows.
    pub rows: u64,
}

/// The months that the table has, at most a minute old.
#[derive(Debug, Clone, Default)]
pub struct Months(Arc<Mutex<Option<Seen>>>);

/// When they were read, and the result.
type Seen = (Monotonic, Arc<[MonthRows]>);

impl Months {
    /// The months in order.
    pub async fn known(&self, store: &Store, request: &RequestId) -> Result<Arc<[MonthRows]>, Problem> {
        let mut known = self.0.lock().await;
        if let Some((at, months)) = &*known
            && at.elapsed() < KNOWN_FOR
        {
            return Ok(months.clone());
        }
        let months: Arc<[MonthRows]> = store.system(request, &KeyLimits::default(), SQL).await?.into();
        *known = Some((Monotonic::now(), months.clone()));
        Ok(months)
    }
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
