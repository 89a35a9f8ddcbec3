//! One look at the store, shared by all who wait for one: how far metrics are complete, and what their hours are made
//! of.
//!
//! Enters: a request for a look. Leaves: the progress of the topic's partitions and, read after it, the contents of any
//! span: a hash that changes whenever a part of the table with hours of that span is added, removed or merged, or
//! another rebuild becomes visible. Guarantees: a result was valid after it was requested. Where the parts of the tables
//! are the same as before the last look, so is what it saw, and nothing else is read. While one look is in progress,
//! everybody who asks waits for the next one, so any number of requests cost the store one look at a time. If the
//! caller that runs a look disconnects, the next one runs it.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Instant as Monotonic;

use clickhouse::Row;
use horolog_stage::completeness::PartitionProgress;
use serde::Deserialize;
use tokio::sync::Mutex;

use crate::access::TenantId;
use crate::api::instant::{Instant, Span};
use crate::api::{Problem, RequestId};
use crate::metrics::epochs::Epochs;
use crate::store::{Sql, Store};

/// A hash of the parts of every table that a look reads.
const TABLES: &str = "select groupBitXor(sipHash64(p.table, p.name, p.hash_of_all_files)) from system.parts as p where p.active \
    and p.database = currentDatabase() and p.table in ('metrics_hourly', 'partition_progress', 'rebuilds')";
/// Parts are immutable: a part made of others, or of new rows, has another name. A table that was created again has
/// other hashes under the same names.
const OF_PARTS: PartsSql = (
    "select toUnixTimestamp(p.min_time) as first_hour, toUnixTimestamp(p.max_time) as last_hour, sipHash64(p.name, p.hash_of_all_files) as hash, ",
    " from system.parts as p where p.active and p.database = currentDatabase() and p.table = 'metrics_hourly'",
);
/// The same by reading a row of each part, for replicas: only reads from a table are guaranteed to see what the quorum
/// has. It takes about six times as long, and knows the hours of a part only to the month.
const OF_READ_PARTS: PartsSql = (
    "select toUnixTimestamp(toDateTime(toStartOfMonth(r.hour), 'UTC')) as first_hour, \
     toUInt32(toUnixTimestamp(toDateTime(toStartOfMonth(r.hour) + interval 1 month, 'UTC')) - 1) as last_hour, \
     sipHash64(_part, r.inserted_at) as hash, ",
    " from metrics_hourly as r where _part_offset = 0",
);
/// The SQL before and after the hash of the visible rebuilds.
type PartsSql = (&'static str, &'static str);

/// The span of each rebuild, seconds since 1970, and its tenant. Follows [`Sql::visible_rebuilds_hash`].
const SPANS_OF_REBUILDS: &str =
    ", arrayMap(b -> (toUnixTimestamp(b.2), toUnixTimestamp(b.3), b.4), visible_rebuilds) as rebuilt";

/// A part of the table.
#[derive(Debug, Clone, Row, Deserialize)]
struct TablePart {
    /// Lower bound of its hours. Seconds since 1970.
    first_hour: u32,
    /// Upper bound of its hours.
    last_hour: u32,
    /// Unique to the part.
    hash: u64,
    /// Hash of the visible rebuilds, the same for all parts; 0 if none is visible.
    rebuilds: u64,
    /// Span and tenant of each visible rebuild; an empty tenant means all. The same for all parts.
    rebuilt: Vec<(u32, u32, String)>,
}

impl TablePart {
    fn touches(&self, from: Instant, to: Instant) -> bool {
        Instant::from_seconds(self.first_hour) < to && Instant::from_seconds(self.last_hour) >= from
    }
}

/// The result of a look.
#[derive(Debug, Default)]
pub struct Look {
    /// [`TABLES`] before it; `None` with replicas, where the parts of one server do not tell.
    tables: Option<u64>,
    /// The newest progress of each partition.
    pub progress: Vec<PartitionProgress>,
    parts: Vec<TablePart>,
}

/// Identifies what the hours of a span are made of: as long as it is the same, so are they.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Contents(u64);

#[cfg(test)]
impl Contents {
    /// For tests: different for different numbers.
    pub fn numbered(number: u64) -> Self {
        Self(number)
    }
}

impl Look {
    /// Which partial aggregates count.
    pub fn epochs(&self) -> Epochs {
        match self.parts.first() {
            Some(part) if part.rebuilds == 0 => Epochs::Unrebuilt,
            _ => Epochs::Now,
        }
    }

    /// Whether a visible rebuild covers an hour of a tenant's span. True if the table has no parts, since nothing is
    /// known then.
    pub fn is_rebuilt(&self, tenant: &TenantId, span: Span) -> bool {
        let Some(part) = self.parts.first() else {
            return true;
        };
        let covers = |(from, to, of): &(u32, u32, String)| {
            let [from, to] = [*from, *to].map(Instant::from_seconds);
            let is_ours = of.is_empty() || of == tenant.as_str();
            is_ours && span.to.is_none_or(|end| from < end) && span.from.is_none_or(|start| to > start)
        };
        part.rebuilt.iter().any(covers)
    }

    /// What the hours of a span are made of; `None` if an end is open.
    pub fn contents(&self, span: Span) -> Option<Contents> {
        let (from, to) = (span.from?, span.to?);
        let touched = self.parts.iter().filter(|part| part.touches(from, to));
        let parts = touched.fold(0, |sum: u64, part| sum.wrapping_add(part.hash));
        let mut hash = DefaultHasher::new();
        (parts, self.parts.first().map(|part| part.rebuilds)).hash(&mut hash);
        Some(Contents(hash.finish()))
    }
}

type Seen = Result<Arc<Look>, Problem>;

/// The newest look, and when it, or its confirmation, began.
#[derive(Debug, Clone, Default)]
pub struct Looks(Arc<Mutex<Option<(Monotonic, Seen)>>>);

impl Looks {
    /// A look that begins no earlier than now.
    pub async fn now(&self, store: &Store, request: &RequestId, topic: &str) -> Seen {
        let look = async |last| look(store, request, topic, last).await;
        self.after(Monotonic::now(), look).await
    }

    async fn after(&self, asked: Monotonic, look: impl AsyncFnOnce(Option<Arc<Look>>) -> Seen) -> Seen {
        // The lock is fair: the next in line looks for all behind it.
        let mut newest = self.0.lock().await;
        if let Some((begun, seen)) = &*newest
            && *begun >= asked
        {
            return seen.clone();
        }
        let last = newest.as_ref().and_then(|(_, seen)| seen.as_ref().ok().cloned());
        let begun = Monotonic::now();
        let seen = look(last).await;
        *newest = Some((begun, seen.clone()));
        seen
    }
}

async fn look(store: &Store, request: &RequestId, topic: &str, last: Option<Arc<Look>>) -> Seen {
    let tables = match store.has_replicas() {
        true => None,
        false => store.log_rows(request, TABLES, &[]).await?.first().copied(),
    };
    if let Some(last) = last
        && tables.is_some()
        && last.tables == tables
    {
        return Ok(last);
    }
    // Progress first: whatever it claims is then in the contents.
    let progress = store.progress(request, topic, None).await?;
    let (before, behind) = if store.has_replicas() { OF_READ_PARTS } else { OF_PARTS };
    let rebuilds = Sql::visible_rebuilds_hash()
        .then(" as rebuilds")
        .then(SPANS_OF_REBUILDS);
    let parts = Sql::from(before).then(rebuilds).then(behind);
    let parts = store.log_rows(request, parts, &[]).await?;
    Ok(Arc::new(Look {
        tables,
        progress,
        parts,
    }))
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

    /// Parts from the first to the last given day of 1970, each with its number.
    fn seen(parts: &[(u32, u32, u64)], rebuilds: u64) -> Look {
        let part = |&(first_day, last_day, hash): &(u32, u32, u64)| TablePart {
            first_hour: first_day * 86_400,
            last_hour: last_day * 86_400 + 82_800,
            hash,
            rebuilds,
            rebuilt: Vec::new(),
        };
        Look {
            tables: None,
            progress: Vec::new(),
            parts: parts.iter().map(part).collect(),
        }
    }

    #[test]
    fn contents_are_those_of_the_parts_that_are_touched() {
        let span = Span::new(Some(at("1970-01-11")), Some(at("1970-01-13"))).unwrap(); // days 10 and 11
        let before = seen(&[(0, 10, 1), (11, 11, 2), (12, 20, 3)], 0).contents(span);
        for (parts, rebuilds, same) in [
            (&[(0, 10, 1), (11, 11, 2), (12, 12, 9), (13, 20, 9)][..], 0, true),
            (&[(0, 9, 9), (11, 11, 2), (0, 10, 1)], 0, true),
            (&[(0, 10, 1), (11, 11, 2)], 7, false),
            (&[(0, 10, 1), (11, 11, 2), (11, 11, 9)], 0, false),
            (&[(0, 11, 9)], 0, false),
            (&[(0, 10, 1)], 0, false),
            (&[], 0, false),
        ] {
            assert_eq!(seen(parts, rebuilds).contents(span) == before, same, "{parts:?}");
        }
    }

    #[test]
    fn nothing_is_known_of_rebuilds_where_there_are_no_parts() {
        assert_eq!(seen(&[(0, 1, 1)], 0).epochs(), Epochs::Unrebuilt);
        assert_eq!(seen(&[(0, 1, 1)], 7).epochs(), Epochs::Now);
        assert_eq!(seen(&[], 0).epochs(), Epochs::Now);
    }

    #[tokio::test]
    async fn those_who_ask_during_a_look_share_the_next_one() {
        let looks = Looks::default();
        let (begun, may_end) = (AtomicU32::new(0), Semaphore::new(0));
        let ask = || {
            looks.after(Monotonic::now(), async |_| {
                begun.fetch_add(1, Ordering::Relaxed);
                may_end.acquire().await.unwrap().forget();
                Ok(Arc::default())
            })
        };
        // The clock may not advance between two calls.
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
