//! The Prometheus metrics of the upkeep.

use horolog_stage::metrics::registered;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// The metrics; zero on members that do not do the upkeep.
#[derive(Clone)]
pub struct UpkeepMetrics {
    /// Hours of tenants whose counters were computed, revisions included.
    pub hours: Counter,
    /// Those among them that had been computed before.
    pub revised_hours: Counter,
    /// Hours of tenants whose raw rows were gone.
    pub expired_hours: Counter,
    /// Hours of tenants that could not be computed and are tried again.
    pub failed_hours: Gauge,
    /// Label sets beyond the limit, by hour.
    pub overflowed: Counter,
    /// Rounds that ended in an error, and tenants in a round whose counters could not be computed; both are tried
    /// again.
    pub failures: Counter,
    /// The counters of hours before this are computed, seconds since 1970.
    pub counters_through_seconds: Gauge,
    /// Days before this are rolled up, seconds since 1970.
    pub days_through_seconds: Gauge,
    /// Whether this member does the upkeep.
    pub is_ours: Gauge,
}

impl UpkeepMetrics {
    /// Registers all of them.
    pub fn new(registry: &mut Registry) -> Self {
        let r = registry.sub_registry_with_prefix("horolog_upkeep");
        Self {
            hours: registered(r, "counter_hours", "Hours of tenants whose counters were computed"),
            revised_hours: registered(r, "counter_hours_revised", "Those that had been computed before"),
            expired_hours: registered(r, "counter_hours_expired", "Hours of tenants whose raw rows were gone"),
            failed_hours: registered(
                r,
                "counter_hours_failed",
                "Hours of tenants that could not be computed and are tried again",
            ),
            overflowed: registered(r, "label_sets_overflowed", "Label sets beyond the limit, by hour"),
            failures: registered(
                r,
                "failures",
                "Rounds that ended in an error, and tenants whose counters could not be computed",
            ),
            counters_through_seconds: registered(
                r,
                "counters_through_timestamp_seconds",
                "Hours before this have their counters",
            ),
            days_through_seconds: registered(r, "days_through_timestamp_seconds", "Days before this are rolled up"),
            is_ours: registered(r, "turn", "Whether this member does the upkeep"),
        }
    }
}
