//! What is shipped besides the binaries: compose.yaml, the Dockerfile, the alarms, and the licences of what is linked.
//!
//! No container engine is needed: the compose file is checked against the schema of the compose specification, against the
//! pinned versions of the local stack, and against the binaries themselves.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod alarms;
mod compose;
mod image;
mod licences;
#[path = "../bed/python.rs"]
#[allow(dead_code, unreachable_pub)] // a part of it is used here
mod python;
mod services;
mod tools;
