//! Exactly once, proven on the real broker, the real engine and the real binaries: whatever dies, is suspended,
//! restarts, moves or is recreated, afterwards every produced record is stored once, by offset; the ledger adds up;
//! hours equal the raw rows.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod added;
#[path = "../bed/mod.rs"]
mod bed;
mod crash_points;
mod disk;
mod doubled;
mod event_ids;
mod expired;
mod flow;
mod logs;
mod lost_answer;
mod lost_end;
mod members;
mod newer_tables;
mod outages;
mod refused;
mod rejected;
mod replay;
mod schema_registry;
mod secured;
mod transactions;
mod unread;
