//! `horolog-migrate` and the shipped tables against the real engine: the way forward and back, the lock, drift, retention,
//! bytes a sample, and the hourly view. Every test has a database of its own in one engine.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod bed;
#[path = "migrate/drift.rs"]
mod drift;
#[path = "migrate/hourly_view.rs"]
mod hourly_view;
#[path = "migrate/lock.rs"]
mod lock;
#[path = "migrate/retention.rs"]
mod retention;
#[path = "migrate/row_policies.rs"]
mod row_policies;
#[path = "migrate/size.rs"]
mod size;
#[path = "migrate/target.rs"]
mod target;
#[path = "migrate/versions.rs"]
mod versions;
