//! What is looked at while a run goes on, each in a task of its own: the ledger, processes, tables, queries.
//!
//! Lookers tolerate a target that does not answer for a while: under chaos that is what is tested.

pub mod ledger;
pub mod processes;
pub mod queries;
pub mod tables;
