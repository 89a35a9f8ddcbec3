//! A range: the records of one partition in `[start, end)`, copied once out of librdkafka into one arena.
//!
//! [`Filling`] takes records until it is closed; a [`Range`] is closed and never changes. Offsets may have holes
//! (control records of transactions), so what a range covers is kept apart from what it holds.

use std::sync::Arc;
use std::time::Instant;

use horolog_schemas::RawRecord;
use rdkafka::message::Message;
use serde::{Deserialize, Serialize};

/// Bytes that a record costs besides its key and payload.
const RECORD_OVERHEAD_BYTES: usize = size_of::<Entry>();

/// A partition of a topic.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PartitionId {
    /// Topic name.
    pub topic: Arc<str>,
    /// Partition number.
    pub partition: i32,
}

impl PartitionId {
    /// A partition of `topic`.
    pub fn new(topic: impl Into<Arc<str>>, partition: i32) -> Self {
        Self {
            topic: topic.into(),
            partition,
        }
    }
}

impl std::fmt::Display for PartitionId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.topic, self.partition)
    }
}

/// A message of the client as a record.
pub fn raw_record(message: &impl Message) -> RawRecord<'_> {
    RawRecord {
        offset: message.offset(),
        timestamp_ms: message.timestamp().to_millis().unwrap_or(-1),
        key: message.key(),
        payload: message.payload(),
    }
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    offset: i64,
    timestamp_ms: i64,
    start: usize,
    key: Option<u32>,
    payload: Option<u32>,
}

/// Records in the order of their offsets.
#[derive(Debug, Default)]
struct Records {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
}

impl Records {
    /// With as much capacity as `other` uses: the next batch of a partition is mostly like the last one, and growing
    /// step by step would copy it once more and take up to twice its memory.
    fn with_room_of(other: &Self) -> Self {
        Self {
            bytes: Vec::with_capacity(other.bytes.len()),
            entries: Vec::with_capacity(other.entries.len()),
        }
    }

    fn push(&mut self, record: &RawRecord<'_>) {
        let start = self.bytes.len();
        let mut add = |part: Option<&[u8]>| {
            part.map(|part| {
                self.bytes.extend_from_slice(part);
                part.len() as u32 // a Kafka record's key and value have lengths of 32 bits
            })
        };
        let (key, payload) = (add(record.key), add(record.payload));
        self.entries.push(Entry {
            offset: record.offset,
            timestamp_ms: record.timestamp_ms,
            start,
            key,
            payload,
        });
    }

    fn get(&self, entry: &Entry) -> RawRecord<'_> {
        let payload_start = entry.start + entry.key.unwrap_or(0) as usize;
        RawRecord {
            offset: entry.offset,
            timestamp_ms: entry.timestamp_ms,
            key: entry
                .key
                .map(|length| &self.bytes[entry.start..entry.start + length as usize]),
            payload: entry
                .payload
                .map(|length| &self.bytes[payload_start..payload_start + length as usize]),
        }
    }
}

/// A range that still takes records.
#[derive(Debug)]
pub struct Filling {
    start: i64,
    next: i64,
    opened: Option<Instant>,
    records: Records,
}

impl Filling {
    /// An empty range from `start` on.
    pub fn new(start: i64) -> Self {
        Self {
            start,
            next: start,
            opened: None,
            records: Records::default(),
        }
    }

    /// Adds a record. Offsets must rise.
    pub fn push(&mut self, record: &RawRecord<'_>, now: Instant) {
        assert!(
            record.offset >= self.next,
            "invariant: offsets rise ({} after {})",
            record.offset,
            self.next
        );
        self.opened.get_or_insert(now);
        self.next = record.offset + 1;
        self.records.push(record);
    }

    /// Offset after the last record.
    pub fn next(&self) -> i64 {
        self.next
    }

    /// Number of records.
    pub fn len(&self) -> usize {
        self.records.entries.len()
    }

    /// Whether no record is in it.
    pub fn is_empty(&self) -> bool {
        self.records.entries.is_empty()
    }

    /// Memory that its records take.
    pub fn bytes(&self) -> usize {
        self.records.bytes.len() + self.len() * RECORD_OVERHEAD_BYTES
    }

    /// When its first record came.
    pub fn opened(&self) -> Option<Instant> {
        self.opened
    }

    /// Closes it at `end` and continues filling behind it.
    pub fn close(&mut self, id: &PartitionId, log_epoch: u32, end: i64) -> Range {
        assert!(end >= self.next, "invariant: a range ends behind its last record");
        let mut next = Self::new(end);
        next.records = Records::with_room_of(&self.records);
        let filled = std::mem::replace(self, next);
        Range {
            id: id.clone(),
            log_epoch,
            start: filled.start,
            end,
            records: Arc::new(filled.records),
        }
    }
}

/// The records of a partition in `[start, end)`. A clone shares them.
#[derive(Debug, Clone)]
pub struct Range {
    /// Where the records are from.
    pub id: PartitionId,
    /// Which life of the topic; see ARCHITECTURE.md, "Delivery".
    pub log_epoch: u32,
    /// First offset.
    pub start: i64,
    /// Offset after the last.
    pub end: i64,
    records: Arc<Records>,
}

impl Range {
    /// The records, by offset.
    pub fn records(&self) -> Vec<RawRecord<'_>> {
        self.records
            .entries
            .iter()
            .map(|entry| self.records.get(entry))
            .collect()
    }

    /// The records at these positions, counted from 0, by offset. Positions must lie within the range.
    pub fn slice(&self, positions: std::ops::Range<usize>) -> Vec<RawRecord<'_>> {
        self.records.entries[positions]
            .iter()
            .map(|entry| self.records.get(entry))
            .collect()
    }

    /// Number of records.
    pub fn len(&self) -> usize {
        self.records.entries.len()
    }

    /// Whether the log has no record in the range.
    pub fn is_empty(&self) -> bool {
        self.records.entries.is_empty()
    }

    /// Memory that its records take.
    pub fn bytes(&self) -> usize {
        self.records.bytes.len() + self.len() * RECORD_OVERHEAD_BYTES
    }

    /// The last record.
    pub fn last(&self) -> Option<RawRecord<'_>> {
        self.records.entries.last().map(|entry| self.records.get(entry))
    }

    /// The mark of the last record; `None` if the range does not end right behind it.
    pub fn tail(&self) -> Option<RecordMark> {
        let last = self.last().filter(|record| record.offset + 1 == self.end);
        last.map(|record| RecordMark::of(&record))
    }

    /// The payload of each record.
    pub fn each_payload(&self) -> impl Iterator<Item = Option<&[u8]>> {
        self.records.entries.iter().map(|entry| self.records.get(entry).payload)
    }

    /// The Kafka timestamp of each record, ms since 1970.
    pub fn each_timestamp_ms(&self) -> impl Iterator<Item = i64> {
        self.records.entries.iter().map(|entry| entry.timestamp_ms)
    }

    /// Smallest and largest Kafka timestamp, ms.
    pub fn timestamps_ms(&self) -> Option<(i64, i64)> {
        Some((self.each_timestamp_ms().min()?, self.each_timestamp_ms().max()?))
    }
}

/// Distinguishes a record from another one at the same offset: is the log still the one that was read? Serialized as a
/// pair, which keeps a commit's metadata short.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(i64, u64)", into = "(i64, u64)")]
pub struct RecordMark {
    /// Kafka timestamp, ms since 1970.
    pub timestamp_ms: i64,
    /// Of key and payload.
    pub fingerprint: u64,
}

impl RecordMark {
    /// Of a record.
    pub fn of(record: &RawRecord<'_>) -> Self {
        Self {
            timestamp_ms: record.timestamp_ms,
            fingerprint: fingerprint(record),
        }
    }
}

impl From<(i64, u64)> for RecordMark {
    fn from((timestamp_ms, fingerprint): (i64, u64)) -> Self {
        Self {
            timestamp_ms,
            fingerprint,
        }
    }
}

impl From<RecordMark> for (i64, u64) {
    fn from(mark: RecordMark) -> Self {
        (mark.timestamp_ms, mark.fingerprint)
    }
}

/// FNV-1a over key and payload: stable across versions and platforms, and nobody attacks it.
fn fingerprint(record: &RawRecord<'_>) -> u64 {
    const OFFSET_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0100_0000_01b3;
    let hash = |seed: u64, bytes: &[u8]| {
        bytes
            .iter()
            .fold(seed, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME))
    };
    let key = record.key.unwrap_or_default();
    hash(
        hash(hash(OFFSET_BASIS, &(key.len() as u64).to_le_bytes()), key),
        record.payload.unwrap_or_default(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record<'a>(offset: i64, key: Option<&'a [u8]>, payload: Option<&'a [u8]>) -> RawRecord<'a> {
        RawRecord {
            offset,
            timestamp_ms: offset * 10,
            key,
            payload,
        }
    }

    #[test]
    fn gives_back_what_it_took_with_holes_and_absent_parts() {
        let id = PartitionId {
            topic: "t".into(),
            partition: 3,
        };
        let mut filling = Filling::new(5);
        let now = Instant::now();
        filling.push(&record(5, Some(b"k"), Some(b"payload")), now);
        filling.push(&record(9, None, Some(b"")), now);
        filling.push(&record(10, Some(b""), None), now);
        let range = filling.close(&id, 1, 12);
        assert_eq!((range.start, range.end, filling.start, filling.next()), (5, 12, 12, 12));
        let records = range.records();
        assert_eq!(
            (records[0].key, records[0].payload),
            (Some(&b"k"[..]), Some(&b"payload"[..]))
        );
        assert_eq!(
            (records[1].offset, records[1].key, records[1].payload),
            (9, None, Some(&b""[..]))
        );
        assert_eq!((records[2].key, records[2].payload), (Some(&b""[..]), None));
        assert_eq!(range.clone().slice(1..3), records[1..3]);
        assert_eq!(range.timestamps_ms(), Some((50, 100)));
        assert_eq!(range.tail(), None, "it ends behind its last record");
        filling.push(&record(13, Some(b"k"), None), now);
        let range = filling.close(&id, 1, 14);
        assert_eq!(range.tail().map(|tail| tail.timestamp_ms), Some(130));
    }

    #[test]
    fn a_fingerprint_tells_key_from_payload() {
        let a = fingerprint(&record(0, Some(b"ab"), Some(b"c")));
        let b = fingerprint(&record(0, Some(b"a"), Some(b"bc")));
        assert_ne!(a, b);
    }
}
