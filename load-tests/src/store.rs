//! What a measurement asks ClickHouse: how far the rows are, what parts hold them, whether they are right.
//!
//! Never writes a row. Questions that are asked many times a second are about parts' headers and small tables; what they
//! cost the engine is part of its figures.

use clickhouse::{Client, Row};
use horolog_schemas::Kind;
use serde::{Deserialize, Serialize};

use crate::recorder::BUCKET_OFFSETS;

type Result<T> = clickhouse::error::Result<T>;

/// The database under test.
#[derive(Clone)]
pub struct Store(Client);

/// What the parts of a table hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Row, Serialize, Deserialize)]
pub struct Parts {
    /// The table.
    pub table: String,
    /// Parts that inserts have made since the table was made; merged ones count as the parts that they were.
    pub made: i64,
    /// Parts now.
    pub active: u64,
    /// Rows now.
    pub rows: u64,
    /// Compressed size now.
    pub bytes: u64,
}

/// How far a stage is in a partition, by its ledger.
#[derive(Debug, Clone, PartialEq, Eq, Row, Deserialize)]
pub struct End {
    /// `ingest`, `aggregate`.
    pub stage: String,
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// Offset after the last record of its last batch.
    pub end: i64,
}

/// Rows of neighbouring offsets.
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

/// What the hours say of some tenants.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Row, Serialize, Deserialize)]
pub struct HoursOf {
    /// Records that they count.
    pub records: u64,
    /// Hours of a series that are not those of its raw rows.
    pub different: u64,
}

/// A table with one row a record, and the column that tells whose it is.
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
            // Keys begin with the tenant.
            Self::Rejected => ("rejected_records", "record_key"),
        }
    }

    /// What else holds of a record that was sent: a run's own questions leave a trail of audit events in the tenants they ask about.
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

    /// Raw rows.
    pub async fn stored(&self) -> Result<u64> {
        self.0.query("select count() from metrics").fetch_one().await
    }

    /// Records in the hourly aggregates.
    pub async fn aggregated(&self) -> Result<u64> {
        self.0.query("select sum(count) from metrics_hourly").fetch_one().await
    }

    /// A client for what others ask of the database.
    pub fn client(&self) -> &Client {
        &self.0
    }

    /// Of each stage and partition, the offset up to which its batches are stored, exclusive. A batch's ledger row is written
    /// after its rows, so a record is visible a little earlier than it is said here. The rows themselves would tell it to the
    /// millisecond; asked often enough for that, they would cost the engine more than storing them. Only batches since a time
    /// are looked at, so that an old ledger costs no more than a young one.
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

    /// Different records among the rows of one bucket.
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

    /// The hours of tenants with this prefix (the empty one is of all), as analysts see them, against their raw rows. A record
    /// lost here and another doubled there keep the count, but not the sum.
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

    /// All tables. Block numbers are given once for each part that is inserted.
    pub async fn parts(&self) -> Result<Vec<Parts>> {
        let query = "select p.table as table, max(p.max_block_number) as made, count() as active, sum(p.rows) as rows,
            sum(p.bytes_on_disk) as bytes from system.parts as p where p.database = currentDatabase() and p.active
            group by p.table order by p.table";
        self.0.query(query).fetch_all().await
    }

    /// Merges the raw samples of a day into one part; gives its rows and bytes.
    pub async fn merged_day(&self, day: &str) -> Result<(u64, u64)> {
        let optimize = format!("optimize table metrics partition '{day}' final");
        self.0.query(&optimize).execute().await?;
        let query = "select sum(rows), sum(bytes_on_disk) from system.parts
            where database = currentDatabase() and table = 'metrics' and partition = ? and active";
        self.0.query(query).bind(day).fetch_one().await
    }

    /// Different records among the raw rows, by their place in the log.
    pub async fn different(&self) -> Result<u64> {
        // Bitmaps of offsets: exact as a set is, in a hundredth of its memory.
        let query = "select sum(offsets) from (select groupBitmap(toUInt64(kafka_offset)) as offsets
            from metrics group by kafka_partition, log_epoch)";
        self.0.query(query).fetch_one().await
    }

    /// Rejected records.
    pub async fn rejected(&self) -> Result<u64> {
        self.0.query("select count() from rejected_records").fetch_one().await
    }

    /// Records of the batches of a stage, by its ledger.
    pub async fn in_ledger(&self, stage: &str) -> Result<u64> {
        let query = "select sum(records) from batch_ledger final where stage = ? and kafka_topic = 'metrics'";
        self.0.query(query).bind(stage).fetch_one().await
    }
}
