//! Observes the target during a run, each in a task of its own: the ledger, processes, tables, queries.
//!
//! Watchers tolerate a target that does not respond for a while: that is what chaos tests.

pub mod ledger;
pub mod processes;
pub mod queries;
pub mod tables;
