//! Rejected samples that are nevertheless in the hourly aggregates, because the aggregate stage accepted them.
//!
//! Both stages apply the same rules, but one may have learnt a schema before the other, and ClickHouse may refuse a row
//! that the dataflow accepted. Replaying such a record would count it twice. It is safe to replay when the aggregate
//! batch that covers it rejected as many records as ingest rejected in the same range: then aggregate accepted none of
//! them.
//!
//! Enters: places of rejected records. Leaves: those that are proven not to be aggregated. Read-only.

use std::collections::HashSet;

use horolog_stage::LEDGER_TABLE;
use horolog_stage::store::Store;

use super::rejected::{Candidate, Places};
use super::{Place, ReplayError};

const AGGREGATED_SQL: &str =
    "select count() > 0 from batch_ledger where stage = 'aggregate' and kafka_topic = {topic:String}";

const PROVEN_SQL: &str = "\
    with \
        arrayZip({partitions:Array(Int32)}, {log_epochs:Array(UInt32)}, {offsets:Array(Int64)}) as places, \
        batches as \
        (select kafka_partition, log_epoch, start_offset, end_offset, rejected from batch_ledger final \
            where stage = 'aggregate' and kafka_topic = {topic:String} and entry in ('batch', 'recovered') and rejected > 0 \
            and has({partitions:Array(Int32)}, kafka_partition) \
            and end_offset > arrayMin({offsets:Array(Int64)}) and start_offset <= arrayMax({offsets:Array(Int64)})) \
    select kafka_partition, log_epoch, arrayJoin(offsets) as kafka_offset from \
    (select r.kafka_partition as kafka_partition, r.log_epoch as log_epoch, groupArray(r.kafka_offset) as offsets \
        from (select distinct kafka_partition, log_epoch, kafka_offset from rejected_records \
            where kafka_topic = {topic:String} and has({partitions:Array(Int32)}, kafka_partition) \
            and kafka_offset >= (select min(start_offset) from batches) and kafka_offset < (select max(end_offset) from batches)) as r \
        asof join batches as b \
            on r.kafka_partition = b.kafka_partition and r.log_epoch = b.log_epoch and r.kafka_offset >= b.start_offset \
        where r.kafka_offset < b.end_offset \
        group by r.kafka_partition, r.log_epoch, b.start_offset, b.rejected \
        having count() = b.rejected) \
    where has(places, (kafka_partition, log_epoch, kafka_offset))";

/// The aggregates of a topic.
pub struct Hours {
    store: Store,
    topic: String,
}

impl Hours {
    /// `None` if no aggregate stage reads the topic, so that none of its records are in any hour.
    pub async fn of(store: Store, topic: &str) -> Result<Option<Self>, ReplayError> {
        store.catch_up(&[LEDGER_TABLE]).await?;
        let query = store.client.query(AGGREGATED_SQL).param("topic", topic);
        let are_made: bool = query.fetch_one().await?;
        Ok(are_made.then(|| Self {
            store,
            topic: topic.to_owned(),
        }))
    }

    /// The places of records that are proven to be in no hour.
    pub async fn lack(&self, some: &[Candidate]) -> Result<HashSet<Place>, ReplayError> {
        let query = self.store.client.query(PROVEN_SQL).param("topic", &self.topic);
        let places: Vec<Place> = Places::of(some).bind(query).fetch_all().await?;
        Ok(places.into_iter().collect())
    }
}
