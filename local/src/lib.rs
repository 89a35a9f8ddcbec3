//! Horolog on one machine: a real broker, the embedded ClickHouse engine and all the stages behind one command.
//!
//! Modules by what they do: [`cli`] parses the command line; [`engine`] is the ClickHouse HTTP front over the embedded
//! library; [`import`] sends existing data through Kafka; [`sample`] produces the live sample stream.
//!
//! Everything listens on loopback only. Data leaves this crate only through Kafka: nothing here writes to a table.

pub mod cli;
pub mod engine;
pub mod import;
pub mod sample;
