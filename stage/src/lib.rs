//! What a stage is made of: configuration, telemetry, the member of a consumer group that commits intents, and the
//! delivery of batches to ClickHouse. A stage itself (`ingest`, `aggregate`) only says what it makes of a range of records.
//!
//! The way of a batch: [`member`] polls records into a [`range`], [`protocol`] decides what happens next for its partition,
//! [`delivery`] inserts what the [`stage`] made of it. See ARCHITECTURE.md, "Delivery".

pub mod config;
pub mod http;
pub mod telemetry;
