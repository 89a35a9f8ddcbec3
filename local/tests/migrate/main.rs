//! `horolog-migrate` and the shipped tables against the real engine: up and down, the lock, drift, retention, bytes per
//! sample, and the hourly view. Every test has a database of its own in one engine.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

#[path = "../bed/mod.rs"]
mod bed;
mod columns;
mod drift;
mod hourly_view;
mod lock;
mod retention;
mod row_policies;
mod size;
mod target;
mod versions;
