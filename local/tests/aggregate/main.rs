//! What ClickHouse computes for analysts, on the real engine and with records through the real broker: views, roll-ups,
//! fresh answers, counters, service health. Each against a model that is simple enough to be trusted.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

#[path = "../bed/mod.rs"]
mod bed;
mod buckets;
mod counters;
mod days;
mod failed;
#[allow(dead_code)] // used by other test files
#[path = "../delivery/flow.rs"]
mod flow;
mod health;
mod model;
mod roll_ups;
mod upkeep;
