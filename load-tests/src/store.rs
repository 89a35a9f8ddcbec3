//! The queries of a measurement to ClickHouse: how far the rows are, which parts hold them, whether they are correct.
//!
//! Never writes a row. Queries that run many times a second read only part headers and small tables; what they cost the
//! engine is included in its figures.

use clickhouse::{Client, Row};
use horolog_schemas::Kind;
use serde::{Deserialize, Serialize};

use crate::recorder::BUCKET_OFFSETS;

type Result<T> = clickhouse::error::Result<T>;

/// The database under test.
#[derive(Clone)]
pub struct Store(Client);

/// The contents of a table's parts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Row, Serialize, Deserialize)]
pub struct Parts {
    /// The table.
    pub table: String,
    /// Parts that inserts have created since the table was created; a merged part counts as its sources.
    pub made: i64,
    /// Active parts.
    pub active: u64,
    /// Current rows.
    pub rows: u64,
    /// Current compressed size.
    pub bytes: u64,
}

/// How far a stage has got in a partition, according to the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Row, Deserialize)]
pub struct End {
    /// `ingest`, `aggregate`.
    pub stage: String,
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// Offset after the last record of its newest batch.
    pub end: i64,
}

/// The rows of a bucket of neighbouring offsets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Row, Deserialize)]
pub struct BucketRows {
    /// The partition.
    pub partition: i32,
    /// Offset divided by the size of a bucket.
    pub bucket: i64,
    /// Rows.
    pub records: u64,
    /// Wrapping sum of `intHash64(kafka_offset)`.
    pub hashes: u64,
}

/// What the hourly aggregates say about some tenants.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Row, Serialize, Deserialize)]
pub struct HoursOf {
    /// Records that they count.
    pub records: u64,
    /// Hours of a series that differ from its raw rows.
    pub different: u64,
}

/// A table with one row per record, and the column that identifies its tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordTable {
    /// The rows of a kind.
    Rows(Kind),
    /// Rejected records.
    Rejected,
}

impl RecordTable {
    fn name_and_owner(self) -> (&'static str, &'static str) {
        match self {
            Self::Rows(kind) => (kind.table(), "tenant_id"),
            // A key begins with the tenant.
            Self::Rejected => ("rejected_records", "record_key"),
        }
    }

    /// A further condition on records that were sent: the run's own queries leave audit events in the tenants that they
    /// ask about.
    fn of_the_sender(self) -> &'static str {
        match self {
            Self::Rows(Kind::AuditEvent) => " and service_id != 'horolog-query'",
            Self::Rows(Kind::MetricSample) | Self::Rejected => "",
        }
    }
}

impl Store {
    /// The database with this address and password.
    pub fn new(url: &str, user: &str, password: &str, database: &str) -> Self {
        Self(
            Client::default()
                .with_url(url)
                .with_user(user)
                .with_password(password)
                .with_database(database),
        )
    }

    /// Number of raw rows.
    pub async fn stored(&self) -> Result<u64> {
        self.0.query("select count() from metrics").fetch_one().await
    }

    /// Number of records in the hourly aggregates.
    pub async fn aggregated(&self) -> Result<u64> {
        self.0.query("select sum(count) from metrics_hourly").fetch_one().await
    }

    /// The client, for other queries.
    pub fn client(&self) -> &Client {
        &self.0
    }

    /// For each stage and partition, the offset up to which its batches are stored, exclusive. A batch's ledger row is
    /// written after its rows, so a record is visible a little earlier than reported here. The rows themselves would be
    /// accurate to the millisecond, but querying them that often would cost the engine more than storing them. Only
    /// batches since a given time are read, so that an old ledger costs no more than a new one.
    pub async fn ends_in_ledger(&self, topics: &[&str], since_s: i64) -> Result<Vec<End>> {
        let query = "select stage, kafka_topic as topic, kafka_partition as partition,
                max((log_epoch, end_offset)).2 as end
            from batch_ledger where kafka_topic in ? and inserted_at > toDateTime(?) and entry in ('batch', 'recovered')
            group by stage, kafka_topic, kafka_partition";
        self.0.query(query).bind(topics).bind(since_s).fetch_all().await
    }

    /// Rows of a topic whose tenants have this prefix, by bucket of offsets.
    pub async fn buckets(&self, table: RecordTable, topic: &str, prefix: &str) -> Result<Vec<BucketRows>> {
        let ((name, owner), of_the_sender) = (table.name_and_owner(), table.of_the_sender());
        let query = format!(
            "select kafka_partition as partition, intDiv(kafka_offset, ?) as bucket, count() as records,
                sum(intHash64(kafka_offset)) as hashes
            from {name} where startsWith({owner}, ?) and kafka_topic = ?{of_the_sender} group by partition, bucket"
        );
        let query = self.0.query(&query).bind(BUCKET_OFFSETS).bind(prefix).bind(topic);
        query.fetch_all().await
    }

    /// Number of distinct records among the rows of a bucket.
    pub async fn different_in(
        &self,
        table: RecordTable,
        topic: &str,
        prefix: &str,
        (partition, bucket): (i32, i64),
    ) -> Result<u64> {
        let ((name, owner), of_the_sender) = (table.name_and_owner(), table.of_the_sender());
        let query = format!(
            "select uniqExact(kafka_offset) from {name} where startsWith({owner}, ?) and kafka_topic = ?
                and kafka_partition = ? and kafka_offset >= ? and kafka_offset < ?{of_the_sender}"
        );
        let query = self.0.query(&query).bind(prefix).bind(topic).bind(partition);
        let query = query.bind(bucket * BUCKET_OFFSETS).bind((bucket + 1) * BUCKET_OFFSETS);
        query.fetch_one().await
    }

    /// The hours of tenants with this prefix (all tenants if it is empty), as analysts see them, compared with their
    /// raw rows. Losing one record and doubling another would keep the count, but not the sum.
    pub async fn hours_of(&self, prefix: &str) -> Result<HoursOf> {
        let query = "select sum(hourly.rows) as records,
                countIf(raw.rows != hourly.rows or abs(raw.total - hourly.total) > 1e-9 * magnitude) as different
            from (
                select tenant_id, metric_name, service_id, toStartOfHour(time) as hour,
                    count() as rows, sum(value) as total, sum(abs(value)) as magnitude
                from metrics where startsWith(tenant_id, ?) group by tenant_id, metric_name, service_id, hour
            ) as raw full outer join (
                select tenant_id, metric_name, service_id, hour, sum(count) as rows, sum(sum) as total
                from metrics_hourly_view where startsWith(tenant_id, ?)
                group by tenant_id, metric_name, service_id, hour
            ) as hourly using (tenant_id, metric_name, service_id, hour)";
        self.0.query(query).bind(prefix).bind(prefix).fetch_one().await
    }

    /// The parts of all tables. Each inserted part gets the next block number, so the highest is their count.
    pub async fn parts(&self) -> Result<Vec<Parts>> {
        let query = "select p.table as table, max(p.max_block_number) as made, count() as active, sum(p.rows) as rows,
            sum(p.bytes_on_disk) as bytes from system.parts as p where p.database = currentDatabase() and p.active
            group by p.table order by p.table";
        self.0.query(query).fetch_all().await
    }

    /// Merges the raw samples of a day into one part; returns its rows and bytes.
    pub async fn merged_day(&self, day: &str) -> Result<(u64, u64)> {
        let optimize = format!("optimize table metrics partition '{day}' final");
        self.0.query(&optimize).execute().await?;
        let query = "select sum(rows), sum(bytes_on_disk) from system.parts
            where database = currentDatabase() and table = 'metrics' and partition = ? and active";
        self.0.query(query).bind(day).fetch_one().await
    }

    /// Number of distinct records among the raw rows, by their offsets.
    pub async fn different(&self) -> Result<u64> {
        // Bitmaps of offsets are as exact as a set, with a hundredth of its memory.
        let query = "select sum(offsets) from (select groupBitmap(toUInt64(kafka_offset)) as offsets
            from metrics group by kafka_partition, log_epoch)";
        self.0.query(query).fetch_one().await
    }

    /// Number of rejected records.
    pub async fn rejected(&self) -> Result<u64> {
        self.0.query("select count() from rejected_records").fetch_one().await
    }

    /// Records in the batches of a stage, according to the ledger.
    pub async fn in_ledger(&self, stage: &str) -> Result<u64> {
        let query = "select sum(records) from batch_ledger final where stage = ? and kafka_topic = 'metrics'";
        self.0.query(query).bind(stage).fetch_one().await
    }
}
