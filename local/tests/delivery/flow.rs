//! One flow of records through both stages, on topics and in groups of its own, and what must hold of it afterwards.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use horolog_schemas::{MetricSample, MetricType};

use crate::bed::{Bed, Proc, Record, now_ms, wait_until};

/// How long everything that was produced may take to be stored.
pub const STORED_DEADLINE: Duration = Duration::from_secs(300);
/// Dead members are noticed soon.
const SESSION: &str = r#"{"session.timeout.ms"="6000","heartbeat.interval.ms"="1000"}"#;
const HOUR_MS: i64 = 3_600_000;

/// Both stages on a topic of samples.
pub struct Flow<'a> {
    pub bed: &'a Bed,
    pub topic: String,
    partitions: i32,
    sent: AtomicU64,
}

impl<'a> Flow<'a> {
    /// A new topic with this many partitions, and an empty one for audit events.
    pub fn new(bed: &'a Bed, name: &str, partitions: i32) -> Self {
        let topic = format!("{name}-{}", now_ms());
        bed.topic(&topic, partitions);
        bed.topic(&format!("{topic}-audit"), 1);
        Self {
            bed,
            topic,
            partitions,
            sent: AtomicU64::new(0),
        }
    }

    /// Starts ingest on the flow's topics.
    pub fn ingest(&self, env: &[(&str, &str)]) -> Proc {
        let audit = format!("{}-audit", self.topic);
        let group = format!("{}-ingest", self.topic);
        let mut all = vec![
            ("HOROLOG_INGEST__SOURCE__METRICS_TOPIC", self.topic.as_str()),
            ("HOROLOG_INGEST__SOURCE__AUDIT_TOPIC", audit.as_str()),
            ("HOROLOG_INGEST__SOURCE__GROUP", group.as_str()),
            ("HOROLOG_INGEST__KAFKA__PROPERTIES", SESSION),
        ];
        all.extend_from_slice(env);
        self.bed.spawn("horolog-ingest", &all)
    }

    /// Starts aggregate on the flow's topic.
    pub fn aggregate(&self, env: &[(&str, &str)]) -> Proc {
        let group = format!("{}-aggregate", self.topic);
        let mut all = vec![
            ("HOROLOG_AGGREGATE__SOURCE__METRICS_TOPIC", self.topic.as_str()),
            ("HOROLOG_AGGREGATE__SOURCE__GROUP", group.as_str()),
            ("HOROLOG_AGGREGATE__BATCH__AGE_MAX_MS", "500"),
            ("HOROLOG_AGGREGATE__KAFKA__PROPERTIES", SESSION),
        ];
        all.extend_from_slice(env);
        self.bed.spawn("horolog-aggregate", &all)
    }

    /// Asks a stage to end, and waits until it has ended with success. It handles signals only once it serves HTTP.
    #[track_caller]
    pub fn end(&self, stage: &mut Proc) {
        wait_until(STORED_DEADLINE, "the stage serves", || {
            assert!(stage.exited().is_none(), "{}", stage.log_tail());
            self.bed.try_get(&format!("{}/livez", stage.http())).is_ok()
        });
        stage.term();
        assert!(stage.wait(STORED_DEADLINE).success(), "{}", stage.log_tail());
    }

    /// Deletes and recreates the topic.
    pub fn recreate(&self) {
        self.bed.recreate_topic(&self.topic, self.partitions);
    }

    /// Deletes the records of a partition before an offset, as the topic's retention does.
    pub fn delete_before(&self, partition: i32, offset: i64) {
        let mut list = rdkafka::TopicPartitionList::new();
        list.add_partition_offset(&self.topic, partition, rdkafka::Offset::Offset(offset))
            .unwrap();
        let options = rdkafka::admin::AdminOptions::new();
        let deleted = self.bed.block_on(self.bed.admin().delete_records(&list, &options));
        deleted.unwrap();
    }

    /// Produces `records` records round robin over the partitions: samples of the last three hours, one in fifty not Avro.
    pub fn produce(&self, records: u64) {
        let first = self.sent.fetch_add(records, Ordering::SeqCst);
        let mut by_partition: BTreeMap<i32, Vec<Record>> = BTreeMap::new();
        for number in first..first + records {
            let partition = (number % self.partitions as u64) as i32;
            by_partition
                .entry(partition)
                .or_default()
                .push(self.record(number, now_ms() - (number % 3) as i64 * HOUR_MS));
        }
        for (partition, records) in by_partition {
            self.bed.produce(&self.topic, partition, &records);
        }
    }

    /// Produces samples with these times, ms, to partition 0.
    pub fn produce_at(&self, times_ms: impl IntoIterator<Item = i64>) {
        let first = self.sent.load(Ordering::SeqCst);
        let records: Vec<Record> = (first..)
            .zip(times_ms)
            .map(|(number, time)| self.sample(number, time))
            .collect();
        self.sent.fetch_add(records.len() as u64, Ordering::SeqCst);
        self.bed.produce(&self.topic, 0, &records);
    }

    /// The record of this number: a sample, or one in fifty not Avro.
    pub fn record(&self, number: u64, time_ms: i64) -> Record {
        if number % 50 == 49 {
            Record::of(format!("not avro {number}"))
        } else {
            self.sample(number, time_ms)
        }
    }

    /// The sample of this number.
    pub fn sample(&self, number: u64, time_ms: i64) -> Record {
        encoded(&self.metric_sample(number, time_ms))
    }

    /// A sample of now with a change.
    pub fn changed_sample(&self, change: impl FnOnce(&mut MetricSample)) -> Record {
        let mut sample = self.metric_sample(1, now_ms());
        change(&mut sample);
        encoded(&sample)
    }

    fn metric_sample(&self, number: u64, time_ms: i64) -> MetricSample {
        MetricSample {
            tenant_id: self.topic.clone(),
            time: time_ms * 1_000,
            metric_name: format!("metric_{}", number % 10),
            metric_type: MetricType::Gauge,
            service_id: format!("service_{}", number % 7),
            plugin_id: String::new(),
            user_id: String::new(),
            team_id: String::new(),
            environment: "test".to_owned(),
            value: number as f64 * 0.25,
            unit: "ms".to_owned(),
            labels: BTreeMap::from([("instance".to_owned(), format!("i-{}", number % 100))]),
        }
    }

    /// Counts records that a test produced itself.
    pub fn count_sent(&self, records: u64) {
        self.sent.fetch_add(records, Ordering::SeqCst);
    }

    /// Waits until both stages have everything in their ledgers.
    pub fn wait_until_stored(&self) {
        for stage in ["ingest", "aggregate"] {
            self.wait_until_stage_stored(stage);
        }
    }

    /// Waits until one stage has everything in its ledger.
    pub fn wait_until_stage_stored(&self, stage: &str) {
        self.wait_until_records(stage, &self.topic, self.sent.load(Ordering::SeqCst));
    }

    /// Waits until a stage has this many records of a topic in its ledger.
    pub fn wait_until_records(&self, stage: &str, topic: &str, records: u64) {
        wait_until(
            STORED_DEADLINE,
            &format!("{stage} has {records} records of {topic} in its ledger"),
            || self.records(stage, topic) >= records,
        );
    }

    /// Records of the flow's topic in a stage's ledger.
    pub fn ledger_records(&self, stage: &str) -> u64 {
        self.records(stage, &self.topic)
    }

    fn records(&self, stage: &str, topic: &str) -> u64 {
        self.bed.one(&format!(
            "select sum(records) from batch_ledger final where stage = '{stage}' and kafka_topic = '{topic}'"
        ))
    }

    /// Every produced record is stored once, by offset; the ledgers add up; the hours equal the raw rows.
    pub fn assert_exactly_once(&self) {
        let sent = self.sent.load(Ordering::SeqCst);
        self.assert_rows(sent);
        self.assert_ledger("ingest", sent);
        self.assert_ledger("aggregate", sent);
        self.assert_ledger_hours();
        self.assert_hours();
    }

    /// The hourly counts in ingest's ledger equal the raw rows.
    pub fn assert_ledger_hours(&self) {
        let topic = &self.topic;
        let ledger: Vec<(u32, u64)> = self.bed.sql(&format!(
            "select entry.1 as hour, sum(entry.2) from ( \
               select arrayJoin(hours) as entry from batch_ledger final where stage = 'ingest' and kafka_topic = '{topic}') \
             group by hour order by hour"
        ));
        let raw: Vec<(u32, u64)> = self.bed.sql(&format!(
            "select toUnixTimestamp(toStartOfHour(time)) as hour, count() from metrics where kafka_topic = '{topic}' \
             group by hour order by hour"
        ));
        assert_eq!(ledger, raw, "rows by hour of {topic}: by the ledger, and in the table");
    }

    /// Every produced record is in exactly one of the two tables.
    pub fn assert_rows(&self, sent: u64) {
        let topic = &self.topic;
        let (rows, offsets): (u64, u64) = self.bed.one(&format!(
            "select count(), uniqExact(log_epoch, kafka_partition, kafka_offset) from ( \
               select log_epoch, kafka_partition, kafka_offset from metrics where kafka_topic = '{topic}' \
               union all select log_epoch, kafka_partition, kafka_offset from rejected_records where kafka_topic = '{topic}')"
        ));
        assert_eq!((rows, offsets), (sent, sent), "rows and distinct offsets of {topic}");
    }

    /// The ranges of a stage's ledger follow one another, in each rows + rejected = records, and none froze a watermark
    /// behind what was to be stated after the one before.
    pub fn assert_ledger(&self, stage: &str, sent: u64) {
        type Row = (i32, u32, i64, i64, u64, u64, u64, i64, i64);
        let rows: Vec<Row> = self.bed.sql(&format!(
            "select kafka_partition, log_epoch, start_offset, end_offset, records, rows, rejected, \
             toUnixTimestamp64Milli(watermark), toUnixTimestamp64Milli(reached) from batch_ledger final \
             where stage = '{stage}' and kafka_topic = '{}' and entry in ('batch', 'recovered') order by 1, 2, 3",
            self.topic
        ));
        let mut ends: BTreeMap<(i32, u32), (i64, i64)> = BTreeMap::new();
        for &(partition, epoch, start, end, records, rows, rejected, watermark, reached) in &rows {
            let before = ends.insert((partition, epoch), (end, reached)).unwrap_or_default();
            assert_eq!(
                start, before.0,
                "{stage}: a hole or an overlap in the ledger of {}/{partition}",
                self.topic
            );
            assert!(
                watermark >= before.1,
                "{stage}: {}/{partition} {start}-{end} froze {watermark}, and {} was stated",
                self.topic,
                before.1
            );
            assert_eq!(
                rows + rejected,
                records,
                "{stage}: {}/{partition} {start}-{end}",
                self.topic
            );
        }
        assert_eq!(
            rows.iter().map(|row| row.4).sum::<u64>(),
            sent,
            "{stage}: records in the ledger of {}",
            self.topic
        );
    }

    /// The hourly counts and sums equal those of the raw rows.
    pub fn assert_hours(&self) {
        let tenant = &self.topic;
        let hours: Vec<(u32, String, u64, f64)> = self.bed.sql(&format!(
            "select toUnixTimestamp(hour), metric_name, count, sum from ( \
               select hour, metric_name, sum(count) as count, sum(sum) as sum from metrics_hourly \
               where tenant_id = '{tenant}' group by hour, metric_name) order by 1, 2"
        ));
        let raw: Vec<(u32, String, u64, f64)> = self.bed.sql(&format!(
            "select toUnixTimestamp(toStartOfHour(time)) as hour, metric_name, count(), sum(value) from metrics \
             where tenant_id = '{tenant}' group by hour, metric_name order by 1, 2"
        ));
        assert_eq!(
            hours, raw,
            "hours of {tenant} (values are multiples of 1/4, so that sums are exact)"
        );
    }
}

/// A sample as a record.
pub fn encoded(sample: &MetricSample) -> Record {
    let mut payload = Vec::new();
    sample.encode_single_object(&mut payload);
    Record::of(payload).key(format!("{}/{}", sample.tenant_id, sample.service_id))
}

/// Tells a thread to stop when it goes out of scope, also by a panic, since a thread scope waits for its threads.
pub struct Stop<'a>(pub &'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}
