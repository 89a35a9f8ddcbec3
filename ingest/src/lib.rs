//! The ingest stage: Kafka → `metrics`, `audit_logs` with the ids of its events, `rejected_records`, `batch_ledger`.
//!
//! `stage` turns a range of records into blocks; `horolog-stage` delivers them to ClickHouse exactly once; `replay`
//! sends rejected records to their topic again.

pub mod cli;
mod config;
mod replay;
mod stage;
