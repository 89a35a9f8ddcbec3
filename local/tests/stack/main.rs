//! The local stack as a user sees it: the real command, on free ports, in a folder of its own.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

#[path = "../bed/mod.rs"]
mod bed;
mod folder;
mod life;
mod own_stack;
mod refusals;
mod test_bed;
