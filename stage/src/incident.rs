//! What was wrong, and where: rows of `incidents`, for operators and analysts.
//!
//! An incident is written when it is seen, outside the delivery protocol: losing it in a crash, or writing it twice,
//! changes no answer. What a batch itself shows to be wrong is a block of that batch instead, under its token.

use clickhouse::Row;
use serde::Serialize;

use crate::clock::now_ms;
use crate::range::PartitionId;
use crate::store::Store;

/// Name of the table.
pub const TABLE: &str = "incidents";

const HOUR_MS: i64 = 3_600_000;

/// The reasons, each with its code and its meaning.
macro_rules! reasons {
    ($($variant:ident $code:literal $meaning:literal,)*) => {
        /// Why an incident is one: the stable codes of the column `reason`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Reason {
            $(#[doc = $meaning] $variant,)*
        }

        impl Reason {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The code.
            pub const fn code(self) -> &'static str {
                match self { $(Self::$variant => $code,)* }
            }
        }
    };
}

reasons! {
    TopicRecreated "topic_recreated" "The topic was deleted and recreated, or lost its end.",
    OffsetsLost "offsets_lost" "The log lost records before they were read.",
    ClockJumped "clock_jumped" "The clock of this host jumped.",
    WatermarkRegressed "watermark_regressed" "The watermark of a partition begins anew, behind what was stated.",
    PartitionsChanged "partitions_changed" "The topic has more partitions than before.",
    ClockAhead "clock_ahead" "Records are ahead of most of their batch or of the clock: they do not move the watermark.",
    KeysOverflowed "keys_overflowed" "A tenant's hour has more keys in a batch than it may: those beyond are added up.",
    MetricTypeChanged "metric_type_changed" "A metric has samples of several types.",
    CounterResetTwice "counter_reset_twice" "A counter fell more than once within an hour.",
    RawExpired "raw_expired" "Raw rows that would be needed again are not there any more.",
    HoursDiffer "hours_differ" "The hours, the raw rows, the ledger and the log do not agree.",
}

/// A row, as the table has it.
#[derive(Debug, Clone, Default, Row, Serialize)]
pub struct Incident {
    /// Who saw it.
    pub stage: String,
    /// The code of a [`Reason`].
    pub reason: &'static str,
    /// Topic; empty where no log is concerned.
    pub kafka_topic: String,
    /// Partition.
    pub kafka_partition: i32,
    /// Life of the log.
    pub log_epoch: u32,
    /// First offset.
    pub start_offset: i64,
    /// Offset after the last; equal to the first if no record is concerned.
    pub end_offset: i64,
    /// Start of the hour, seconds since 1970; 0 if it is about no hour.
    pub hour: u32,
    /// Whose hour; empty for all tenants.
    pub tenant_id: String,
    /// Of which metric; empty for all.
    pub metric_name: String,
    /// Records concerned.
    pub records: u64,
    /// In words.
    pub detail: String,
    /// When it is written, ms since 1970.
    pub inserted_at: i64,
}

impl Incident {
    /// Of a partition at an offset.
    pub fn new(
        stage: &str,
        reason: Reason,
        id: &PartitionId,
        (log_epoch, offset): (u32, i64),
        at_ms: i64,
        detail: String,
    ) -> Self {
        Self {
            stage: stage.to_owned(),
            reason: reason.code(),
            kafka_topic: id.topic.to_string(),
            kafka_partition: id.partition,
            log_epoch,
            start_offset: offset,
            end_offset: offset,
            hour: (at_ms.div_euclid(HOUR_MS) * HOUR_MS / 1_000).try_into().unwrap_or(0),
            detail,
            inserted_at: now_ms(),
            ..Self::default()
        }
    }

    /// About an hour and no log; `hour` is in seconds since 1970, 0 if it is about no hour either.
    pub fn of_hour(stage: &str, reason: Reason, hour: u32, detail: String) -> Self {
        Self {
            stage: stage.to_owned(),
            reason: reason.code(),
            hour,
            detail,
            inserted_at: now_ms(),
            ..Self::default()
        }
    }

    /// About this many records, from its offset to before `end_offset`.
    pub fn of_offsets(self, end_offset: i64, records: u64) -> Self {
        Self {
            end_offset,
            records,
            ..self
        }
    }

    /// Logs it and stores it. Returns whether it is stored.
    pub async fn tell(self, store: &Store) -> bool {
        let Self {
            reason,
            kafka_topic,
            kafka_partition,
            detail,
            ..
        } = &self;
        tracing::warn!(reason, partition = %format_args!("{kafka_topic}/{kafka_partition}"), "{detail}");
        self.record(store).await
    }

    /// Stores it, and logs if that fails. Returns whether it is stored; the same row sent twice is stored once.
    pub async fn record(&self, store: &Store) -> bool {
        let Self {
            reason,
            kafka_topic,
            kafka_partition,
            hour,
            inserted_at,
            detail,
            ..
        } = self;
        let token = format!("incident/{reason}/{kafka_topic}/{kafka_partition}/{hour}/{inserted_at}/{detail}");
        let written = store.insert_row(TABLE, self, &token).await;
        if let Err(error) = &written {
            tracing::warn!(reason, %error, "cannot record the incident");
        }
        written.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_documented() {
        let documented = include_str!("../../ARCHITECTURE.md");
        let undocumented = |reason: &&Reason| !documented.contains(&format!("`{}`", reason.code()));
        assert_eq!(Reason::ALL.iter().find(undocumented), None);
    }
}
