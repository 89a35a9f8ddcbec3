//! `horolog import` as a user sees it: the real command, files on disk, the real broker; what arrived is read back.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

#[path = "../bed/mod.rs"]
mod bed;
mod place;
#[path = "../received/mod.rs"]
mod received;
mod sent;
mod troubles;
