//! Black-box tests of `horolog engine`: the real binary over the real library, spoken to by the official `clickhouse`
//! crate and by plain HTTP.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod access;
mod connectors;
mod inserts;
mod lifecycle;
mod row_policies;
mod selects;
mod server;
