//! Which partial aggregates count: the single definition of the epoch rule, for migrations and for the API's
//! statements.
//!
//! In: the name by which `metrics_hourly` is referred to, and the visible rebuilds. Out: a condition. The rule, for an
//! hour and a metric, with `k` the newest visible rebuild that covers both (0: none): take the partial aggregates of
//! the odd epoch `2k - 1` and those of every even epoch from `2k` on. The migration `rebuilds` explains why. Pure.
//! Released migrations contain these texts, so they are frozen (`migrations/checksums`).

/// The visible rebuilds, as the condition takes them: the body of a scalar subquery, which callers put in brackets and
/// may extend by a further condition.
pub const VISIBLE_REBUILDS_SQL: &str = "select groupArray((number, hour_from, hour_to, tenant_id, metric_name)) from rebuilds final where state = 'visible'";

/// The condition on partial aggregates `of` if no rebuild is visible (`k` is 0). The engine plans it in a fraction of
/// the time.
pub fn unrebuilt_epochs_sql(of: &str) -> String {
    format!("{of}.epoch % 2 = 0")
}

/// The condition on partial aggregates `of`, given the SQL of the visible rebuilds.
pub fn visible_epochs_sql(of: &str, rebuilds: &str) -> String {
    format!(
        "{of}.epoch = 2 * (arrayMax(b -> if({of}.hour >= b.2 and {of}.hour < b.3 and (b.4 = '' or b.4 = {of}.tenant_id) \
         and (b.5 = '' or b.5 = {of}.metric_name), b.1, 0), {rebuilds}) as rebuild) - 1 \
         or ({of}.epoch % 2 = 0 and {of}.epoch >= 2 * rebuild)"
    )
}
