//! What was replayed: the rows of `replayed_records`, written before and after each replay.
//!
//! Enters: the records of a replay, and its outcome. Leaves: replays whose outcome is unknown. An insert is repeated
//! under its token until its own outcome is known.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray, UInt32Array};
use arrow::error::ArrowError;
use clickhouse::Row;
use horolog_stage::store::Store;
use serde::Deserialize;

use super::{Outcome, Place, ReplayError};

/// The table of marks.
pub const TABLE: &str = "replayed_records";
/// Attempts of an insert before the command gives up. It can be run again.
const ATTEMPTS_MAX: u32 = 12;

/// The marks of one topic.
pub struct Marks {
    store: Store,
    topic: String,
}

/// A replay that was begun and has no recorded outcome.
#[derive(Debug, Row, Deserialize)]
pub struct Interrupted {
    /// Its identifier.
    pub replay: String,
    /// Seconds since it was begun.
    pub age_s: u64,
}

impl Marks {
    /// The marks of a topic.
    pub fn new(store: Store, topic: &str) -> Self {
        Self {
            store,
            topic: topic.to_owned(),
        }
    }

    /// Records a replay before it is sent.
    pub async fn begin(&self, replay: &str, places: &[Place]) -> Result<(), ReplayError> {
        self.insert(replay, "begun", places).await
    }

    /// Records the outcome of a replay.
    pub async fn settle(&self, replay: &str, outcome: Outcome, places: &[Place]) -> Result<(), ReplayError> {
        let state = match outcome {
            Outcome::Sent => "sent",
            Outcome::Abandoned => "abandoned",
        };
        self.insert(replay, state, places).await
    }

    /// Replays without an outcome.
    pub async fn interrupted(&self) -> Result<Vec<Interrupted>, ReplayError> {
        self.store.catch_up(&[TABLE]).await?;
        let query = "select replay, toUInt64(greatest(0, dateDiff('second', max(inserted_at), now64(3)))) as age_s \
                     from replayed_records final where kafka_topic = {topic:String} and state = 'begun' group by replay";
        let query = self.store.client.query(query).param("topic", &self.topic);
        Ok(query.fetch_all().await?)
    }

    /// The records of a replay.
    pub async fn places(&self, replay: &str) -> Result<Vec<Place>, ReplayError> {
        let query = "select kafka_partition, log_epoch, kafka_offset from replayed_records final \
                     where kafka_topic = {topic:String} and replay = {replay:String} order by all";
        let query = self.store.client.query(query).param("topic", &self.topic);
        Ok(query.param("replay", replay).fetch_all().await?)
    }

    async fn insert(&self, replay: &str, state: &str, places: &[Place]) -> Result<(), ReplayError> {
        let rows = rows(&self.topic, replay, state, places)?;
        let token = format!("replay/{replay}/{state}");
        self.store
            .insert_until_known(TABLE, &rows, &token, ATTEMPTS_MAX)
            .await?;
        Ok(())
    }
}

fn rows(topic: &str, replay: &str, state: &str, places: &[Place]) -> Result<RecordBatch, ArrowError> {
    let texts = |text: &str| Arc::new(StringArray::from_iter_values(places.iter().map(|_| text))) as ArrayRef;
    let partitions = places.iter().map(|place| place.partition);
    let epochs = places.iter().map(|place| place.log_epoch);
    let offsets = places.iter().map(|place| place.offset);
    RecordBatch::try_from_iter([
        ("kafka_topic", texts(topic)),
        ("kafka_partition", Arc::new(Int32Array::from_iter_values(partitions))),
        ("log_epoch", Arc::new(UInt32Array::from_iter_values(epochs))),
        ("kafka_offset", Arc::new(Int64Array::from_iter_values(offsets))),
        ("replay", texts(replay)),
        ("state", texts(state)),
    ])
}
