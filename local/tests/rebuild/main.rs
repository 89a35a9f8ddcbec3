//! Rebuilds and verifications as an operator sees them: the real binary, the real broker and engine, both stages
//! running. What is right stays as it is, what is damaged is found, named and repaired, and what cannot be repaired is
//! refused.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod accidents;
#[path = "../bed/mod.rs"]
mod bed;
#[allow(dead_code)] // used by other test files
#[path = "../delivery/flow.rs"]
mod flow;
mod intended;
mod rebuilding;
mod verifying;
mod world;
