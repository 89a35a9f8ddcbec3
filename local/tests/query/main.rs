//! The query service as a caller sees it: the real binary in front of the real engine, with rows written by SQL.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod asking;
#[path = "../bed/mod.rs"]
mod bed;
mod client;
mod counters;
mod delegation;
mod discovery;
mod events;
mod forms;
mod fresh;
mod hours;
mod http;
mod isolation;
mod journal;
mod key_changes;
mod key_limits;
mod keys;
mod keys_command;
mod masks;
mod oidc;
mod openapi;
mod page;
mod refusals;
mod remembered;
mod rows;
mod running;
mod search;
mod series;
mod slow;
mod tenants;
mod terminal;
mod tls;
mod trail;
