//! The samples of a part, from the raw rows or from the log, handed over some hundred thousand at a time.
//!
//! A bounded channel connects reading and recomputing, so that memory does not grow with the size of a part.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::buffer::Buffer;
use arrow::ipc::reader::StreamDecoder;
use horolog_schemas::{Decoder, WriterSchemas};
use horolog_stage::range::PartitionId;
use horolog_stage::schema_registry::SchemaRegistry;
use horolog_stage::store::Store;
use tokio::sync::mpsc;

use super::plan::{Part, Place};
use crate::broker::Broker;
use crate::cut::{Cut, Position, client_literal};
use crate::key::hour_of;
use crate::rows::{Rows, raw_columns};
use crate::samples::Samples;
use crate::scope::Scope;
use crate::time_frame::TimeFrame;
use crate::tool_error::ToolError;

/// Samples handed over at a time.
const BATCH_ROWS: usize = 500_000;
/// Raw rows requested at a time, approximately.
const WINDOW_ROWS: u64 = 1_000_000;
/// Records decoded at a time.
const CHUNK_RECORDS: usize = 32_768;
/// Batches read ahead.
const AHEAD: usize = 1;

/// A message of the reader.
pub enum Read {
    /// Some samples.
    Rows(Vec<Rows>),
    /// Everything was read; records by hour before tenants and metrics were selected, if the source shows them.
    End(Option<BTreeMap<u32, u64>>),
}

/// Reads samples.
#[derive(Clone)]
pub struct Reader {
    /// The tables.
    pub store: Store,
    /// The log.
    pub broker: Arc<Broker>,
    /// The writer schemas of its records.
    pub schemas: Arc<WriterSchemas>,
    /// What is asked about those that are not known.
    pub schema_registry: Option<Arc<SchemaRegistry>>,
    /// The selected samples.
    pub scope: Scope,
    /// The position before which they are read.
    pub cut: Cut,
}

impl Reader {
    /// Starts to read a part.
    pub fn read(&self, part: &Part) -> mpsc::Receiver<Result<Read, ToolError>> {
        let (sender, receiver) = mpsc::channel(AHEAD);
        let reader = self.clone();
        match part.place.clone() {
            Place::Hours(from, to) => {
                let records = part.records();
                tokio::spawn(async move {
                    let end = reader
                        .read_raw(&reader.scope.in_hours(from, to), records, &sender)
                        .await;
                    // If the receiver is gone, nobody misses the end.
                    drop(sender.send(end).await);
                });
            }
            Place::Offsets(log, start, end) => {
                tokio::task::spawn_blocking(move || {
                    let end = reader.read_log(&log, start, end, &sender);
                    drop(sender.blocking_send(end));
                });
            }
        }
        receiver
    }

    /// Reads the raw rows of some hours in windows of time with about so many rows each that an answer fits into
    /// memory: not every server streams Arrow.
    async fn read_raw(
        &self,
        scope: &Scope,
        records: u64,
        to: &mpsc::Sender<Result<Read, ToolError>>,
    ) -> Result<Read, ToolError> {
        let topics: Vec<String> = self.cut.topics().into_iter().map(client_literal).collect();
        let columns = raw_columns(&format!("[{}]", topics.join(", ")));
        let windows = records.div_ceil(WINDOW_ROWS).max(1);
        let (start_us, length_us) = (
            u64::from(scope.from) * 1_000_000,
            u64::from(scope.to - scope.from) * 1_000_000,
        );
        for window in 0..windows {
            let query = format!(
                "select {columns} from metrics where {} and {} and time >= fromUnixTimestamp64Micro({}, 'UTC') \
                 and time < fromUnixTimestamp64Micro({}, 'UTC')",
                scope.raw_condition(),
                self.cut.condition("kafka_offset"),
                start_us + length_us * window / windows,
                start_us + length_us * (window + 1) / windows,
            );
            let query = self
                .store
                .client
                .query(&query)
                .with_setting("output_format_arrow_compression_method", "none")
                .with_setting("output_format_arrow_string_as_string", "1")
                .with_setting("output_format_arrow_low_cardinality_as_dictionary", "0");
            let mut stream = scope.bind(query).fetch_bytes("ArrowStream")?;
            let mut decoder = StreamDecoder::new();
            let (mut batch, mut rows) = (Vec::new(), 0);
            while let Some(bytes) = stream.next().await? {
                let mut buffer = Buffer::from(bytes);
                while let Some(columns) = decoder.decode(&mut buffer)? {
                    rows += columns.num_rows();
                    batch.push(Rows::from_raw(&columns)?);
                    if rows >= BATCH_ROWS {
                        rows = 0;
                        if to.send(Ok(Read::Rows(std::mem::take(&mut batch)))).await.is_err() {
                            return Ok(Read::End(None));
                        }
                    }
                }
            }
            drop(to.send(Ok(Read::Rows(batch))).await);
        }
        Ok(Read::End(None))
    }

    fn read_log(
        &self,
        log: &PartitionId,
        start: Position,
        end: i64,
        to: &mpsc::Sender<Result<Read, ToolError>>,
    ) -> Result<Read, ToolError> {
        let topics = self.cut.topics();
        let topic = topics
            .iter()
            .position(|topic| **topic == *log.topic)
            .map_or(-1, |position| position as i32);
        let range = self.broker.read(log, start, end)?;
        if let Some(registry) = &self.schema_registry {
            let learned = registry.complete(&self.schemas, range.each_payload(), || to.is_closed());
            tokio::runtime::Handle::current().block_on(learned);
        }
        let mut decoder = Decoder::new(Arc::clone(&self.schemas));
        let mut seen = BTreeMap::new();
        let mut batch = Vec::new();
        for chunk in (0..range.len()).step_by(CHUNK_RECORDS) {
            let records = range.slice(chunk..range.len().min(chunk + CHUNK_RECORDS));
            let decoded = decoder.decode(&records)?;
            let samples = Samples::new(&decoded, &records, TimeFrame::UNJUDGED)?;
            for time in samples.time.values() {
                let hour = hour_of(*time);
                if self.scope.has_hour(hour) {
                    *seen.entry(hour).or_default() += 1;
                }
            }
            let rows = Rows::from_log(samples, topic, log.partition, start.log_epoch);
            batch.push(rows.filter(|samples, row| {
                self.scope.has_hour(hour_of(samples.time.value(row)))
                    && self
                        .scope
                        .has_key(samples.tenant_id.value(row), samples.metric_name.value(row))
            })?);
        }
        drop(to.blocking_send(Ok(Read::Rows(batch))));
        Ok(Read::End(Some(seen)))
    }
}
