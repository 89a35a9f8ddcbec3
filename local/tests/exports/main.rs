//! Audit exports as a requester sees them: the real binary in front of the real engine, rows written by SQL, files read
//! back by independent programs.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod access;
#[allow(dead_code)]
#[path = "../query/asking.rs"]
mod asking;
#[path = "../bed/mod.rs"]
mod bed;
mod bucket;
#[allow(dead_code)]
#[path = "../query/client.rs"]
mod client;
mod completeness;
mod crash;
mod disk;
mod downloading;
mod formats;
mod history;
mod register;
mod requester;
mod s3;
mod turns;
mod verifying;
