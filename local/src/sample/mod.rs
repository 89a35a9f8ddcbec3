//! `horolog sample`: a live stream of audit events and metrics with realistic shapes, for a first look and for trials.
//!
//! Enters: rates and a seed. Leaves: Kafka records of one tenant, until it is told to stop. Guarantees that a broker which
//! goes away and comes back costs no record that was accepted. What is sent is a pure function of seed and time:
//! [`metrics`] and [`audit`]; [`run()`] has the clock and Kafka.

pub mod audit;
pub mod metrics;
mod run;
mod schedule;
mod world;

pub use run::{SampleOptions, run};
