//! What is wrong in a batch, as rows of `incidents`: times that are ahead, tenants with too many keys.
//!
//! The block is inserted with the batch, under its token. Pure; no block if nothing is wrong.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, UInt64Array};
use chrono::DateTime;
use horolog_stage::incident::{Reason, TABLE};
use horolog_stage::range::Range;
use horolog_stage::stage::Block;

use crate::block::BlockError;
use crate::columns::seconds;
use crate::key::HOUR_S;
use crate::overflow::{OVERFLOW_METRIC, Overflow};
use crate::partial::Ahead;
use crate::revisions::coordinates;

/// One thing that is wrong.
struct BatchIncident {
    reason: Reason,
    tenant_id: String,
    /// Seconds since 1970.
    hour: i64,
    /// First offset, and the one after the last.
    offsets: (i64, i64),
    records: u64,
    detail: String,
}

/// The block of a batch.
pub fn incidents(range: &Range, ahead: Option<Ahead>, overflow: &Overflow) -> Result<Option<Block>, BlockError> {
    let overflowed = overflow.iter().map(|((tenant_id, hour), folded)| BatchIncident {
        reason: Reason::KeysOverflowed,
        tenant_id: tenant_id.clone(),
        hour: i64::from(*hour),
        offsets: (range.start, range.end),
        records: folded.records,
        detail: format!(
            "{} keys are beyond aggregate.keys_per_tenant_max: they are added up under the metric {OVERFLOW_METRIC}",
            folded.keys
        ),
    });
    let incidents: Vec<BatchIncident> = ahead.map(clock_ahead).into_iter().chain(overflowed).collect();
    if incidents.is_empty() {
        return Ok(None);
    }
    let text = |of: fn(&BatchIncident) -> &str| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(incidents.iter().map(of)))
    };
    let offset = |of: fn(&BatchIncident) -> i64| -> ArrayRef {
        Arc::new(Int64Array::from_iter_values(incidents.iter().map(of)))
    };
    let records = UInt64Array::from_iter_values(incidents.iter().map(|incident| incident.records));
    let mut columns: Vec<(&str, ArrayRef)> = vec![
        ("stage", text(|_| "aggregate")),
        ("reason", text(|incident| incident.reason.code())),
        ("start_offset", offset(|incident| incident.offsets.0)),
        ("end_offset", offset(|incident| incident.offsets.1)),
        ("hour", seconds(incidents.iter().map(|incident| incident.hour))),
        ("tenant_id", text(|incident| &incident.tenant_id)),
        ("metric_name", text(|_| "")),
        ("records", Arc::new(records)),
        ("detail", text(|incident| &incident.detail)),
    ];
    columns.extend(coordinates(range, incidents.len()));
    Ok(Some(Block {
        table: TABLE,
        pieces: vec![RecordBatch::try_from_iter(columns)?],
    }))
}

fn clock_ahead(ahead: Ahead) -> BatchIncident {
    let latest = DateTime::from_timestamp_millis(ahead.latest_ms).unwrap_or_default();
    let hour = latest.timestamp().div_euclid(i64::from(HOUR_S)) * i64::from(HOUR_S);
    BatchIncident {
        reason: Reason::ClockAhead,
        tenant_id: String::new(),
        hour: hour.clamp(0, u32::MAX.into()),
        offsets: (ahead.first_offset, ahead.last_offset + 1),
        records: ahead.records,
        detail: format!(
            "the times of {} records are ahead of most of their batch or of the clock, the furthest is {}: they are counted \
             in their hours and do not move the watermark; either their clocks are ahead, or most records carry old Kafka \
             timestamps (leave those to the Kafka client, or set message.timestamp.type=LogAppendTime)",
            ahead.records,
            latest.to_rfc3339(),
        ),
    }
}
