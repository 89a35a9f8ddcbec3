//! Audit exports: every event of a tenant that matches a filter, over any span, as files that anyone can verify.
//!
//! The path of an export: [`spec`] is the request; [`queue`] runs it in the background, with [`patience`] and again
//! after a crash; [`run`] freezes a [`snapshot`] of the ledger, counts by [`plan`], finds the [`repeats`], streams each
//! month in order as Arrow, [`encode`]s it into [`part`]s, and writes the [`manifest`]. [`shelf`] stores it in a folder
//! or a [`bucket`], [`job`] is its stored state, [`export`] the same in memory, [`shown`] the same to callers,
//! [`register`] what remains known after its removal. [`verify`] checks a folder without any of this running. HTTP is
//! in [`handlers`] and [`download`].
//!
//! Guarantees: the files hold exactly what the ledger names up to stated offsets, each event once, in a fixed order; a
//! repetition over the same snapshot gives the same bytes; a finished file is never written again; memory does not grow
//! with the span. An export whose rows do not add up fails instead of being handed out.

pub mod bucket;
pub mod columns;
pub mod completeness;
pub mod config;
pub mod download;
pub mod encode;
pub mod error;
pub mod export;
pub mod handlers;
pub mod job;
pub mod manifest;
pub mod part;
pub mod patience;
pub mod plan;
pub mod queue;
pub mod ranges;
pub mod register;
pub mod repeats;
pub mod run;
pub mod shelf;
pub mod shown;
pub mod signature;
pub mod sink;
pub mod snapshot;
pub mod spec;
pub mod verify;
