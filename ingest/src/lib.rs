//! The stage that stores records: Kafka → `metrics`, `audit_logs` and the ids of its events, `rejected_records`, `batch_ledger`.
//!
//! What it makes of a range of records is in `stage`; how that gets to ClickHouse exactly once is `horolog-stage`. What was rejected
//! comes back by `replay`.

pub mod cli;
mod config;
mod replay;
mod stage;
