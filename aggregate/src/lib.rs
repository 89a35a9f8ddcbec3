//! The aggregate stage: from Kafka's metric samples to partial hourly aggregates, and how complete they are.
//!
//! The path of a batch: [`stage`] cuts a range of records into chunks; [`workers`] spread them over the workers of the
//! dataflow, which decode them to [`samples`], sum them up to [`partial`]s by [`key`] and combine those to [`hours`];
//! [`block`] makes rows of them. Besides, `upkeep` derives counters, days and totals from complete hours; `rebuild` makes
//! hours anew, `verify` compares them with what they are made of.

pub mod block;
mod broker;
pub mod cli;
mod columns;
pub mod config;
mod cut;
mod dataflow;
mod fingerprint;
pub mod histogram;
mod hour_runs;
pub mod hours;
mod incidents;
pub mod key;
pub mod late;
mod late_batches;
mod ledger;
mod overflow;
pub mod partial;
pub mod rebuild;
mod retention;
mod revisions;
mod rows;
pub mod samples;
mod scope;
pub mod stage;
mod stalls;
mod summary;
pub mod time_frame;
mod tool_error;
mod upkeep;
mod verify;
pub mod workers;
