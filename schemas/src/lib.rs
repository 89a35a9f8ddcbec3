//! The contract of Horolog's records and tables: Avro schemas with the classification of every field, decoding to Arrow
//! that withstands any input, validation, the mapping to rows, and encoding for producers.
//!
//! The path of a record: [`RawRecord`] → [`Decoder`] → [`Decoded`] → [`rows`] and [`rejected_rows`] → [`pieces`].

mod audit_event;
mod avro_writer;
pub mod buckets;
mod clickhouse_code;
pub mod configuration;
mod datum;
mod datum_shape;
mod decode;
mod dictionary;
pub mod digest;
pub mod epochs;
pub mod errors;
mod field_class;
mod fingerprints;
mod framing;
mod kind;
mod metric_sample;
pub mod migrate;
mod pieces;
mod raw_record;
mod reject;
mod rejected_rows;
mod rows;
mod termination;
mod validate;
mod writer_schemas;

pub use audit_event::{AuditEvent, AuditSource, AuditStatus};
pub use clickhouse_code::clickhouse_code;
pub use decode::{BATCH_BYTES_MAX, DecodeError, Decoded, Decoder};
pub use field_class::{Class, FieldClass, fields};
pub use framing::RECORD_BYTES_MAX;
pub use kind::Kind;
pub use metric_sample::{MetricSample, MetricType};
pub use pieces::{PIECE_ROWS_MAX, PartitionKey, pieces};
pub use raw_record::{Origin, RawRecord};
pub use reject::{Reason, Rejected, Step};
pub use rejected_rows::{REJECTED_TABLE, held_timestamp_ms, rejected_rows};
pub use rows::{EVENT_IDS_TABLE, event_id_rows, rows};
pub use termination::Termination;
pub use validate::{KAFKA_TIMESTAMP_END_MS, RULES_VERSION, TIME_MIN_US, column, is_kafka_timestamp};
pub use writer_schemas::{SchemaError, WriterSchemas};
