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
pub use catalog::{MIGRATIONS, Migration};
pub use check::check;
pub use config::{ClickHouse, ConfigError, MigrateConfig};
pub use diff::Difference;
pub use error::MigrateError;
pub use fragments::expand;
pub use history::{Entry, History, State};
pub use layout::{Engine, Layout, LayoutError};
pub use lock::Runner;
pub use retention::{Retention, RetentionError, TableTtl};
pub use server::Server;
pub use sql::literal;
pub use status::{Status, require_current, status};
pub use up::{Report, RunOptions, down, up};
