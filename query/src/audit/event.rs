//! One audit event: as it is stored, and as a caller sees it.
//!
//! Enters: a row of `audit_logs`. Leaves: JSON with every field, the values before and after embedded as JSON, and the
//! Kafka coordinates of the record. The values are passed on byte for byte: parsing would round large numbers. Pure.

use std::collections::BTreeMap;

use clickhouse::Row;
use horolog_schemas::{Kind, fields};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::api::Instant;
use crate::audit::difference::Difference;
use crate::store::Sql;

/// Kafka coordinates: topic, log epoch, partition, offset.
pub type Coordinates = (String, u32, i32, i64);

/// Columns of `audit_logs` that are not fields of the record.
const BESIDE_THE_RECORD: [&str; 6] = [
    "kafka_topic",
    "log_epoch",
    "kafka_partition",
    "kafka_offset",
    "kafka_timestamp",
    "inserted_at",
];

/// A row of `audit_logs`.
#[derive(Debug, Clone, Row, Deserialize)]
#[allow(
    missing_docs,
    reason = "the columns; their meaning is documented in the schema of the record"
)]
pub struct StoredEvent {
    #[serde(with = "clickhouse::serde::uuid")]
    pub event_id: Uuid,
    pub tenant_id: String,
    /// Microseconds since 1970.
    pub occurred_at: i64,
    pub user_id: String,
    pub team_id: String,
    pub service_id: String,
    pub plugin_id: String,
    pub source: String,
    pub action: String,
    pub resource_type: String,
    pub resource_id: String,
    pub resource_name: String,
    pub old_value: String,
    pub new_value: String,
    pub ip_address: String,
    pub user_agent: String,
    pub session_id: String,
    pub request_id: String,
    pub status: String,
    pub error_message: String,
    pub metadata: Vec<(String, String)>,
    pub kafka_topic: String,
    pub log_epoch: u32,
    pub kafka_partition: i32,
    pub kafka_offset: i64,
    /// Milliseconds since 1970.
    pub kafka_timestamp: i64,
    /// Milliseconds since 1970.
    pub inserted_at: i64,
}

impl StoredEvent {
    /// The columns: the fields of the record, its Kafka coordinates, and until when its writer held a lease.
    pub fn columns() -> impl Iterator<Item = &'static str> {
        let of_record = fields(Kind::AuditEvent).iter().map(|field| field.name);
        of_record.chain(BESIDE_THE_RECORD)
    }

    /// The select list of its columns from `audit_logs as r`.
    pub fn select() -> Sql {
        Sql::join(Self::columns().map(Self::selected), ", ")
    }

    /// A hash of what the record says: copies of an event with different hashes say different things.
    pub fn said() -> Sql {
        let fields = fields(Kind::AuditEvent).iter().map(|field| match field.name {
            "metadata" => Sql::from("mapSort(r.metadata)"),
            name => Sql::concat(["r.", name]),
        });
        Sql::join([Sql::from("sipHash128("), Sql::join(fields, ", "), Sql::from(")")], "")
    }

    /// The select expression of one column.
    pub fn selected(column: &'static str) -> Sql {
        match column {
            "source" | "status" => Sql::concat(["toString(r.", column, ") as ", column]),
            _ => Sql::concat(["r.", column, " as ", column]),
        }
    }

    /// The Kafka coordinates of the record.
    pub fn coordinates(&self) -> Coordinates {
        (
            self.kafka_topic.clone(),
            self.log_epoch,
            self.kafka_partition,
            self.kafka_offset,
        )
    }

    /// Approximate size in memory.
    pub fn bytes(&self) -> usize {
        let texts = [
            &self.tenant_id,
            &self.user_id,
            &self.team_id,
            &self.service_id,
            &self.plugin_id,
            &self.action,
            &self.resource_type,
            &self.ip_address,
            &self.session_id,
            &self.request_id,
            &self.resource_id,
            &self.resource_name,
            &self.old_value,
            &self.new_value,
            &self.user_agent,
            &self.error_message,
        ];
        let metadata = self
            .metadata
            .iter()
            .map(|(key, value)| size_of::<(String, String)>() + key.len() + value.len());
        size_of::<Self>() + texts.iter().map(|text| text.len()).sum::<usize>() + metadata.sum::<usize>()
    }
}

/// An event as JSON.
#[derive(Debug, Serialize, ToSchema)]
pub struct Event {
    event_id: Uuid,
    tenant_id: String,
    occurred_at: Instant,
    user_id: String,
    team_id: String,
    service_id: String,
    plugin_id: String,
    source: String,
    action: String,
    resource_type: String,
    resource_id: String,
    resource_name: String,
    /// The JSON before the action, as it was sent; `null` if there was none.
    #[schema(value_type = Option<serde_json::Value>)]
    old_value: Option<Box<RawValue>>,
    /// The JSON after the action, as it was sent; `null` if there was none.
    #[schema(value_type = Option<serde_json::Value>)]
    new_value: Option<Box<RawValue>>,
    ip_address: String,
    user_agent: String,
    session_id: String,
    request_id: String,
    status: String,
    error_message: String,
    metadata: BTreeMap<String, String>,
    kafka: KafkaRecord,
    inserted_at: Instant,
}

/// The record that the event came in.
#[derive(Debug, Serialize, ToSchema)]
struct KafkaRecord {
    topic: String,
    log_epoch: u32,
    partition: i32,
    offset: i64,
    timestamp: Instant,
}

impl Event {
    /// What the action changed.
    pub fn difference(&self) -> Difference {
        Difference::between(self.old_value.as_deref(), self.new_value.as_deref())
    }
}

impl From<StoredEvent> for Event {
    fn from(stored: StoredEvent) -> Self {
        Self {
            event_id: stored.event_id,
            tenant_id: stored.tenant_id,
            occurred_at: Instant::from_micros(stored.occurred_at),
            user_id: stored.user_id,
            team_id: stored.team_id,
            service_id: stored.service_id,
            plugin_id: stored.plugin_id,
            source: stored.source,
            action: stored.action,
            resource_type: stored.resource_type,
            resource_id: stored.resource_id,
            resource_name: stored.resource_name,
            old_value: json(stored.old_value),
            new_value: json(stored.new_value),
            ip_address: stored.ip_address,
            user_agent: stored.user_agent,
            session_id: stored.session_id,
            request_id: stored.request_id,
            status: stored.status,
            error_message: stored.error_message,
            metadata: stored.metadata.into_iter().collect(),
            kafka: KafkaRecord {
                topic: stored.kafka_topic,
                log_epoch: stored.log_epoch,
                partition: stored.kafka_partition,
                offset: stored.kafka_offset,
                timestamp: Instant::from_millis(stored.kafka_timestamp),
            },
            inserted_at: Instant::from_millis(stored.inserted_at),
        }
    }
}

/// Stored JSON, unchanged; empty means none. Ingest accepts only JSON; anything else, from another writer, is shown as
/// a string so that it does not break the answer.
fn json(text: String) -> Option<Box<RawValue>> {
    if text.is_empty() {
        return None;
    }
    let as_string = || RawValue::from_string(serde_json::Value::from(text.as_str()).to_string());
    RawValue::from_string(text.clone()).or_else(|_| as_string()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        serde_json::to_string(&json(text.to_owned())).unwrap()
    }

    #[test]
    fn stored_json_is_passed_on_byte_for_byte() {
        for text in [
            "{\"b\":1,\"a\":123456789012345678901234567890.10}",
            "[1e999]",
            "\"x\"",
            "null",
            "false",
        ] {
            assert_eq!(shown(text), text);
        }
    }

    #[test]
    fn an_empty_value_is_null_and_a_broken_one_a_string() {
        assert_eq!(shown(""), "null");
        assert_eq!(shown("{\"a\":"), "\"{\\\"a\\\":\"");
    }
}
