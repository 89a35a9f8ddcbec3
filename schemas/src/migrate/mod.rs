//! ClickHouse migrations: numbered, embedded, reversible, checked against the live schema.
//!
//! [`up`] and [`down`] change the schema under a lock; [`check`] reports every difference from what the migrations
//! create; [`status`] lists them; [`require_current`] is called when a service starts. [`Layout`] and [`Retention`] are
//! the parameters. Everything but `server`, `lock`, `history`, `up`, `check` and `status` is pure.

mod access;
mod catalog;
mod check;
pub mod cli;
mod config;
mod definition;
mod diff;
mod error;
mod fragments;
mod history;
mod layout;
mod lock;
mod retention;
mod server;
mod shortening;
mod sql;
pub mod stated;
mod status;
mod up;

pub use access::statements as access_statements;
pub use catalog::MIGRATIONS;
pub use config::{ConfigError, MigrateConfig};
pub use error::MigrateError;
pub use fragments::expand;
pub use layout::Layout;
pub use lock::Runner;
pub use retention::Retention;
pub use server::Server;
pub use sql::literal;
pub use status::require_current;
pub use up::{RunOptions, up};
