//! One look at the store for all who wait for one: how far metrics are complete, and what their hours are made of.
//!
//! Enters: the wish to know, at a moment. Leaves: the progress of the topic's partitions, then, read after it, the contents of each month: a
//! number that is another one whenever a part of the table came, went or was merged, or another rebuild is visible. Guarantees: what is
//! told was read after it was asked for. While one look is under way all others who ask wait for the next one, so that any number of requests cost the store
//! one look at a time. Who leaves while looking leaves it to the next.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Instant as Monotonic;

use chrono::{DateTime, Datelike, Utc};
use clickhouse::Row;
use horolog_stage::completeness::PartitionProgress;
use serde::Deserialize;
use tokio::sync::Mutex;

use crate::api::instant::{Instant, Span};
use crate::api::{Problem, RequestId};
use crate::store::{Sql, Store};

/// Parts never change: one that is made of others, or of new rows, has another name. A table that was made again has other bytes under the same names.
const OF_PARTS: MonthsSql = (
    "select toUInt32(p.partition) as month, sum(sipHash64(p.name, p.hash_of_all_files)) as parts, any(",
    ") as rebuilds from system.parts as p where p.active and p.database = currentDatabase() and p.table = 'metrics_hourly' group by month",
);
/// The same by reading a row of each part, for replicas: only what is read from a table has to be what the quorum has. It takes
/// some six times as long.
const OF_READ_PARTS: MonthsSql = (
    "select toUInt32(toYYYYMM(r.hour)) as month, sum(sipHash64(_part, r.inserted_at)) as parts, any(",
    ") as rebuilds from metrics_hourly as r where _part_offset = 0 group by month",
);
/// What is before and behind the hash of the visible rebuilds.
type MonthsSql = (&'static str, &'static str);

#[derive(Debug, Clone, Copy, Row, Deserialize)]
struct StoredMonth {
    /// Year and month as one number, UTC: 202601.
    month: u32,
    parts: u64,
    rebuilds: u64,
}

/// What was seen.
#[derive(Debug, Default)]
pub struct Look {
    /// The newest progress of each partition.
    pub progress: Vec<PartitionProgress>,
    months: HashMap<u32, (u64, u64)>,
}

/// What the hours of a span are made of. While it is the same, so are they.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Contents(u64);

#[cfg(test)]
impl Contents {
    /// Different from those of other numbers.
    pub fn numbered(number: u64) -> Self {
        Self(number)
    }
}

impl Look {
    /// What the hours of a span are made of, whose ends are known.
    pub fn contents(&self, span: Span) -> Option<Contents> {
        let (from, to) = (span.from?, span.to?);
        let mut hash = DefaultHasher::new();
        let last = month_of(Instant::from_micros(to.micros().saturating_sub(1)));
        let mut month = month_of(from);
        while month <= last {
            (month, self.months.get(&month)).hash(&mut hash);
            month += if month % 100 == 12 { 89 } else { 1 };
        }
        Some(Contents(hash.finish()))
    }
}

fn month_of(moment: Instant) -> u32 {
    let moment = DateTime::<Utc>::from_timestamp_micros(moment.micros()).unwrap_or_default();
    u32::try_from(moment.year()).unwrap_or_default() * 100 + moment.month()
}

type Seen = Result<Arc<Look>, Problem>;

/// The newest look, and when it was begun.
#[derive(Debug, Clone, Default)]
pub struct Looks(Arc<Mutex<Option<(Monotonic, Seen)>>>);

impl Looks {
    /// A look that is begun from now on.
    pub async fn now(&self, store: &Store, request: &RequestId, topic: &str) -> Seen {
        self.after(Monotonic::now(), async || look(store, request, topic).await)
            .await
    }

    async fn after(&self, asked: Monotonic, look: impl AsyncFnOnce() -> Seen) -> Seen {
        // Given in the order of asking: whoever is next looks for all behind.
        let mut newest = self.0.lock().await;
        if let Some((begun, seen)) = &*newest
            && *begun >= asked
        {
            return seen.clone();
        }
        let begun = Monotonic::now();
        let seen = look().await;
        *newest = Some((begun, seen.clone()));
        seen
    }
}

async fn look(store: &Store, request: &RequestId, topic: &str) -> Seen {
    // The progress comes first: what is claimed of it is then in the contents.
    let progress = store.progress(request, topic, None).await?;
    let (before, behind) = if store.has_replicas() { OF_READ_PARTS } else { OF_PARTS };
    let months = Sql::from(before).then(Sql::visible_rebuilds_hash()).then(behind);
    let months: Vec<StoredMonth> = store.log_rows(request, months, &[]).await?;
    let months = months
        .iter()
        .map(|row| (row.month, (row.parts, row.rebuilds)))
        .collect();
    Ok(Arc::new(Look { progress, months }))
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::atomic::{AtomicU32, Ordering};

    use futures_util::FutureExt;
    use tokio::sync::Semaphore;

    use super::*;

    fn at(text: &str) -> Instant {
        Instant::parse(text).unwrap()
    }

    #[test]
    fn contents_are_those_of_the_months_that_are_touched() {
        let seen = |months: &[(u32, u64)]| Look {
            progress: Vec::new(),
            months: months.iter().map(|(month, parts)| (*month, (*parts, 0))).collect(),
        };
        let span = Span::new(Some(at("2025-12-01")), Some(at("2026-02-01"))).unwrap();
        let before = seen(&[(202_512, 1), (202_601, 2), (202_602, 3)]).contents(span);
        for (months, same) in [
            (&[(202_512, 1), (202_601, 2), (202_602, 9)][..], true),
            (&[(202_512, 1), (202_601, 9)], false),
            (&[(202_512, 9), (202_601, 2)], false),
            (&[(202_601, 2)], false),
        ] {
            assert_eq!(seen(months).contents(span) == before, same, "{months:?}");
        }
    }

    #[tokio::test]
    async fn those_who_ask_during_a_look_share_the_next_one() {
        let looks = Looks::default();
        let (begun, may_end) = (AtomicU32::new(0), Semaphore::new(0));
        let ask = || {
            looks.after(Monotonic::now(), async || {
                begun.fetch_add(1, Ordering::Relaxed);
                may_end.acquire().await.unwrap().forget();
                Ok(Arc::default())
            })
        };
        // Clocks may stand still for a moment.
        let tick = || {
            let now = Monotonic::now();
            while Monotonic::now() == now {}
        };
        let mut first = pin!(ask());
        assert!(first.as_mut().now_or_never().is_none());
        tick();
        let mut others = [Box::pin(ask()), Box::pin(ask()), Box::pin(ask())];
        for other in &mut others {
            assert!(other.now_or_never().is_none());
        }
        may_end.add_permits(1);
        assert!(matches!(first.now_or_never(), Some(Ok(_))));
        let [second, third, fourth] = others;
        assert!(second.now_or_never().is_none(), "it is looking, and leaves");
        may_end.add_permits(1);
        assert!(matches!(third.now_or_never(), Some(Ok(_))));
        assert!(matches!(fourth.now_or_never(), Some(Ok(_))));
        assert_eq!(begun.load(Ordering::Relaxed), 3);
        tick();
        assert!(ask().now_or_never().is_none(), "a look from before is not one of now");
    }
}
