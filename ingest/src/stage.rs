//! Turns a range of records into blocks of raw rows and rejected records.
//!
//! Pure: the same range gives the same blocks, at any time and on any host. Every record is in exactly one of the two
//! blocks.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::TimestampMicrosecondType;
use horolog_schemas::{
    DecodeError, Decoded, Decoder, EVENT_IDS_TABLE, Kind, Origin, PartitionKey, REJECTED_TABLE, RULES_VERSION,
    RawRecord, Reason, Rejected, SchemaError, WriterSchemas, column, event_id_rows, pieces, rejected_rows, rows,
};
use horolog_stage::intent::Intent;
use horolog_stage::range::Range;
use horolog_stage::stage::{Block, PrepareError, Prepared, Stage, Tables};
use horolog_stage::store::{Store, StoreError};

use crate::config::{SourceConfig, Topic};

const MICROS_AN_HOUR: i64 = 3_600_000_000;
const MICROS_A_DAY: i64 = 24 * MICROS_AN_HOUR;

/// The ingest stage.
pub struct Ingest {
    sources: Vec<Source>,
}

/// A topic and how its records are read.
struct Source {
    topic: String,
    kind: Kind,
    schemas: Arc<WriterSchemas>,
    /// Days for which its table keeps rows; `None` if it deletes nothing by age.
    days_kept: Option<u32>,
    /// Idle decoders, kept because they cache what they derived from the writers' schemas.
    decoders: Mutex<Vec<Decoder>>,
}

impl Ingest {
    /// Loads the writers' schemas.
    pub fn new(source: &SourceConfig) -> Result<Self, SchemaError> {
        let folder = source.schema_folder.as_deref();
        let sources = source.topics().into_iter().map(|topic| Source::new(topic, folder));
        Ok(Self {
            sources: sources.collect::<Result<_, _>>()?,
        })
    }

    /// Reads the current retention from the tables, so that records older than it are counted as expired. Without this
    /// call none are.
    pub async fn with_retention(mut self, store: &Store) -> Result<Self, StoreError> {
        for source in &mut self.sources {
            source.days_kept = store.days_kept(source.kind.table()).await?;
        }
        Ok(self)
    }

    /// Decodes and validates records of a topic.
    pub fn decode(&self, topic: &str, records: &[RawRecord<'_>]) -> Result<Decoded, PrepareError> {
        self.required(topic)?.decode(records).map_err(bug)
    }

    fn source(&self, topic: &str) -> Option<&Source> {
        self.sources.iter().find(|source| source.topic == topic)
    }

    fn required(&self, topic: &str) -> Result<&Source, PrepareError> {
        self.source(topic).ok_or_else(|| PrepareError::Topic(topic.to_owned()))
    }
}

impl Source {
    fn new(topic: Topic<'_>, folder: Option<&Path>) -> Result<Self, SchemaError> {
        Ok(Self {
            topic: topic.name.to_owned(),
            kind: topic.kind,
            schemas: Arc::new(WriterSchemas::load(topic.kind, folder)?),
            days_kept: None,
            decoders: Mutex::default(),
        })
    }

    fn decode(&self, records: &[RawRecord<'_>]) -> Result<Decoded, DecodeError> {
        let idle = || self.decoders.lock().unwrap_or_else(PoisonError::into_inner);
        let reused = idle().pop();
        let mut decoder = reused.unwrap_or_else(|| Decoder::new(self.schemas.clone()));
        let decoded = decoder.decode(records);
        idle().push(decoder);
        decoded
    }

    /// The blocks of a decoded batch: rows, then rejected records.
    fn blocks(&self, range: &Range, records: &[RawRecord<'_>], decoded: &Decoded) -> Result<[Block; 2], PrepareError> {
        let origin = origin(range);
        let rows = rows(self.kind, decoded, records, &origin).map_err(bug)?;
        let rejected = rejected_rows(self.kind, &decoded.rejected, records, &origin).map_err(bug)?;
        Ok([
            Block {
                table: self.kind.table(),
                pieces: pieces(PartitionKey::of(self.kind), &rows).map_err(bug)?,
            },
            Block {
                table: REJECTED_TABLE,
                pieces: pieces(PartitionKey::REJECTED, &rejected).map_err(bug)?,
            },
        ])
    }

    /// The ids of audit events, inserted before the events: a reader that finds an event can rely on finding the ids of
    /// all its copies.
    fn announced(&self, rows: &Block) -> Result<Option<Block>, PrepareError> {
        if self.kind != Kind::AuditEvent {
            return Ok(None);
        }
        let pieces = rows.pieces.iter().map(event_id_rows);
        Ok(Some(Block {
            table: EVENT_IDS_TABLE,
            pieces: pieces.collect::<Result<_, _>>().map_err(bug)?,
        }))
    }
}

impl Stage for Ingest {
    fn name(&self) -> &'static str {
        "ingest"
    }

    fn schemas(&self, topic: &str) -> Option<&WriterSchemas> {
        self.source(topic).map(|source| &*source.schemas)
    }

    fn prepare(&self, range: &Range, intent: &Intent) -> Result<Prepared, PrepareError> {
        if intent.rules_version != RULES_VERSION {
            return Err(PrepareError::Rules(intent.rules_version));
        }
        let source = self.required(&range.id.topic)?;
        let records = range.records();
        let decoded = source.decode(&records).map_err(bug)?;
        let times = times(source.kind, &decoded.columns)?;
        let expired_before = source
            .days_kept
            .map_or(i64::MIN, |days| intent.at_ms * 1_000 - i64::from(days) * MICROS_A_DAY);
        let blocks = source.blocks(range, &records, &decoded)?;
        Ok(Prepared {
            announced: source.announced(&blocks[0])?,
            blocks: blocks.into(),
            rows: decoded.columns.num_rows() as u64,
            rejected: decoded.rejected.len() as u64,
            expired: times.iter().filter(|&&time| time < expired_before).count() as u64,
            hours: hours(times),
            ..Prepared::default()
        })
    }

    fn tables(&self, topic: &str) -> Option<Tables> {
        self.source(topic).map(|source| Tables {
            rows: source.kind.table(),
            time_column: source.kind.time_column(),
            rejected: REJECTED_TABLE,
        })
    }

    fn refused(&self, range: &Range, refused: &[(i64, String)]) -> Result<Block, PrepareError> {
        let kind = self.required(&range.id.topic)?.kind;
        let records = range.records();
        let reject = |(offset, message): &(i64, String)| {
            let position = records.binary_search_by_key(offset, |record| record.offset).ok()?;
            Some(Rejected::new(
                position as u32,
                Reason::RefusedByClickHouse,
                message.as_str(),
            ))
        };
        let rejected: Vec<Rejected> = refused.iter().filter_map(reject).collect();
        let rows = rejected_rows(kind, &rejected, &records, &origin(range)).map_err(bug)?;
        Ok(Block {
            table: REJECTED_TABLE,
            pieces: pieces(PartitionKey::REJECTED, &rows).map_err(bug)?,
        })
    }
}

fn origin(range: &Range) -> Origin<'_> {
    Origin {
        topic: &range.id.topic,
        partition: range.id.partition,
        log_epoch: range.log_epoch,
    }
}

fn bug(error: impl std::error::Error) -> PrepareError {
    PrepareError::Bug(error.to_string())
}

/// Event times, µs since 1970.
fn times(kind: Kind, columns: &RecordBatch) -> Result<&[i64], PrepareError> {
    let times = column(columns, kind.time_column(), |column| {
        column.as_primitive_opt::<TimestampMicrosecondType>()
    });
    Ok(times.map_err(bug)?.values())
}

/// Number of records by the start of their hour, seconds since 1970.
fn hours(times: &[i64]) -> BTreeMap<u32, u64> {
    let mut hours = BTreeMap::new();
    for time in times {
        *hours
            .entry((time.div_euclid(MICROS_AN_HOUR) * 3_600) as u32)
            .or_default() += 1;
    }
    hours
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use horolog_schemas::{AuditEvent, MetricSample};
    use horolog_stage::range::{Filling, PartitionId};

    use super::*;

    const NOON_MS: i64 = 1_760_000_400_000;

    fn sample(value: f64) -> Vec<u8> {
        let sample = MetricSample {
            tenant_id: "acme".to_owned(),
            time: NOON_MS * 1_000,
            metric_name: "cpu".to_owned(),
            value,
            ..MetricSample::default()
        };
        let mut bytes = Vec::new();
        sample.encode_single_object(&mut bytes);
        bytes
    }

    fn event(event_id: &str) -> Vec<u8> {
        let event = AuditEvent {
            event_id: event_id.to_owned(),
            tenant_id: "acme".to_owned(),
            occurred_at: NOON_MS * 1_000,
            action: "role.grant".to_owned(),
            ..AuditEvent::default()
        };
        let mut bytes = Vec::new();
        event.encode_single_object(&mut bytes);
        bytes
    }

    fn range(topic: &str, payloads: &[Vec<u8>]) -> Range {
        let mut filling = Filling::new(100);
        for (offset, payload) in (100..).zip(payloads) {
            let record = RawRecord {
                offset,
                timestamp_ms: NOON_MS,
                key: None,
                payload: Some(payload),
            };
            filling.push(&record, Instant::now());
        }
        filling.close(
            &PartitionId {
                topic: topic.into(),
                partition: 0,
            },
            1,
            100 + payloads.len() as i64,
        )
    }

    fn intent(rules_version: u32) -> Intent {
        Intent {
            end: 0,
            rules_version,
            watermark_ms: 0,
            at_ms: NOON_MS,
            write_epoch: 0,
            fill: false,
            tail: None,
        }
    }

    fn ingest() -> Ingest {
        Ingest::new(&SourceConfig::default()).unwrap()
    }

    #[test]
    fn every_record_is_in_exactly_one_block() {
        let range = range(
            "metrics",
            &[sample(1.0), sample(f64::NAN), b"not avro".to_vec(), sample(2.0)],
        );
        let made = ingest().prepare(&range, &intent(RULES_VERSION)).unwrap();
        assert_eq!((made.rows, made.rejected), (2, 2));
        assert_eq!(
            made.blocks
                .iter()
                .map(|block| (block.table, block.rows()))
                .collect::<Vec<_>>(),
            [("metrics", 2), ("rejected_records", 2)]
        );
        assert_eq!(made.hours, BTreeMap::from([((NOON_MS / 3_600_000 * 3_600) as u32, 2)]));
    }

    #[test]
    fn what_its_table_would_delete_is_stored_and_counted_as_expired() {
        let range = range("metrics", &[sample(1.0)]);
        let later = Intent {
            at_ms: NOON_MS + 31 * MICROS_A_DAY / 1_000,
            ..intent(RULES_VERSION)
        };
        for (days_kept, expired) in [(Some(30), 1), (Some(32), 0), (None, 0)] {
            let mut ingest = ingest();
            ingest
                .sources
                .iter_mut()
                .for_each(|source| source.days_kept = days_kept);
            let made = ingest.prepare(&range, &later).unwrap();
            assert_eq!((made.rows, made.expired), (1, expired), "{days_kept:?}");
        }
    }

    #[test]
    fn the_same_range_gives_the_same_blocks_whoever_prepares_it() {
        let (uuid, junk) = ("018f4e1a-7c3b-7000-8000-000000000001", b"not avro".to_vec());
        let samples = [sample(1.0), junk.clone(), sample(f64::NAN), sample(2.0)];
        let events = [event(uuid), junk, event("42"), event(uuid)];
        let (intent, another) = (intent(RULES_VERSION), ingest());
        for (topic, records, announced) in [("metrics", samples, None), ("audit-events", events, Some(2))] {
            let range = range(topic, &records);
            let made = ingest().prepare(&range, &intent).unwrap();
            assert_eq!((made.rows, made.rejected), (2, 2), "{topic}");
            assert_eq!(made.announced.as_ref().map(Block::rows), announced, "{topic}");
            for _ in 0..2 {
                // The second time, the decoder has cached the writers' schemas.
                assert_eq!(another.prepare(&range, &intent).unwrap(), made, "{topic}");
            }
        }
    }

    #[test]
    fn a_batch_of_unknown_rules_or_of_an_unknown_topic_stops_the_partition() {
        let refused = ingest().prepare(&range("metrics", &[]), &intent(RULES_VERSION + 1));
        assert!(matches!(refused, Err(PrepareError::Rules(_))));
        let refused = ingest().prepare(&range("elsewhere", &[]), &intent(RULES_VERSION));
        assert!(matches!(refused, Err(PrepareError::Topic(topic)) if topic == "elsewhere"));
    }

    #[test]
    fn refused_records_keep_their_bytes_and_get_a_reason() {
        let range = range("metrics", &[sample(1.0), sample(2.0)]);
        let block = ingest().refused(&range, &[(101, "Code: 117".to_owned())]).unwrap();
        assert_eq!((block.table, block.rows()), ("rejected_records", 1));
    }
}
