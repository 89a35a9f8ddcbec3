//! `horolog-aggregate rebuild`: recomputes hours from raw rows or from the log, beside the present ones, while records
//! keep arriving.
//!
//! A rebuild is registered ([`register`]), waits until the stage writes with its epoch ([`switch`]), checks that
//! everything it needs is still there ([`possible`], [`raw_rows`]), recomputes part by part ([`plan`], [`part`], [`reading`],
//! [`recompute`], [`parts`]) and becomes visible by one row. If it is killed, the same command continues it without
//! repeating finished parts. An incomplete rebuild is never visible. See ARCHITECTURE.md, "Epochs" and "Rebuilds".

mod difference;
mod part;
mod parts;
mod plan;
mod possible;
mod raw_rows;
mod reading;
mod recompute;
mod register;
mod run;
mod switch;
mod waiting;

pub use recompute::{Recomputation, Recomputed};
pub use register::Source;
pub use run::run;

use crate::scope::{Scope, parse_hour};
use crate::tool_error::ToolError;

/// What to rebuild.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// First hour: 2026-01-31T14:00:00Z, 2026-01-31T14 or 2026-01-31 (UTC).
    #[arg(long, value_name = "HOUR", value_parser = parse_hour, required_unless_present = "abandon")]
    pub from: Option<u32>,
    /// End of the last hour (exclusive), in the same formats.
    #[arg(long, value_name = "HOUR", value_parser = parse_hour, required_unless_present = "abandon")]
    pub to: Option<u32>,
    /// Only this tenant.
    #[arg(long, default_value = "")]
    pub tenant: String,
    /// Only this metric.
    #[arg(long, default_value = "")]
    pub metric: String,
    /// Recompute from the raw rows in ClickHouse, or from the log as far as Kafka still has it.
    #[arg(long, value_enum, default_value_t = Source::Raw)]
    pub source: Source,
    /// Write nothing; print what would change, by hour and metric.
    #[arg(long)]
    pub dry_run: bool,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
    /// Give up the unfinished rebuild with this number; what it wrote never becomes visible.
    #[arg(long, value_name = "NUMBER", conflicts_with_all = ["from", "to", "tenant", "metric", "source", "dry_run"])]
    pub abandon: Option<u32>,
}

impl Args {
    fn scope(&self) -> Result<Scope, ToolError> {
        let (from, to) = (self.from.unwrap_or(0), self.to.unwrap_or(0));
        if from >= to {
            return Err(ToolError::Refused("--to must be after --from".to_owned()));
        }
        Ok(Scope {
            from,
            to,
            tenant: self.tenant.clone(),
            metric: self.metric.clone(),
        })
    }
}
