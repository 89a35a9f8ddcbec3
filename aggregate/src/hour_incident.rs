//! Rows of `incidents` that the operator's commands and the background tasks write: about hours, not about a batch.

use clickhouse::Row;
use horolog_stage::store::Store;
use serde::Serialize;

use crate::tool_error::ToolError;

const TABLE: &str = "incidents";

/// What is wrong with an hour.
#[derive(Debug, Clone, Default, Row, Serialize)]
pub struct HourIncident {
    /// Whose incident: always `aggregate`.
    pub stage: String,
    /// A stable code.
    pub reason: String,
    /// Topic; empty where no log is concerned.
    pub kafka_topic: String,
    /// Partition.
    pub kafka_partition: i32,
    /// Life of the log.
    pub log_epoch: u32,
    /// First offset.
    pub start_offset: i64,
    /// Offset after the last.
    pub end_offset: i64,
    /// Start of the hour, seconds since 1970; 0 where it is about none.
    pub hour: u32,
    /// Whose hour; empty for all tenants.
    pub tenant_id: String,
    /// Of which metric; empty for all.
    pub metric_name: String,
    /// Records concerned.
    pub records: u64,
    /// In words.
    pub detail: String,
    /// When it is written, ms since 1970.
    pub inserted_at: i64,
}

impl HourIncident {
    /// Writes it down. One that is told twice changes no answer.
    pub async fn insert(mut self, store: &Store) -> Result<(), ToolError> {
        self.stage = "aggregate".to_owned();
        let token = format!(
            "incident/{}/{}/{}/{}",
            self.reason, self.hour, self.detail, self.inserted_at
        );
        Ok(store.insert_row(TABLE, &self, &token).await?)
    }
}
