//! All figures of a measurement, as written with `--json`.
//!
//! Names end with their unit. Contains nothing that distinguishes one machine from another of the same shape.

use serde::Serialize;

use crate::machine::Machine;

use super::account::WholeAccount;
use super::backlog::Backlog;
use super::first_answer::FirstAnswer;
use super::memory::Memory;
use super::open_loop::OpenLoop;

/// What was measured.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// When, RFC 3339.
    pub measured_at: String,
    /// On what.
    pub machine: Machine,
    /// `up` to the first answer.
    pub first_answer: FirstAnswer,
    /// All processes together.
    pub memory: Memory,
    /// A backlog to raw and hourly rows.
    pub backlog: Backlog,
    /// Compressed bytes of a raw sample of the backlog's day, once it is merged into one part.
    pub bytes_a_sample_merged: f64,
    /// Latencies at a modest rate.
    pub open_loop: OpenLoop,
    /// The account of every record.
    pub account: WholeAccount,
    /// Why the figures do not count; empty when they do.
    pub faults: Vec<String>,
}
