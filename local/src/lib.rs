//! Horolog on one machine: a real broker, the embedded ClickHouse engine and all the services behind one command.
//!
//! Modules by what they do: [`cli`] parses the command line; `command` holds the subcommands
//! about a whole stack; [`setup`] finds or fetches what the machine needs; [`process`]
//! starts and ends child processes; [`broker`] is Kafka on loopback; [`stack`] is all of them under one supervisor;
//! `engine` is the ClickHouse HTTP front over the embedded library; `import` sends existing data through Kafka;
//! `sample` produces the live sample stream; both through `producer`.
//!
//! Everything listens on loopback only. Data leaves this crate only through Kafka: nothing here writes to a table.

pub mod broker;
pub mod cli;
mod command;
mod engine;
mod import;
pub mod process;
mod producer;
mod sample;
pub mod setup;
pub mod stack;
