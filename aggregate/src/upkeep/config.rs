//! `[upkeep]`: settings of what is derived in the background.

use horolog_stage::config::ConfigError;
use serde::{Deserialize, Serialize};

/// `[upkeep]`: counters by series and hour, daily roll-ups and totals. The member of the group that holds partition 0 does it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UpkeepConfig {
    /// Whether this process does it at all.
    pub enabled: bool,
    /// How often it looks for complete and revised hours and days, seconds.
    pub interval_s: u64,
    /// How often an hour with late samples is recomputed, seconds: at once, and after this time if more have come since.
    /// Each recomputation is a copy of the hour's series, since what was known before is kept. Days with late samples are
    /// rolled up as often.
    pub revise_interval_s: u64,
    /// Approximate number of label sets of a tenant's counters in an hour that get a series each; those beyond are
    /// added up by metric, service, team and unit in a series labelled `otel.metric.overflow`.
    pub label_sets_max: u64,
    /// Maximum number of raw samples from which one statement computes: an hour of a tenant with more is divided by
    /// series. If series are folded, the samples of the hour before come on top.
    pub slice_rows_max: u64,
    /// Memory limit of one statement in ClickHouse, bytes. It spills to disk from half of it on.
    pub statement_memory_bytes_max: u64,
    /// Time limit of one statement, seconds.
    pub statement_timeout_s: u64,
}

impl Default for UpkeepConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            interval_s: 20,
            revise_interval_s: 300,
            label_sets_max: 100_000,
            slice_rows_max: 2_000_000,
            statement_memory_bytes_max: 1 << 30,
            statement_timeout_s: 600,
        }
    }
}

impl UpkeepConfig {
    /// Refuses values that make no sense.
    pub fn validate(&self) -> Result<(), ConfigError> {
        for (setting, value, least) in [
            ("upkeep.interval_s", self.interval_s, 1),
            ("upkeep.label_sets_max", self.label_sets_max, 1),
            ("upkeep.slice_rows_max", self.slice_rows_max, 1_000),
            (
                "upkeep.statement_memory_bytes_max",
                self.statement_memory_bytes_max,
                64 << 20,
            ),
            ("upkeep.statement_timeout_s", self.statement_timeout_s, 1),
        ] {
            if value < least {
                return Err(ConfigError::invalid(setting, format!("{value} is below {least}")));
            }
        }
        Ok(())
    }
}
