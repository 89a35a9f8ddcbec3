//! What a stage is made of: configuration, telemetry, the member of a consumer group that commits intents, and the
//! delivery of batches to ClickHouse. A stage itself (`ingest`, `aggregate`) only says what it makes of a range of
//! records.
//!
//! The path of a batch: `member` polls records into a [`range`], `partition` decides what to commit and deliver next,
//! and `delivery` inserts what the [`stage`] made of the range: its `blocks`, each through `inserts` until its outcome
//! is known. When a partition is assigned, `facts` gathers what is known about it and `plan` decides where it
//! continues. See ARCHITECTURE.md, "Delivery".

mod assignment;
mod blocks;
pub mod cleanup_policy;
pub mod clock;
mod committer;
pub mod completeness;
pub mod config;
pub mod connection;
mod constraint;
pub mod crash;
mod delivery;
mod facts;
mod group;
mod growth;
pub mod http;
pub mod incident;
mod inserts;
pub mod intent;
mod join;
mod lease;
mod ledger;
mod lives;
mod log_end;
pub mod loopback;
mod member;
pub mod metrics;
mod partition;
mod plan;
pub mod probe;
pub mod progress;
pub mod range;
mod read_back;
mod repair;
mod requirements;
mod resolve;
pub mod retry;
mod run;
mod run_options;
pub mod schema_registry;
pub mod settings;
#[cfg(test)]
mod simulation;
pub mod stage;
pub mod steering;
pub mod store;
mod surviving_end;
pub mod telemetry;
mod turn;
mod write_epoch;

pub use ledger::TABLE as LEDGER_TABLE;
pub use run::run;
pub use run_options::{RunError, RunOptions};
