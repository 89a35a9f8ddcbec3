//! A record as read from Kafka, borrowed from the batch: coordinates, key and payload, not decoded yet.

/// A Kafka record before decoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawRecord<'a> {
    /// Offset in its partition.
    pub offset: i64,
    /// Kafka's timestamp, milliseconds since 1970; -1 if there is none.
    pub timestamp_ms: i64,
    /// The key, if any.
    pub key: Option<&'a [u8]>,
    /// The payload; `None` for a tombstone.
    pub payload: Option<&'a [u8]>,
}

/// The log that a batch of records comes from, the same for all its rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin<'a> {
    /// Topic.
    pub topic: &'a str,
    /// Partition.
    pub partition: i32,
    /// Life of the log: raised when the topic is recreated or its log lost its end.
    pub log_epoch: u32,
}
