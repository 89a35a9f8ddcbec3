//! Hours as a whole: the visible counts, the ledger's counts, and the number of raw rows.
//!
//! The ledger keeps the records of each batch by hour for years, so an hour can still be checked after its raw rows
//! have expired.

use std::collections::BTreeMap;

use clickhouse::Row;
use horolog_stage::store::Store;
use serde::Deserialize;

use super::finding::{Finding, Span};
use super::keys::GROUP_BYTES_MAX;
use crate::block::HOURLY_TABLE;
use crate::cut::Cut;
use crate::key::HOUR_S;
use crate::ledger::{self, HourBatch, STORED};
use crate::scope::Scope;
use crate::tool_error::ToolError;

/// Maximum number of batches reported for a differing hour.
const SPANS_MAX: usize = 20;

/// What is known of an hour as a whole.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Total {
    /// Visible count.
    pub hours: u64,
    /// Visible late count.
    pub late: u64,
    /// The ledger's count.
    pub ledger: u64,
    /// The ledger's count of late records.
    pub ledger_late: u64,
    /// Raw rows.
    pub raw: u64,
}

/// The totals of all hours in scope that any source knows. Hours first: what arrives meanwhile is seen by asking the
/// ledger afterwards.
pub async fn read(store: &Store, scope: &Scope, cut: &Cut) -> Result<BTreeMap<u32, Total>, ToolError> {
    let mut totals: BTreeMap<u32, Total> = BTreeMap::new();
    store.catch_up(&[HOURLY_TABLE]).await?;
    let query = format!(
        "select toUnixTimestamp(hour) as start, sum(h.count), sum(h.late_count) from visible_partials as h where {} group by start",
        scope.hourly_condition()
    );
    for (hour, count, late) in store.client.query(&query).fetch_all::<(u32, u64, u64)>().await? {
        let total = totals.entry(hour).or_default();
        (total.hours, total.late) = (count, late);
    }
    let query = format!(
        "select toUnixTimestamp(entry_hour.1) as start, sum(entry_hour.2), \
         sumIf(entry_hour.2, entry_hour.1 + {HOUR_S} <= watermark) from ( \
           select watermark, arrayJoin({in_scope}) as entry_hour \
           from batch_ledger final where stage = 'aggregate' and {STORED} and {before}) group by start",
        in_scope = scope.ledger_hours(),
        before = cut.condition("start_offset"),
    );
    for (hour, count, late) in store.client.query(&query).fetch_all::<(u32, u64, u64)>().await? {
        let total = totals.entry(hour).or_default();
        (total.ledger, total.ledger_late) = (count, late);
    }
    for (hour, raw) in ledger::raw_counts(store, scope, cut).await? {
        totals.entry(hour).or_default().raw = raw;
    }
    Ok(totals)
}

impl Total {
    /// An hour whose visible count is not the ledger's.
    pub fn hour_against_ledger(&self, hour: u32, offsets: Vec<Span>) -> Finding {
        Finding::HourAgainstLedger {
            hour,
            count: (self.hours, self.ledger),
            late: (self.late, self.ledger_late),
            offsets,
        }
    }

    /// An hour that has not as many raw rows as the ledger counts.
    pub fn raw_against_ledger(&self, hour: u32, offsets: Vec<Span>) -> Finding {
        Finding::RawAgainstLedger {
            hour,
            count: (self.raw, self.ledger),
            offsets,
        }
    }
}

#[derive(Debug, Row, Deserialize)]
struct Counted {
    kafka_topic: String,
    kafka_partition: i32,
    log_epoch: u32,
    batch_start: i64,
    in_batch: u64,
    offsets: u64,
    first: i64,
    last: i64,
}

impl Counted {
    /// These rows as if no batch of the ledger had them.
    fn span(&self) -> Span {
        Span {
            log: format!("{}/{}", self.kafka_topic, self.kafka_partition),
            log_epoch: self.log_epoch,
            start: self.first,
            end: self.last + 1,
            ledger: Some(0),
            raw: self.in_batch,
        }
    }
}

impl Span {
    /// A batch of the ledger, whose raw rows are not counted yet.
    fn of(batch: &HourBatch) -> Self {
        Self {
            log: batch.log.to_string(),
            log_epoch: batch.start.log_epoch,
            start: batch.start.offset,
            end: batch.end,
            ledger: Some(batch.hours.values().sum()),
            raw: 0,
        }
    }
}

/// Why the raw rows of an hour are not what the ledger counts: batches with too few or too many and rows in no batch;
/// and duplicate offsets.
pub async fn raw_culprits(store: &Store, hour: u32, cut: &Cut) -> Result<(Vec<Span>, Vec<Span>), ToolError> {
    let scope = Scope::all(hour, hour + HOUR_S);
    let batches = ledger::batches(store, &scope, cut).await?;
    let mut without_rows: BTreeMap<(String, u32, i64), Span> = batches
        .iter()
        .map(Span::of)
        .map(|span| ((span.log.clone(), span.log_epoch, span.start), span))
        .collect();
    let (mut differing, mut doubled) = (Vec::new(), Vec::new());
    for counted in raw_by_batch(store, &scope, cut).await? {
        let rows = counted.span();
        let batch = without_rows.remove(&(rows.log.clone(), rows.log_epoch, counted.batch_start));
        let span = batch.map_or_else(|| rows.clone(), |batch| Span { raw: rows.raw, ..batch });
        if counted.offsets < counted.in_batch {
            doubled.push(Span {
                ledger: span.ledger,
                ..rows
            });
        }
        if span.ledger != Some(span.raw) {
            differing.push(span);
        }
    }
    differing.extend(without_rows.into_values());
    differing.truncate(SPANS_MAX);
    doubled.truncate(SPANS_MAX);
    Ok((differing, doubled))
}

/// Raw rows of an hour by the batch of the aggregate stage that covers them; those in no batch have offset -1. `first`
/// and `last` are those of the duplicates if there are any.
async fn raw_by_batch(store: &Store, hour: &Scope, cut: &Cut) -> Result<Vec<Counted>, ToolError> {
    let query = format!(
        "select kafka_topic, kafka_partition, log_epoch, batch_start, sum(copies) as in_batch, count() as offsets, \
           if(in_batch > offsets, minIf(kafka_offset, copies > 1), min(kafka_offset)) as first, \
           if(in_batch > offsets, maxIf(kafka_offset, copies > 1), max(kafka_offset)) as last \
         from ({}) group by kafka_topic, kafka_partition, log_epoch, batch_start order by all",
        ledger::raw_by_batch(
            hour,
            cut,
            ["copies", "count()"],
            "group by kafka_topic, kafka_partition, log_epoch, kafka_offset"
        )
    );
    let query = store
        .client
        .query(&query)
        .with_setting("max_bytes_before_external_group_by", GROUP_BYTES_MAX.to_string());
    Ok(query.fetch_all().await?)
}

/// The batches that an hour is made of, and how many raw rows it has in each log.
pub async fn hour_culprits(store: &Store, hour: u32, cut: &Cut) -> Result<Vec<Span>, ToolError> {
    let scope = Scope::all(hour, hour + HOUR_S);
    let mut spans: Vec<Span> = Vec::new();
    for batch in ledger::batches(store, &scope, cut).await?.iter().map(Span::of) {
        match spans.last_mut() {
            Some(span) if (&span.log, span.log_epoch) == (&batch.log, batch.log_epoch) => {
                span.end = batch.end;
                span.ledger = span.ledger.zip(batch.ledger).map(|(known, more)| known + more);
            }
            _ => spans.push(batch),
        }
    }
    let mut raw: BTreeMap<(String, u32), u64> = BTreeMap::new();
    for rows in raw_by_batch(store, &scope, cut).await?.iter().map(Counted::span) {
        *raw.entry((rows.log, rows.log_epoch)).or_default() += rows.raw;
    }
    for span in &mut spans {
        span.raw = raw.get(&(span.log.clone(), span.log_epoch)).copied().unwrap_or(0);
    }
    spans.truncate(SPANS_MAX);
    Ok(spans)
}
