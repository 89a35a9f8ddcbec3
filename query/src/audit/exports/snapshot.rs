//! A snapshot: up to which offset of each partition the ledger vouches for rows, and what it says of them.
//!
//! Enters: rows of the ledger, aggregated by the engine. Leaves: [`Log`]s, and the condition that keeps an export
//! within them: what ingest stores later is beyond their ends, so the same snapshot always gives the same rows. Pure.
//!
//! The ranges of a partition are contiguous if each begins where another ends, except for the first and the last. The
//! engine checks that with two sums of hashes, so that years of batches are one row here.

use clickhouse::Row;
use horolog_schemas::migrate::stated::{DAYS_KEPT, MONTHS_KEPT};
use serde::{Deserialize, Serialize};

use crate::access::Caller;
use crate::audit::filter::Conditions;
use crate::audit::months::MonthRows;
use crate::store::{Parameter, Relation, Sql, TenantSelect};

/// Where the snapshot ends in the partition and log epoch of a row. Both are combined into one number: the engine looks
/// up millions of numbers in the time of a hundred thousand strings.
macro_rules! end_of {
    ($row:literal) => {
        concat!(
            "transform(toUInt64(",
            $row,
            ".log_epoch) * 4294967296 + toUInt32(",
            $row,
            ".kafka_partition), {log_keys:Array(UInt64)}, {log_ends:Array(Int64)}, toInt64(0))"
        )
    };
}

/// Only rows that the ledger vouched for when the snapshot was taken.
macro_rules! within {
    () => {
        concat!("r.kafka_topic = {topic:String} and r.kafka_offset < ", end_of!("r"))
    };
}

/// One row per partition and life of its log. `{topic:String}` is the topic of audit events. A batch of which the log
/// lost a part before it was repeated has no gap: its row counts what is stored of its offsets. Producers set the Kafka
/// timestamp of a record, so none counts for later than its batch was stored.
pub const LOGS_SQL: &str = "\
    select l.kafka_topic as topic, l.log_epoch as log_epoch, l.kafka_partition as partition, min(l.start_offset) as start_offset, \
    max(l.end_offset) as end_offset, count() as batches, sum(l.records) as records, \
    sumIf(l.rows, l.entry != 'gap') as rows, sumIf(l.rejected, l.entry != 'gap') as rejected, \
    sumIf(l.end_offset - l.start_offset - toInt64(l.rows + l.rejected), l.entry = 'gap') \
    + sumIf(l.end_offset - l.start_offset - toInt64(l.records), l.entry = 'recovered') as gap_offsets, \
    toBool(sum(cityHash64(l.start_offset)) - cityHash64(min(l.start_offset)) = \
    sum(cityHash64(l.end_offset)) - cityHash64(max(l.end_offset))) as contiguous, \
    minIf(l.first_timestamp, l.records > 0) as oldest_record_at, max(least(l.last_timestamp, l.inserted_at)) as newest_record_at, \
    max(l.inserted_at) as written_at \
    from batch_ledger as l final \
    where l.stage = 'ingest' and l.kafka_topic = {topic:String} and l.start_offset < l.end_offset \
    group by l.kafka_topic, l.log_epoch, l.kafka_partition order by topic, log_epoch, partition";

/// Rows by month, as the ledger counted them when they were stored.
pub const LEDGER_MONTHS_SQL: &str = concat!(
    "select toYYYYMM(hour) as month, sum(stored) as rows from ( \
     select arrayJoin(l.hours) as entry, entry.1 as hour, entry.2 as stored from batch_ledger as l final \
     where l.stage = 'ingest' and l.kafka_topic = {topic:String} and l.end_offset <= ",
    end_of!("l"),
    ") group by month order by month"
);

/// Rows by month that the table has now within the snapshot.
pub const STORED_MONTHS_SQL: &str = concat!(
    "select toYYYYMM(r.occurred_at) as month, count() as rows from audit_logs as r where ",
    within!(),
    " group by month order by month"
);

/// Rejected records within the snapshot, by the month in which they were stored, or that Kafka's timestamp claims if
/// later, and by reason. Their own time may be what is wrong with them.
pub const REJECTED_SQL: &str = concat!(
    "select toYYYYMM(greatest(r.kafka_timestamp, r.inserted_at)) as month, toString(r.reason) as reason, count() as records \
     from rejected_records as r where ",
    within!(),
    " group by month, reason order by month, reason"
);

/// Ranges that the broker no longer had when they were to be read, with when the record before them was sent and when
/// they were found: a gap has no other time, and no record counts for later than it was stored. The join keeps its
/// small side in memory.
pub const GAPS_SQL: &str = "\
    select g.log_epoch as log_epoch, g.kafka_partition as partition, g.start_offset as start_offset, g.end_offset as end_offset, \
    toInt64(g.stored) as stored, \
    max(toUnixTimestamp64Milli(least(l.last_timestamp, l.inserted_at))) as sent_after, \
    toUnixTimestamp64Milli(g.inserted_at) as sent_before \
    from batch_ledger as l final right join ( \
    select log_epoch, kafka_partition, start_offset, end_offset, rows + rejected as stored, inserted_at from batch_ledger final \
    where stage = 'ingest' and kafka_topic = {topic:String} and entry = 'gap' \
    order by log_epoch, kafka_partition, start_offset limit 1000) as g \
    on l.log_epoch = g.log_epoch and l.kafka_partition = g.kafka_partition and l.end_offset = g.start_offset \
    and l.stage = 'ingest' and l.kafka_topic = {topic:String} and l.entry != 'gap' \
    group by all order by log_epoch, partition, start_offset";

/// Partitions that the ledger knows from their first assignment, but has no record of.
pub const UNREAD_SQL: &str = "\
    select l.kafka_partition as partition from batch_ledger as l \
    where l.stage = 'ingest' and l.kafka_topic = {topic:String} \
    group by l.kafka_partition having countIf(l.start_offset < l.end_offset) = 0 order by partition";

/// Events before this time are old enough to be deleted, milliseconds since 1970; 0 if they are kept forever, no row if
/// the table does not tell.
pub fn kept_from() -> Sql {
    Sql::concat([
        "select if(days > 0, toUnixTimestamp64Milli(now64(3)) - toInt64(days) * 86400000, 0) as kept_from from ( select ",
        DAYS_KEPT,
        " as days, ",
        MONTHS_KEPT,
        " as months from system.tables where database = currentDatabase() and name = 'audit_logs') where days > 0 or months = 0",
    ])
}

const ROWS_BY_TOPIC: &str = "toString(r.kafka_topic) as topic, count() as rows";
const OF_OTHER_TOPICS: &str = "r.kafka_topic != {topic:String}";

/// The statement whose rows are [`TopicRows`]: rows of other topics that match the filter.
pub fn of_other_topics(caller: &Caller, filter: &Conditions, topic: &str) -> TenantSelect {
    let select = TenantSelect::new(caller, Relation::AuditLogs, ROWS_BY_TOPIC).and(OF_OTHER_TOPICS);
    let select = select.bind("topic", Parameter::Text(topic.to_owned()));
    filter.apply(select).then("group by topic order by topic")
}

/// The ledger's summary of one partition in one life of its log.
#[derive(Debug, Clone, PartialEq, Eq, Row, Serialize, Deserialize)]
pub struct Log {
    /// The topic.
    pub topic: String,
    /// Life of the log.
    pub log_epoch: u32,
    /// The partition.
    pub partition: i32,
    /// First offset in the ledger.
    pub start_offset: i64,
    /// Offset after the last; the export holds nothing from there on.
    pub end_offset: i64,
    /// Number of ranges.
    pub batches: u64,
    /// Records of the log in these ranges.
    pub records: u64,
    /// Of these, rows stored (of all tenants).
    pub rows: u64,
    /// Of these, rejected records (of all tenants).
    pub rejected: u64,
    /// Offsets that the broker no longer had when they were to be read, and those without a record in batches that a
    /// crash interrupted: the broker may not have had them any more, or they are transaction markers, or rows past
    /// their retention.
    pub gap_offsets: i64,
    /// Whether the ranges have neither gaps nor overlaps.
    pub contiguous: bool,
    /// Smallest Kafka timestamp among its records, milliseconds since 1970.
    pub oldest_record_at: i64,
    /// Largest Kafka timestamp among its records, or when those were stored if that is earlier, milliseconds since
    /// 1970.
    pub newest_record_at: i64,
    /// When the newest range was written, milliseconds since 1970.
    pub written_at: i64,
}

/// Offsets that were lost before they could be read.
#[derive(Debug, Clone, PartialEq, Eq, Row, Serialize, Deserialize)]
pub struct Gap {
    /// Life of the log.
    pub log_epoch: u32,
    /// The partition.
    pub partition: i32,
    /// First offset.
    pub start_offset: i64,
    /// Offset after the last.
    pub end_offset: i64,
    /// Of these, offsets that are rows or rejected records after all: a batch was stored but not yet in the ledger.
    #[serde(default)]
    pub stored: i64,
    /// When the newest record before it was sent, or stored if that is earlier, milliseconds since 1970; 0 if there is
    /// none.
    pub sent_after: i64,
    /// When it was found, milliseconds since 1970. Earlier releases wrote when the first records after it were stored,
    /// or 0 if there were none yet.
    pub sent_before: i64,
}

/// Rejected records by month and reason.
#[derive(Debug, Clone, PartialEq, Eq, Row, Serialize, Deserialize)]
pub struct Rejected {
    /// Month, such as `202601`, in which they came: when they happened could not be read.
    pub month: u32,
    /// Its stable code.
    pub reason: String,
    /// Number of records.
    pub records: u64,
}

/// Rows of a topic.
#[derive(Debug, Clone, PartialEq, Eq, Row, Serialize, Deserialize)]
pub struct TopicRows {
    /// The topic.
    pub topic: String,
    /// Number of rows, copies of events included.
    pub rows: u64,
}

/// The bounds of an export, frozen when it starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The topic of audit events.
    pub topic: String,
    /// Its partitions, in each life of their logs.
    pub logs: Vec<Log>,
    /// Rows by month as the ledger counted them, of all tenants.
    pub ledger_months: Vec<MonthRows>,
    /// Rows by month that the table has, of all tenants.
    pub stored_months: Vec<MonthRows>,
    /// Records that could not become rows, of all tenants.
    pub rejected: Vec<Rejected>,
    /// Offsets that were lost before they could be read; the first thousand gaps.
    pub gaps: Vec<Gap>,
    /// Partitions that the ledger knows but has no record of.
    #[serde(default)]
    pub unread: Vec<i32>,
    /// Rows of other topics that match the filter, which are in no file: events of a topic that was configured earlier.
    #[serde(default)]
    pub other_topics: Vec<TopicRows>,
    /// Events before this time were old enough to be deleted, milliseconds since 1970; 0 if they are kept forever.
    /// Absent if an earlier release did not write it, or left it out because they are kept forever.
    #[serde(default)]
    pub kept_from: Option<i64>,
}

impl Snapshot {
    /// The values of `log_keys` and `log_ends`.
    pub fn bounds(&self) -> [(&'static str, Parameter); 2] {
        let keys = self
            .logs
            .iter()
            .map(|log| i64::from(log.log_epoch) << 32 | i64::from(log.partition));
        let ends = self.logs.iter().map(|log| log.end_offset);
        [
            ("log_keys", Parameter::Integers(keys.collect())),
            ("log_ends", Parameter::Integers(ends.collect())),
        ]
    }

    /// Only rows within the snapshot.
    pub fn apply(&self, select: TenantSelect) -> TenantSelect {
        let select = select.and(within!()).bind("topic", Parameter::Text(self.topic.clone()));
        self.bounds()
            .into_iter()
            .fold(select, |select, (name, value)| select.bind(name, value))
    }
}
