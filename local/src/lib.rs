//! Horolog on one machine: a real broker, the embedded ClickHouse engine and all the stages behind one command.
//!
//! Modules by what they do: [`cli`] parses the command line; [`setup`] finds or fetches what the machine needs; [`process`]
//! starts and ends child processes; [`broker`] is Kafka on loopback; [`stack`] is all of them under one supervisor;
//! [`engine`] is the ClickHouse HTTP front over the embedded library; [`import`] sends existing data through Kafka;
//! [`sample`] produces the live sample stream.
//!
//! Everything listens on loopback only. Data leaves this crate only through Kafka: nothing here writes to a table.

pub mod broker;
pub mod cli;
pub mod engine;
pub mod import;
pub mod process;
pub mod sample;
pub mod setup;
pub mod stack;
