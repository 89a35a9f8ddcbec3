//! A record as Kafka has it, borrowed from the batch: coordinates, key and payload, not looked into yet.

/// A Kafka record before decoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawRecord<'a> {
    /// Offset in its partition.
    pub offset: i64,
    /// Kafka's timestamp, milliseconds since 1970; -1 where there is none.
    pub timestamp_ms: i64,
    /// The key, if any.
    pub key: Option<&'a [u8]>,
    /// The payload; none in a tombstone.
    pub payload: Option<&'a [u8]>,
}

/// The log that a batch of records comes from; the same for all its rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin<'a> {
    /// Topic.
    pub topic: &'a str,
    /// Partition.
    pub partition: i32,
    /// Raised when a topic of the same name is made again.
    pub log_epoch: u32,
}
